"""How many reviews the real server takes in at a time, with which deadlines, and whose turn it is."""

import threading
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import grpc
import pytest

from service.pb import open_inference_pb2, open_inference_pb2_grpc
from service.pb import sentiment_pb2 as pb
from service.request_queue import Entry, RequestQueue
from service.server import Server
from service.servicer import STREAM_WINDOW
from tests.service.conftest import in_flight

if TYPE_CHECKING:
    from service.pb import sentiment_pb2_grpc

    Stub = sentiment_pb2_grpc.SentimentServiceAsyncStub

REVIEWS = 200


async def test_a_stream_is_read_no_further_than_its_window(server: Server, stub: "Stub", gate: threading.Event) -> None:
    gate.clear()
    stream = stub.ClassifyStream(timeout=60)
    for number in range(REVIEWS):
        await stream.write(pb.ClassifyStreamRequest(id=str(number), text="good"))
    await stream.done_writing()
    await in_flight(server, STREAM_WINDOW)
    for _ in range(20):  # in which the server could read on
        await stub.GetModel(pb.GetModelRequest())
    assert server.metrics.registry.get_sample_value("sentiment_requests_in_flight") == STREAM_WINDOW
    gate.set()
    answered = [answer.id async for answer in stream]
    assert sorted(answered, key=int) == [str(number) for number in range(REVIEWS)]


async def test_every_method_s_deadline_is_that_of_its_reviews(
    channel: grpc.aio.Channel, stub: "Stub", monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines, put = list[float | None](), RequestQueue.put

    def noting(self: RequestQueue, entries: Sequence[Entry]) -> None:
        deadlines.extend(entry.deadline for entry in entries)
        put(self, entries)

    async def ask(timeout: float | None) -> list[float | None]:  # noqa: ASYNC109  # it is gRPC that keeps it
        deadlines.clear()
        await stub.Classify(pb.ClassifyRequest(text="good"), timeout=timeout)
        await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=["good", "bad"]), timeout=timeout)
        assert [answer.id async for answer in stub.ClassifyStream(requests(), timeout=timeout)] == ["a"]
        await inference.ModelInfer(infer, timeout=timeout)
        return list(deadlines)

    async def requests() -> AsyncIterator[pb.ClassifyStreamRequest]:
        yield pb.ClassifyStreamRequest(id="a", text="good")

    inference: open_inference_pb2_grpc.GRPCInferenceServiceAsyncStub
    inference = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
    text = open_inference_pb2.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
    text.contents.bytes_contents.append(b"good")
    infer = open_inference_pb2.ModelInferRequest(model_name="imdb-lstm", inputs=[text])
    monkeypatch.setattr(RequestQueue, "put", noting)
    assert await ask(None) == [None] * 5
    began = time.monotonic()
    told = await ask(60)
    assert [deadline and began < deadline < time.monotonic() + 1.1 * 60 for deadline in told] == [True] * 5
