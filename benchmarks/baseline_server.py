"""The server that one writes in an afternoon: one review at a time, padded to 500, no batching, no metrics.

    .venv/bin/python -m benchmarks.baseline_server

Beside it an empty method, which does nothing at all: what gRPC and Python cost on the machine of the day.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from benchmarks.plain import PlainModel
from bundle.store import Bundle, find_version, load_bundle
from service.config import default_models
from service.pb import sentiment_pb2 as pb

SERVICE, METHOD = "sentiment.v1.SentimentService", "Classify"
EMPTY_SERVICE, EMPTY_METHOD = "benchmarks.Empty", "Call"

Context = grpc.aio.ServicerContext[pb.ClassifyRequest, pb.ClassifyResponse]


class Baseline:
    """Answers Classify."""

    def __init__(self, bundle: Bundle) -> None:
        self._model = PlainModel(bundle, "fp32")
        self._threshold = bundle.manifest.threshold
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """Answer one review."""
        ids = self._model.tokenizer.encode(request.text).input_ids
        run, loop = self._model.run, asyncio.get_running_loop()
        (probability,) = await loop.run_in_executor(self._executor, run, [ids], self._model.pad_to)
        positive = probability >= self._threshold
        sentiment = pb.SENTIMENT_POSITIVE if positive else pb.SENTIMENT_NEGATIVE
        answer = pb.Classification(sentiment=sentiment, positive_probability=probability, token_count=len(ids))
        return pb.ClassifyResponse(classification=answer)


async def _empty(request: bytes, context: object) -> bytes:
    return b""


def _handlers(baseline: Baseline) -> grpc.GenericRpcHandler:
    classify = grpc.unary_unary_rpc_method_handler(
        baseline.classify,
        request_deserializer=pb.ClassifyRequest.FromString,
        response_serializer=pb.ClassifyResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: classify})


def _empty_handlers() -> grpc.GenericRpcHandler:
    empty: Any = grpc.unary_unary_rpc_method_handler(_empty)
    return grpc.method_handlers_generic_handler(EMPTY_SERVICE, {EMPTY_METHOD: empty})


async def serve() -> None:
    """Run until killed; the log line is that of `review-sentiment serve`."""
    server = grpc.aio.server()
    baseline = Baseline(load_bundle(find_version(default_models())))
    server.add_generic_rpc_handlers((_handlers(baseline), _empty_handlers()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving the baseline: gRPC on 127.0.0.1:{port}, HTTP on nothing:0", file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
