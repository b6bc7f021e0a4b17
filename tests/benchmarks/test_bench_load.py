"""Loops, percentiles, and that latencies count from when a request was due."""

import asyncio
import itertools
import statistics
import time

import pytest

from benchmarks.answers import check_answers
from benchmarks.errors import Refused
from benchmarks.load import closed_loop, lone_loop, open_loop, percentile, poisson
from benchmarks.methods import indices
from benchmarks.processes import Usage

STALL = 0.3  # seconds
EXPECTED = [0.1, 0.2, 0.3]


class Echo:
    """Answers what is expected, once its stall is over."""

    reviews = 1

    def __init__(self, stall: float = 0.0) -> None:
        self._over = time.perf_counter() + stall

    async def ask(self, number: int) -> list[float]:
        """What is expected of the review."""
        await asyncio.sleep(max(0.001, self._over - time.perf_counter()))
        return [EXPECTED[number % len(EXPECTED)]]

    def probabilities(self, answer: list[float]) -> list[float]:
        """The answer itself."""
        return answer


class Wrong(Echo):
    """Is off by a little in one review of three."""

    def probabilities(self, answer: list[float]) -> list[float]:
        """Off by 2e-5."""
        return [value + 2e-5 if value == EXPECTED[1] else value for value in answer]


class Silent(Echo):
    """Answers with nothing."""

    def probabilities(self, answer: list[float]) -> list[float]:
        """Nothing."""
        return []


class NotANumber(Echo):
    """Answers NaN."""

    def probabilities(self, answer: list[float]) -> list[float]:
        """NaN."""
        return [float("nan")]


def look() -> Usage:
    """A server that uses nothing."""
    return Usage(time.perf_counter(), {}, {})


def test_percentiles_are_the_least_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, share) for share in (1, 50, 90, 99, 100)] == [1, 50, 90, 99, 100]
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7


def test_poisson_arrivals_come_at_their_rate_and_forget_the_last() -> None:
    arrivals = poisson(rate=1_000, seconds=10)
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert all(gap > 0 for gap in gaps) and arrivals[-1] < 10
    assert statistics.stdev(gaps) == pytest.approx(statistics.fmean(gaps), rel=0.05)  # of an exponential law
    assert arrivals == poisson(rate=1_000, seconds=10)


async def test_an_open_loop_counts_a_stall_for_everybody_in_it() -> None:
    arrivals = [STALL / 100 * number for number in range(100)]  # all due in the stall, evenly
    asked = await open_loop(Echo(STALL), arrivals)
    latencies = [one.ended - one.due for one in asked]
    assert [one.number for one in asked] == list(range(100))
    assert latencies[0] > 0.8 * STALL
    assert statistics.fmean(latencies) > 0.4 * STALL


async def test_an_open_loop_counts_from_the_due_time_even_if_the_client_was_late() -> None:
    class Blocking(Echo):
        """Holds the client up at its first request."""

        async def ask(self, number: int) -> list[float]:
            """Blocks the event loop."""
            if number == 0:
                time.sleep(STALL)  # noqa: ASYNC251
            return await super().ask(number)

    first, second = await open_loop(Blocking(), [0.0, 0.001])
    assert second.sent - second.due > 0.5 * STALL
    assert second.ended - second.due > 0.5 * STALL > second.ended - second.sent
    assert first.ended >= first.sent


async def test_a_closed_loop_counts_what_is_answered_within_its_window() -> None:
    load = await closed_loop(Echo(), callers=4, warm_up=0.1, window=0.2, look=look)
    measured = load.measured()
    assert load.seconds >= 0.2
    assert 4 < len(measured) < len(load.asked)
    assert all(load.before.time <= one.ended < load.after.time for one in measured)
    assert sorted(one.number for one in load.asked) == list(range(len(load.asked)))


def test_a_lone_caller_asks_one_thing_after_the_other() -> None:
    def ask(number: int) -> int:
        time.sleep(0.005)
        return number

    load = lone_loop(ask, warm_up=0.1, window=0.2, look=look)
    assert 0.2 <= load.seconds < 5
    assert [one.number for one in load.asked] == [one.answer for one in load.asked] == list(range(len(load.asked)))
    assert all(before.ended <= after.sent for before, after in itertools.pairwise(load.asked))
    assert 1 < len(load.measured()) < len(load.asked)


async def test_a_window_stays_open_until_something_is_answered() -> None:
    load = await closed_loop(Echo(STALL), callers=2, warm_up=0.01, window=0.01, look=look)
    assert load.measured()
    assert load.seconds > 0.5 * STALL


@pytest.mark.parametrize("method", [Wrong(), Silent(), NotANumber()])
async def test_a_run_with_a_wrong_answer_is_refused(method: Echo) -> None:
    asked = await open_loop(method, [0.0] * 6)
    with pytest.raises(Refused, match=r"of 6 answers are wrong"):
        check_answers(method, asked, EXPECTED)


async def test_right_answers_pass_and_a_tolerance_is_kept_to() -> None:
    asked = await open_loop(Wrong(), [0.0] * 6)
    check_answers(Echo(), asked, EXPECTED)
    check_answers(Wrong(), asked, EXPECTED, tolerance=3e-5)


def test_requests_of_many_reviews_take_them_in_order_and_begin_anew() -> None:
    class Pair(Echo):
        """Two reviews in a request."""

        reviews = 2

    assert [list(indices(Pair(), number, 5)) for number in range(4)] == [[0, 1], [2, 3], [0, 1], [2, 3]]
