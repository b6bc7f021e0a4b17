"""A load of reviews on a server, and the latencies under it.

A closed loop has so many callers, each waiting for its answer before it asks again: a server that stalls is then asked
less, and its stall is seen by few. An open loop asks at times that do not depend on the answers, and counts each
latency from when its request was due, sent late or not, as a user would (Tene, How NOT to Measure Latency, 2015).
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from service.client.aio import AsyncSentimentClient
from service.client.errors import ClientError

PERCENTILES = (50, 90, 99, 99.9)

_WORDS = (
    *("the", "a", "and", "of", "this", "it", "was", "with", "story", "cast", "ending", "room", "battery", "screen"),
    *("brilliant", "dull", "slow", "lovely", "never", "not", "really", "again", "because", "although", ",", "."),
)
# Lengths as of the IMDB reviews: half have no more than 201 words and signs, one in ten 500 or more.
_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 201, 0.7, 1_000


@dataclass
class LoadReport:
    """What became of the requests. Latencies are in seconds, of those that were answered."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)  # by status code
    most_late: float = 0.0  # seconds after its due time that an open loop's request was sent at worst

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency (seconds) that `share` percent of the answers do not exceed."""
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share / 100))]


async def closed_loop(client: AsyncSentimentClient, texts: Sequence[str], callers: int, seconds: float) -> LoadReport:
    """So many callers, one request at a time each, for so long."""
    report, remaining = LoadReport(), cycle(texts)
    started = time.perf_counter()

    async def call() -> None:
        while (now := time.perf_counter()) < started + seconds:
            await _ask(client, next(remaining), now, report)

    await asyncio.gather(*(call() for _ in range(callers)))
    report.seconds = time.perf_counter() - started
    return report


async def open_loop(client: AsyncSentimentClient, texts: Sequence[str], rate: float, seconds: float) -> LoadReport:
    """Requests at random times, `rate` a second in the mean, for so long; then the last answers are waited for."""
    report, remaining = LoadReport(), cycle(texts)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as requests:
        for due in _arrivals(started, rate, seconds):
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            report.most_late = max(report.most_late, time.perf_counter() - due)
            requests.create_task(_ask(client, next(remaining), due, report))
    report.seconds = time.perf_counter() - started
    return report


def synthetic_reviews(count: int = 1_000, seed: int = 1) -> list[str]:
    """Words in a row, as many as film reviews have: for speed, not for sense."""
    rng = random.Random(seed)
    lengths = (min(_MOST_WORDS, int(1 + _MEDIAN_WORDS * rng.lognormvariate(0, _SPREAD))) for _ in range(count))
    return [" ".join(rng.choices(_WORDS, k=length)) for length in lengths]


def _arrivals(started: float, rate: float, seconds: float, seed: int = 1) -> Iterator[float]:
    """Times of a Poisson process: callers who know nothing of each other."""
    rng, due = random.Random(seed), started
    while (due := due + rng.expovariate(rate)) < started + seconds:
        yield due


async def _ask(client: AsyncSentimentClient, text: str, since: float, report: LoadReport) -> None:
    try:
        await client.classify(text)
    except ClientError as error:
        report.errors[error.code.name] += 1
    else:
        report.latencies.append(time.perf_counter() - since)
