"""What a server's memory comes to when it is sent many of the largest messages that it takes at once.

    .venv/bin/python -m benchmarks.largest 1 24 48

Those for which there is no room are refused, but not before they are read.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Iterator

import grpc

from benchmarks.processes import ProcessTree
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from tests.service.running import serving

TEXT = ("a fine film that takes its time and ends too soon; " * 400)[:16_384]
REQUEST = pb.ClassifyBatchRequest(texts=[TEXT] * 512)  # 8 MiB
PATIENCE = 300.0  # seconds


async def outcomes(target: str, calls: int) -> Counter[str]:
    """How so many calls at once end, by status code; each has a connection of its own, so that all are read at once."""

    async def call() -> str:
        async with grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub: sentiment_pb2_grpc.SentimentServiceAsyncStub = sentiment_pb2_grpc.SentimentServiceStub(channel)
            try:
                await stub.ClassifyBatch(REQUEST, timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return grpc.StatusCode.OK.name

    return Counter(await asyncio.gather(*(call() for _ in range(calls))))


def rows(counts: list[int]) -> Iterator[str]:
    """A line for each number of calls, each against a fresh server."""
    for calls in counts:
        with serving() as server:
            tree = ProcessTree(server.process.pid)
            before = tree.resident_bytes()
            ended = asyncio.run(outcomes(server.target, calls))
            told = ", ".join(f"{count} {code}" for code, count in ended.most_common())
            yield f"{calls:5} {before / 1e6:10,.0f} {tree.peak_bytes() / 1e6:10,.0f}  {told}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.largest", description=__doc__.partition("\n")[0])
    parser.add_argument("calls", nargs="*", type=int, default=[1, 24, 48], help="how many at once")
    print("calls  MB before    at most  ended")
    for row in rows(parser.parse_args().calls):
        print(row, flush=True)


if __name__ == "__main__":
    main()
