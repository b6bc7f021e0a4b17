"""What the service must reach, and what it aims for."""

from collections.abc import Iterator
from math import inf
from statistics import median
from typing import NamedTuple

from benchmarks.figures import Judged, Scaled, Served, Start, UnderLoad
from benchmarks.opening import BATCH, COALESCED, STREAM, UNARY
from benchmarks.records import Records
from benchmarks.subject import BASELINE, OURS

# CPU us a review of the baseline at 64 in flight, on the machine for which bounds in us and ms were set.
_BASELINE_US = 953


class Bound(NamedTuple):
    """One figure; `measured` is None where its part did not run."""

    what: str
    at_least: bool
    required: float
    aim: float | None
    measured: float | None


def judge(records: Records) -> list[Judged]:
    """Every bound against what was measured."""
    return [
        Judged(bound.what, bound.required, bound.aim, bound.at_least, bound.measured, _keeps(bound))
        for bound in (*_served(records), *_others(records))
    ]


def on_this_machine(records: Records) -> str | None:
    """How far the bounds that are times can be held against this machine; None if that was not measured."""
    baseline = records.served(BASELINE, UNARY, 64)
    if baseline is None:
        return None
    times = f"{baseline.cpu_us:,.0f}, {baseline.cpu_us / _BASELINE_US:.2f} times as much"
    return f"Times are for a machine where the baseline takes {_BASELINE_US} us of CPU a review. Here it took {times}."


def ratio(records: Records, served: Served | None) -> float | None:
    """How many times the baseline's rate, at as many in flight; of streams, coalesced calls and batches, at 64."""
    in_flight = served.in_flight if served and served.method == UNARY else 64
    baseline = records.served(BASELINE, UNARY, in_flight)
    return served.per_second / baseline.per_second if served and baseline else None


def _keeps(bound: Bound) -> bool | None:
    if bound.measured is None:
        return None
    return bound.measured >= bound.required if bound.at_least else bound.measured <= bound.required


def _served(records: Records) -> Iterator[Bound]:
    one, sixteen, many = (records.served(OURS, UNARY, in_flight) for in_flight in (1, 16, 64))
    batch, together = records.served(OURS, BATCH, 4), _better(records)
    yield Bound("unary, 64 in flight: times the baseline", True, 2.5, 3.5, ratio(records, many))
    yield Bound("unary, 64 in flight: CPU us a review", False, 400, 290, _of(many, "cpu_us"))
    yield Bound("unary, 16 in flight: times the baseline", True, 1.9, 2.7, ratio(records, sixteen))
    yield Bound("unary, 16 in flight: CPU us a review", False, 500, None, _of(sixteen, "cpu_us"))
    yield Bound("unary, alone: times the baseline", True, 1.5, 2, ratio(records, one))
    yield Bound("unary, alone: p50 ms", False, 0.8, None, _of(one, "p50_ms"))
    yield Bound("stream or coalesced, 64 in flight: times the baseline", True, 3, 4, ratio(records, together))
    yield Bound("stream or coalesced, 64 in flight: CPU us a review", False, 330, None, _of(together, "cpu_us"))
    yield Bound("batches of 64, 4 in flight: times the baseline", True, 4, 6, ratio(records, batch))
    yield Bound("batches of 64, 4 in flight: CPU us a review", False, 240, 160, _of(batch, "cpu_us"))


def _others(records: Records) -> Iterator[Bound]:
    loads = [inf if one.refused else one.p99_ms for one in records.of(UnderLoad) if one.share == 0.70]
    peaks = [one.peak_mb for one in records.of(Served) if one.server == OURS]
    starts = [median(one.seconds) for one in records.of(Start)]
    scaled = {one.workers: one for one in records.of(Scaled) if one.round == 0}
    # What they would serve if each had its core alone: the rates suffer from the client, which shares one of them.
    gain = scaled[2].working * scaled[1].cpu_us / scaled[2].cpu_us if {1, 2} <= scaled.keys() else None
    yield Bound("open loop at 70% of capacity: p99 ms", False, 15, 8, min(loads, default=None))
    yield Bound("resident memory at its most, MB", False, 150, 110, max(peaks, default=None))
    yield Bound("start to ready, s", False, 2, 1, max(starts, default=None))
    yield Bound("two workers: times one, by CPU a review", True, 1.7, None, gain)


def _of(served: Served | None, figure: str) -> float | None:
    return None if served is None else float(getattr(served, figure))


def _better(records: Records) -> Served | None:
    """Of the two ways to send many reviews one by one, that with the higher rate."""
    both = (records.served(OURS, method, 64) for method in (STREAM, COALESCED))
    return max((one for one in both if one), key=lambda one: one.per_second, default=None)
