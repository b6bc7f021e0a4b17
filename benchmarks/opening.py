"""Connections to a server, and the way to ask on them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import grpc

from benchmarks.methods import Batch, ByClient, Empty, Lone, Method, Unary
from benchmarks.stream import Stream
from service.client import AsyncSentimentClient

UNARY, STREAM, BATCH, EMPTY = "unary", "stream", "batch of 64", "empty"
ALONE, COALESCED = "alone", "coalesced"  # by the asyncio client

# Channels to one address would otherwise share a connection.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
_PLAIN = {UNARY: Unary, BATCH: Batch, EMPTY: Empty}


@asynccontextmanager
async def open_method(name: str, target: str, texts: Sequence[str], connections: int = 1) -> AsyncIterator[Method]:
    """One of the names above, connected."""
    async with AsyncExitStack() as cleanup:
        if name in (ALONE, COALESCED):
            client = AsyncSentimentClient(target, timeout=60, retries=0, coalesce=name == COALESCED)
            yield ByClient(await cleanup.enter_async_context(client), texts)
            return
        opened = [grpc.aio.insecure_channel(target, options=_OPTIONS) for _ in range(connections)]
        channels = [await cleanup.enter_async_context(channel) for channel in opened]
        if name == STREAM:
            stream = Stream(channels[0], texts)
            yield stream
            await stream.close()
        else:
            yield _PLAIN[name](channels, texts)


@contextmanager
def open_lone(target: str, texts: Sequence[str]) -> Iterator[Lone]:
    """Classify, for a caller who is alone."""
    with grpc.insecure_channel(target, options=_OPTIONS) as channel:
        yield Lone([channel], texts)
