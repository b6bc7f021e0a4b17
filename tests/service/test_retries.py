"""Calls that are tried again, and when."""

import asyncio
import random
import time

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc.aio import Metadata
from grpc_status import rpc_status

from service.client import AsyncSentimentClient, ClientError, SentimentClient
from service.client.errors import pause_before_retry
from service.pb import sentiment_pb2 as pb
from tests.service.answering import ANSWER, answering


class Failing:
    """Refuses so many calls with a status, then answers.

    `tries` are the times of the calls, `left` what each caller would still wait for, in seconds.
    """

    def __init__(self, failures: int, code: int, *details: error_details_pb2.RetryInfo) -> None:
        self.failures = failures
        self.tries: list[float] = []
        self.left: list[float] = []
        self.status = status_pb2.Status(code=code, message="not now")
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            self.status.details.append(packed)

    def __call__(self, request: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
        self.tries.append(time.monotonic())
        self.left.append(context.time_remaining())
        if len(self.tries) <= self.failures:
            context.abort_with_status(rpc_status.to_status(self.status))
        return ANSWER


def in_seconds(seconds: float) -> error_details_pb2.RetryInfo:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromNanoseconds(int(seconds * 1e9))
    return retry


@pytest.mark.parametrize(
    ("failing", "least"),
    [
        (Failing(2, code_pb2.UNAVAILABLE), 0.0),
        (Failing(2, code_pb2.RESOURCE_EXHAUSTED, in_seconds(0.2)), 0.2),
    ],
)
def test_what_may_pass_is_tried_again(failing: Failing, least: float) -> None:
    with answering(failing) as port, SentimentClient(f"127.0.0.1:{port}") as client:
        assert client.classify("fine").sentiment == "positive"
    pauses = [after - before for before, after in zip(failing.tries, failing.tries[1:], strict=False)]
    assert len(pauses) == 2
    assert all(pause >= least for pause in pauses)


@pytest.mark.parametrize(
    "code", [code_pb2.INVALID_ARGUMENT, code_pb2.NOT_FOUND, code_pb2.INTERNAL, code_pb2.RESOURCE_EXHAUSTED]
)
def test_what_will_not_pass_is_not_tried_again(code: int) -> None:
    failing = Failing(1, code)
    with (
        answering(failing) as port,
        SentimentClient(f"127.0.0.1:{port}") as client,
        pytest.raises(ClientError, match="not now"),
    ):
        client.classify("fine")
    assert len(failing.tries) == 1


def test_tries_end_with_the_number_allowed_or_the_time() -> None:
    failing = Failing(100, code_pb2.UNAVAILABLE)
    with answering(failing) as port:
        with SentimentClient(f"127.0.0.1:{port}", retries=2) as client, pytest.raises(ClientError):
            client.classify("fine")
        assert len(failing.tries) == 3
        with SentimentClient(f"127.0.0.1:{port}", timeout=0.5, retries=1000) as client, pytest.raises(ClientError):
            client.classify("fine")
    assert failing.tries[-1] - failing.tries[3] < 0.5


async def test_the_async_client_tries_again_too() -> None:
    failing = Failing(2, code_pb2.UNAVAILABLE)
    with answering(failing) as port:
        async with AsyncSentimentClient(f"127.0.0.1:{port}", coalesce=False) as client:
            assert (await client.classify("fine")).sentiment == "positive"
    assert len(failing.tries) == 3


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_all_tries_share_one_timeout(asynchronous: bool) -> None:
    failing = Failing(1, code_pb2.RESOURCE_EXHAUSTED, in_seconds(1.0))
    with answering(failing) as port:
        target = f"127.0.0.1:{port}"
        if asynchronous:
            async with AsyncSentimentClient(target, timeout=10, coalesce=False) as client:
                await client.classify("fine")
        else:
            with SentimentClient(target, timeout=10) as blocking:
                await asyncio.to_thread(blocking.classify, "fine")
    assert failing.left[1] <= 1.05 * (10 - 1.0)  # gRPC tells a server of a deadline to within a few percent


def test_pauses_grow_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Failing(0, code_pb2.RESOURCE_EXHAUSTED, in_seconds(0.25)).status
    details = Metadata(*rpc_status.to_status(full).trailing_metadata)
    errors = [
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "away"),
        grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Metadata(), details, full.message),
    ]
    most = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    for error, told in zip(errors, (0, 0.25), strict=True):
        monkeypatch.setattr(random, "uniform", lambda low, high: high)
        assert [pause_before_retry(error, attempt) for attempt in range(8)] == [told + pause for pause in most]
        monkeypatch.setattr(random, "uniform", lambda low, high: low)
        assert [pause_before_retry(error, attempt) for attempt in range(8)] == [told] * 8
