"""Many callers of one async client: each review a call of its own, against calls that travel together.

    .venv/bin/python -m benchmarks.coalescing --data path/to/imdb

The server, a process of its own, has one core, this client another, where there are two.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from export.data import load
from service.client import AsyncSentimentClient
from tests.service.running import serving

REVIEWS = 4_000
ROUNDS = 3  # in turn, and the median counts: machines drift


class Cost(NamedTuple):
    """Of one review."""

    per_second: float
    server_microseconds: float  # of CPU

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} a second at {self.server_microseconds:.0f} us"


async def measure(target: str, server: psutil.Process, texts: list[str], callers: int, coalesce: bool) -> Cost:
    """So many callers, each with one review at a time, until all texts are answered."""
    remaining = iter(texts)

    async def call(client: AsyncSentimentClient) -> None:
        for text in remaining:
            await client.classify(text)

    async with AsyncSentimentClient(target, timeout=60, coalesce=coalesce) as client:
        await client.classify("Connect, and warm up.")
        started, cpu_before = time.perf_counter(), _cpu(server)
        await asyncio.gather(*(call(client) for _ in range(callers)))
        seconds = time.perf_counter() - started
        return Cost(len(texts) / seconds, (_cpu(server) - cpu_before) * 1e6 / len(texts))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Measure both at several numbers of callers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="IMDB: archive, folder or Parquet")
    texts = load(parser.parse_args().data, "test").texts[::6][:REVIEWS]
    cores = sorted(os.sched_getaffinity(0))
    with serving() as running:
        server = psutil.Process(running.process.pid)
        server.cpu_affinity(cores[:1])
        psutil.Process().cpu_affinity(cores[-1:])
        for callers in (1, 16, 64, 256):
            costs: dict[bool, list[Cost]] = {False: [], True: []}
            for _ in range(ROUNDS):
                for coalesce in costs:
                    costs[coalesce].append(asyncio.run(measure(running.target, server, texts, callers, coalesce)))
            alone, together = (
                Cost(*(median(values) for values in zip(*costs[coalesce], strict=True))) for coalesce in (False, True)
            )
            ratio = together.per_second / alone.per_second
            print(f"{callers} callers: alone {alone}, together {together}, {ratio:.2f} times as many", flush=True)


if __name__ == "__main__":
    main()
