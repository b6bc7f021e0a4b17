"""Requests that are not protobuf of their method, as clients in other languages can send them."""

import logging

import grpc
import pytest
from google.rpc import error_details_pb2

from service.pb import sentiment_pb2 as pb
from service.server import INFERENCE_NAME, SERVICE_NAME, Server
from tests.service.conftest import detail_of

LATIN_1 = pb.ClassifyRequest(text="good").SerializeToString().replace(b"good", b"g\xf6\xf6d")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (f"{SERVICE_NAME}/Classify", LATIN_1),
        (f"{SERVICE_NAME}/Classify", b"\x0a\x7fcut off"),
        (f"{SERVICE_NAME}/ClassifyBatch", LATIN_1),
        (f"{SERVICE_NAME}/GetModel", LATIN_1),
        (f"{INFERENCE_NAME}/ModelInfer", LATIN_1),
        (f"{INFERENCE_NAME}/ModelReady", LATIN_1),
        (f"{INFERENCE_NAME}/ModelMetadata", LATIN_1),
        (f"{INFERENCE_NAME}/ModelConfig", LATIN_1),
    ],
)
async def test_it_is_refused_as_what_it_is(
    server: Server, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture, method: str, message: bytes
) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{method}")
    with pytest.raises(grpc.aio.AioRpcError, match="every string in UTF-8") as refused:
        await call(message)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = detail_of(refused.value, error_details_pb2.BadRequest).field_violations
    assert violation.field == "request"
    assert server.metrics.registry.get_sample_value("sentiment_rejected_total", {"reason": "unreadable"}) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_in_a_stream_the_others_are_answered(channel: grpc.aio.Channel) -> None:
    method: grpc.aio.StreamStreamMultiCallable[bytes, pb.ClassifyStreamResponse] = channel.stream_stream(
        f"/{SERVICE_NAME}/ClassifyStream", response_deserializer=pb.ClassifyStreamResponse.FromString
    )
    call = method()
    good = [pb.ClassifyStreamRequest(id=name, text="good").SerializeToString() for name in ("before", "after")]
    bad = good[0].replace(b"good", b"g\xf6\xf6d")
    for message in (good[0], bad, good[1]):
        await call.write(message)
    await call.done_writing()
    answers = {answer.id: answer async for answer in call}
    assert sorted(answers) == ["", "after", "before"]
    assert answers[""].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answers["before"].HasField("classification")
    assert answers["after"].HasField("classification")
    assert await call.code() is grpc.StatusCode.OK
