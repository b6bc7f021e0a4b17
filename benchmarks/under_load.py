"""Latency against load: our server under open loops, up to nearly all that it can do."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from benchmarks.answers import check_answers
from benchmarks.errors import Refused
from benchmarks.figures import UnderLoad
from benchmarks.load import Asked, open_loop, percentile, poisson, run
from benchmarks.opening import UNARY, open_method
from benchmarks.plan import Plan
from benchmarks.records import Records
from benchmarks.served import MILLISECONDS, Case, measure
from benchmarks.subject import OURS, Subject

SHARES = (0.20, 0.50, 0.70, 0.85, 0.95)
# Where capacity is looked for, as shares of the rate of a closed loop of 64 callers: they ask in bursts, which costs a
# server less than an open loop does.
_SOUGHT = (0.75, 0.80, 0.85, 0.90, 0.95, 1.00)
_KEPT_UP = 0.97  # share of what was asked that a server answers in the window, if it keeps up
_CALLERS = 64


def measure_under_load(subject: Subject, texts: Sequence[str], plan: Plan, records: Records) -> None:
    """The capacity and every share of it, in every round, for machines drift; then the medians.

    Raises Refused on an error or a wrong answer.
    """
    rounds: dict[float, list[UnderLoad]] = {share: [] for share in (1.0, *SHARES)}
    for number in range(1, plan.rounds + 1):
        capacity = find_capacity(subject, texts, plan)
        rounds[1.0].append(capacity)
        for share in SHARES:
            under_load = measure_share(share, capacity.answered_per_second * share, subject, texts, plan)
            rounds[share].append(under_load)
            told = f"p50 {under_load.p50_ms:.2f} ms, p99 {under_load.p99_ms:.2f} ms, {under_load.refused} refused"
            print(f"round {number}: {share:.0%} of capacity, {under_load.rate:,.0f} a second: {told}", flush=True)
    for measured in rounds.values():
        records.add(median_of(measured))


def find_capacity(subject: Subject, texts: Sequence[str], plan: Plan) -> UnderLoad:
    """Of loads that rise until the server no longer keeps up, the one of which it answered the most a second."""
    callers = measure(Case(OURS, UNARY, _CALLERS), subject, texts, plan).per_second
    tried = list[UnderLoad]()
    for share in _SOUGHT:
        tried.append(measure_share(1.0, callers * share, subject, texts, plan))
        if tried[-1].answered_per_second < _KEPT_UP * tried[-1].rate:
            break
    return max(tried, key=lambda one: one.answered_per_second)


def measure_share(share: float, rate: float, subject: Subject, texts: Sequence[str], plan: Plan) -> UnderLoad:
    """Requests at `rate` a second; those due in the warm-up do not count."""
    asked = run(_ask(rate, subject, texts, plan))
    begin = min(one.due for one in asked) + plan.warm_up
    counted = [one for one in asked if one.due >= begin]
    answered = [one for one in counted if one.answer is not None]
    if not answered:
        raise Refused(f"no request was answered after the warm-up, of {rate:.1f} a second")
    latencies = [(one.ended - one.due) * MILLISECONDS for one in answered]
    late = [(one.sent - one.due) * MILLISECONDS for one in counted]
    in_window = sum(one.answer is not None and begin <= one.ended < begin + plan.window for one in asked)
    return UnderLoad(
        share,
        rate,
        answered_per_second=in_window / plan.window,
        answered=len(answered),
        refused=len(counted) - len(answered),
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        sent_late_p99_ms=percentile(late, 99),
    )


def median_of(rounds: Sequence[UnderLoad]) -> UnderLoad:
    """Of each rate and latency by itself, and all that was answered and refused."""
    medians = ("rate", "answered_per_second", "p50_ms", "p99_ms", "sent_late_p99_ms")
    return replace(
        rounds[0],
        **{name: median(getattr(one, name) for one in rounds) for name in medians},
        **{name: sum(getattr(one, name) for one in rounds) for name in ("answered", "refused")},
    )


async def _ask(rate: float, subject: Subject, texts: Sequence[str], plan: Plan) -> list[Asked]:
    async with open_method(UNARY, subject.target, texts) as method:
        asked = await open_loop(method, poisson(rate, plan.warm_up + plan.window))
    given = [one for one in asked if one.answer is not None]
    check_answers(method, given, subject.expected, subject.tolerance)
    return asked
