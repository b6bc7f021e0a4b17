"""Closed and open loops, and the latencies under them.

A closed loop has so many callers, each waiting for its answer before it asks again. An open loop asks at times that do
not depend on the answers, and counts each latency from when its request was due, sent late or not: a server that
stalls is seen to stall by everybody who wanted something meanwhile.
"""

import asyncio
import gc
import math
import random
import selectors
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple, TypeVar

import grpc

from benchmarks.errors import Refused
from benchmarks.methods import Method
from benchmarks.processes import Usage
from service.client import ClientError

T = TypeVar("T")

_SEED = 1
_FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


class Asked(NamedTuple):
    """A request and its answer, None if the server had no room; times are of time.perf_counter."""

    number: int
    due: float
    sent: float
    ended: float
    answer: Any


@dataclass(frozen=True)
class Load:
    """All that was asked, and what the server had used at both ends of the window."""

    asked: list[Asked]
    before: Usage
    after: Usage

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.after.time - self.before.time

    def of_thread(self, kind: str) -> float:
        """CPU seconds that threads of a kind used in the window."""
        return self.after.by_thread.get(kind, 0.0) - self.before.by_thread.get(kind, 0.0)

    def measured(self) -> list[Asked]:
        """What was answered within the window."""
        return [one for one in self.asked if self.before.time <= one.ended < self.after.time]


def run(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, on a loop whose timers are exact: epoll's would be late by up to a millisecond."""
    gc.freeze()  # what there is now need not be looked through while latencies are taken
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)


async def closed_loop(method: Method, callers: int, warm_up: float, window: float, look: Callable[[], Usage]) -> Load:
    """So many callers, one request at a time each; `look` says what the server has used. Raises Refused on an error."""
    asked: list[Asked] = []
    numbers, usages, answered = count(), list[Usage](), asyncio.Event()

    async def call() -> None:
        while len(usages) < 2:
            sent = time.perf_counter()
            asked.append(await _ask(method, next(numbers), sent))
            answered.set()

    async def watch() -> None:
        await asyncio.sleep(warm_up)
        usages.append(look())
        answered.clear()
        await asyncio.sleep(window)
        await answered.wait()  # a window without any answer would say nothing
        usages.append(look())

    await asyncio.gather(watch(), *(call() for _ in range(callers)))
    return Load(asked, *usages)


def lone_loop(ask: Callable[[int], Any], warm_up: float, window: float, look: Callable[[], Usage]) -> Load:
    """A closed loop of one caller, who has no event loop either. Raises Refused on an error."""
    gc.freeze()
    asked, usages, begun = list[Asked](), list[Usage](), time.perf_counter()
    for number in count():
        sent = time.perf_counter()
        try:
            answer = ask(number)
        except grpc.RpcError as error:
            raise Refused(f"request {number} ended with an error: {error}") from error
        ended = time.perf_counter()
        asked.append(Asked(number, sent, sent, ended, answer))
        if ended >= (usages[0].time + window if usages else begun + warm_up):
            usages.append(look())
        if len(usages) == 2:
            break
    return Load(asked, *usages)


async def open_loop(method: Method, arrivals: Sequence[float]) -> list[Asked]:
    """A request at each time, in seconds from now, whatever the server does.

    A full server may refuse one. Raises Refused on any other error.
    """
    started, requests = time.perf_counter(), []
    for number, arrival in enumerate(arrivals):
        due = started + arrival
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        requests.append(asyncio.create_task(_ask(method, number, due, may_be_full=True)))
    return await asyncio.gather(*requests)


def poisson(rate: float, seconds: float) -> list[float]:
    """Times of callers who know nothing of each other, `rate` a second in the mean; always the same."""
    rng, arrivals, arrival = random.Random(_SEED), [], 0.0
    while (arrival := arrival + rng.expovariate(rate)) < seconds:
        arrivals.append(arrival)
    return arrivals


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that `share` percent of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


async def _ask(method: Method, number: int, due: float, may_be_full: bool = False) -> Asked:
    sent = time.perf_counter()
    try:
        answer = await method.ask(number)
    except (grpc.aio.AioRpcError, ClientError) as error:
        if may_be_full and isinstance(error, grpc.aio.AioRpcError) and error.code() is _FULL:
            return Asked(number, due, sent, time.perf_counter(), None)
        raise Refused(f"request {number} ended with an error: {error}") from error
    return Asked(number, due, sent, time.perf_counter(), answer)
