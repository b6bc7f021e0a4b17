"""From the start of the process to health SERVING, as `review-sentiment serve` is started."""

import asyncio
import time
from collections.abc import Collection, Sequence

from benchmarks.errors import Refused
from benchmarks.figures import Start
from benchmarks.plan import Plan
from benchmarks.processes import ProcessTree
from benchmarks.records import Records
from benchmarks.served import MEGABYTE
from benchmarks.subject import launch
from service.client import AsyncSentimentClient


def measure_starts(cores: Collection[int], flags: Sequence[str], plan: Plan, records: Records) -> None:
    """Several starts, after one that brings the files into the page cache. Raises Refused if one is not SERVING."""
    start_once(cores, flags)
    starts = [start_once(cores, flags) for _ in range(plan.starts)]
    measured = Start([seconds for seconds, _ in starts], max(resident for _, resident in starts))
    records.add(measured)
    print(f"starts: {', '.join(f'{seconds:.2f}' for seconds in measured.seconds)} s", flush=True)


def start_once(cores: Collection[int], flags: Sequence[str]) -> tuple[float, float]:
    """Seconds, and resident megabytes once it serves."""
    started = time.perf_counter()
    with launch(cores, flags) as running:
        if (health := asyncio.run(_health(running.target))) != "SERVING":
            raise Refused(f"the server says that it is ready, and its health is {health}")
        seconds = time.perf_counter() - started
        return seconds, ProcessTree(running.process.pid).resident_bytes() / MEGABYTE


async def _health(target: str) -> str:
    async with AsyncSentimentClient(target) as client:
        return await client.health()
