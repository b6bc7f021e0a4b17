"""A real server on free ports, and channels to it."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import grpc
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from service.config import Settings
from service.pb import sentiment_pb2_grpc
from service.server import Server

FREE_PORTS = Settings(grpc_port=0, http_port=0)

Detail = TypeVar("Detail", error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


def detail_of(error: grpc.aio.AioRpcError, kind: type[Detail]) -> Detail:
    """The error's one detail."""
    (packed,) = rpc_status.from_call(error).details  # type: ignore[arg-type]  # it has what a Call has
    detail = kind()
    assert packed.Unpack(detail)
    return detail


def fetch(server: Server, path: str) -> tuple[int, str]:
    """Status and body of what a server says by HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def until(server: Server, name: str, value: float) -> None:
    """Wait until a metric has this value."""
    async with asyncio.timeout(10):
        while server.metrics.registry.get_sample_value(name) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def in_flight(server: Server, count: int) -> None:
    """Wait until the server is answering so many requests."""
    await until(server, "sentiment_requests_in_flight", count)


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail any test in which our code blocks the event loop."""
    with blockbuster_ctx(scanned_modules=["bundle", "service"]) as active:
        yield active


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The shipped model on free ports."""
    running = Server(FREE_PORTS)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to the server."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> "sentiment_pb2_grpc.SentimentServiceAsyncStub":
    """The service behind that connection."""
    return sentiment_pb2_grpc.SentimentServiceStub(channel)
