"""A load with something of everything: every method and version, what is refused, what comes too late.

    python -m tests.deploy.mixed_load --target localhost:50051 --seconds 240

The server must serve all versions (`--model-version all`); with a small queue it is full now and then.
"""

import argparse
import asyncio
import json
import math
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from service.pb import open_inference_pb2 as inference_pb
from service.pb import open_inference_pb2_grpc, sentiment_pb2_grpc
from service.pb import sentiment_pb2 as pb

if TYPE_CHECKING:
    Sentiment = sentiment_pb2_grpc.SentimentServiceAsyncStub
    Inference = open_inference_pb2_grpc.GRPCInferenceServiceAsyncStub

SHORT_TEXTS = Path(__file__).parents[2] / "export" / "suite" / "short_texts.jsonl"
VERSIONS = ("", "1", "2")
WAVE = 60.0  # seconds from one busy time to the next
HURRY = 0.002  # seconds that an impatient caller waits


class Callers:
    """What the callers of a server do, in shares; by the default seed, all of it within 50 calls."""

    def __init__(self, channel: grpc.aio.Channel, seed: int = 2) -> None:
        self._sentiment: Sentiment = sentiment_pb2_grpc.SentimentServiceStub(channel)
        self._inference: Inference = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._rng, self._order = random.Random(seed), random.Random(seed)
        self._lines = [json.loads(line) for line in SHORT_TEXTS.read_text().splitlines()]
        self._ways: dict[Callable[[], Coroutine[Any, Any, None]], float] = {
            **{self._one: 60, self._batch: 8, self._stream: 6, self._infer: 14},
            **{self._refused: 5, self._unknown: 3, self._hurried: 2, self._cancelled: 1.5, self._flood: 0.3},
        }

    async def call(self) -> None:
        """One call in one of the ways; how it ends is the server's business."""
        (way,) = self._order.choices(list(self._ways), list(self._ways.values()))
        try:
            await way()
        except grpc.aio.AioRpcError:
            pass

    def _text(self) -> str:
        """Short texts of one mind, as many as make up the length of a review; one in fifty in no language at all."""
        label, words, parts = self._rng.choice(("positive", "negative")), self._rng.lognormvariate(4, 1.2), list[str]()
        alike = [line["text"] for line in self._lines if line["label"] == label]
        while sum(len(part.split()) for part in parts) < min(words, 900):
            parts.append(self._rng.choice(alike))
        text = " ".join(parts)
        return text if self._rng.random() < 0.98 else "".join(chr(ord(letter) + 1) for letter in text)

    async def _one(self) -> None:
        request = pb.ClassifyRequest(text=self._text(), model_version=self._rng.choice(VERSIONS))
        await self._sentiment.Classify(request, timeout=30)

    async def _batch(self) -> None:
        texts = [self._text() for _ in range(self._rng.randint(2, 24))]
        await self._sentiment.ClassifyBatch(pb.ClassifyBatchRequest(texts=texts), timeout=30)

    async def _stream(self) -> None:
        reviews = [pb.ClassifyStreamRequest(id=str(number), text=self._text()) for number in range(6)]
        async for _ in self._sentiment.ClassifyStream(iter(reviews), timeout=30):
            pass

    async def _infer(self) -> None:
        contents = inference_pb.InferTensorContents(bytes_contents=[self._text().encode()])
        tensor = inference_pb.ModelInferRequest.InferInputTensor(
            name="text", datatype="BYTES", shape=[1], contents=contents
        )
        request = inference_pb.ModelInferRequest(model_name="imdb-lstm", inputs=[tensor])
        await self._inference.ModelInfer(request, timeout=30)

    async def _refused(self) -> None:
        await self._sentiment.Classify(pb.ClassifyRequest(text=self._rng.choice((" ", "x" * 70_000))), timeout=30)

    async def _unknown(self) -> None:
        await self._sentiment.Classify(pb.ClassifyRequest(text="good", model_version="99"), timeout=30)

    async def _hurried(self) -> None:
        await self._sentiment.Classify(pb.ClassifyRequest(text=self._text()), timeout=HURRY)

    async def _cancelled(self) -> None:
        call = self._sentiment.Classify(pb.ClassifyRequest(text=self._text()), timeout=30)
        await asyncio.sleep(HURRY)
        call.cancel()

    async def _flood(self) -> None:
        """More at once than a queue of 128 has room for."""
        request = pb.ClassifyBatchRequest(texts=[self._text() for _ in range(100)])
        await asyncio.gather(*(self._sentiment.ClassifyBatch(request, timeout=30) for _ in range(3)))


async def mixed_load(target: str, seconds: float, rate: float) -> None:
    """Calls at random times, `rate` a second in the mean and more in waves, for so long; then the last are awaited."""
    rng, started = random.Random(1), time.monotonic()
    async with grpc.aio.insecure_channel(target) as channel, asyncio.TaskGroup() as calls:
        callers = Callers(channel)
        while (passed := time.monotonic() - started) < seconds:
            calls.create_task(callers.call())
            await asyncio.sleep(rng.expovariate(rate * (1 + 0.6 * math.sin(2 * math.pi * passed / WAVE))))


def main() -> None:
    """Put the load on a server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="localhost:50051", help="address (%(default)s)")
    parser.add_argument("--seconds", type=float, default=240, help="how long (%(default)s)")
    parser.add_argument("--rate", type=float, default=60, help="calls a second (%(default)s)")
    arguments = parser.parse_args()
    asyncio.run(mixed_load(arguments.target, arguments.seconds, arguments.rate))


if __name__ == "__main__":
    main()
