"""The load generator, and that its latencies are honest."""

import asyncio
import statistics

import pytest

from service.client.aio import AsyncSentimentClient
from service.client.load import LoadReport, closed_loop, open_loop, synthetic_reviews
from service.server import Server

STALL = 0.5  # seconds


class StallingClient(AsyncSentimentClient):
    """A client whose answers all wait for the end of one stall."""

    def __init__(self, target: str) -> None:
        super().__init__(target, coalesce=False)
        self.stall_over = asyncio.get_running_loop().time() + STALL

    async def classify(self, text: str) -> object:  # type: ignore[override]
        """Answers nothing before the stall is over."""
        await asyncio.sleep(max(0.0, self.stall_over - asyncio.get_running_loop().time()))
        return await super().classify(text)


async def test_a_closed_loop_keeps_its_callers_busy(server: Server) -> None:
    async with AsyncSentimentClient(f"127.0.0.1:{server.grpc_port}") as client:
        report = await closed_loop(client, ["good", "bad"], callers=4, seconds=0.5)
    assert not report.errors
    assert report.seconds >= 0.5
    assert report.per_second * statistics.fmean(report.latencies) == pytest.approx(4, rel=0.5)  # Little's law


async def test_an_open_loop_counts_a_stall_for_everybody_in_it(server: Server) -> None:
    async with StallingClient(f"127.0.0.1:{server.grpc_port}") as client:
        report = await open_loop(client, ["good"], rate=100, seconds=2 * STALL)
    assert not report.errors
    assert len(report.latencies) == pytest.approx(100, abs=40)
    # Half of the requests were due in the stall, evenly over it: a quarter of all waited for more than half of it.
    assert report.percentile(80) > STALL / 3
    assert max(report.latencies) > 0.8 * STALL


async def test_errors_are_counted_by_their_code(server: Server) -> None:
    async with AsyncSentimentClient(f"127.0.0.1:{server.grpc_port}") as client:
        report = await open_loop(client, ["good", " "], rate=100, seconds=0.5)
    assert set(report.errors) == {"INVALID_ARGUMENT"}
    assert abs(report.errors["INVALID_ARGUMENT"] - len(report.latencies)) <= 1


def test_percentiles_are_of_the_ranked_latencies() -> None:
    report = LoadReport(seconds=2.0, latencies=[float(number) for number in range(100, 0, -1)])
    assert (report.percentile(50), report.percentile(99), report.percentile(99.9)) == (51, 100, 100)
    assert report.per_second == 50


def test_synthetic_reviews_have_the_lengths_of_film_reviews() -> None:
    lengths = [len(text.split()) for text in synthetic_reviews()]
    first, middle, last = statistics.quantiles(lengths, n=4)
    assert middle == pytest.approx(201, rel=0.1)
    assert first == pytest.approx(146, rel=0.2)
    assert last == pytest.approx(327, rel=0.2)
    assert synthetic_reviews() == synthetic_reviews()
