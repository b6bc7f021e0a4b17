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


def measure_under_load(subject: Subject, texts: Sequence[str], plan: Plan, records: Records) -> None:
    """Every share of the capacity, which is the rate of 64 callers, in every round; then the medians.

    Raises Refused on an error or a wrong answer.
    """
    known = records.served(OURS, UNARY, 64)
    capacity = known or measure(Case(OURS, UNARY, 64), subject, texts, plan)
    rounds: dict[float, list[UnderLoad]] = {share: [] for share in SHARES}
    for number in range(1, plan.rounds + 1):
        for share, measured in rounds.items():
            under_load = measure_share(share, share * capacity.per_second, subject, texts, plan)
            measured.append(under_load)
            told = f"p50 {under_load.p50_ms:.2f} ms, p99 {under_load.p99_ms:.2f} ms, {under_load.refused} refused"
            print(f"round {number}: {share:.0%} of capacity: {told}", flush=True)
    for measured in rounds.values():
        records.add(_median_of(measured))


def measure_share(share: float, rate: float, subject: Subject, texts: Sequence[str], plan: Plan) -> UnderLoad:
    """Requests at `rate` a second; those due in the warm-up do not count."""
    asked = run(_ask(rate, subject, texts, plan))
    begin = min(one.due for one in asked) + plan.warm_up
    counted = [one for one in asked if one.due >= begin]
    answered = [one for one in counted if one.answer is not None]
    latencies = [(one.ended - one.due) * MILLISECONDS for one in answered]
    if not answered:
        raise Refused(f"no request was answered after the warm-up, of {rate:.1f} a second")
    late = [(one.sent - one.due) * MILLISECONDS for one in counted]
    p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
    return UnderLoad(share, rate, len(answered), len(counted) - len(answered), p50, p99, percentile(late, 99))


async def _ask(rate: float, subject: Subject, texts: Sequence[str], plan: Plan) -> list[Asked]:
    async with open_method(UNARY, subject.target, texts) as method:
        asked = await open_loop(method, poisson(rate, plan.warm_up + plan.window))
    given = [one for one in asked if one.answer is not None]
    check_answers(method, given, subject.expected, subject.tolerance)
    return asked


def _median_of(rounds: Sequence[UnderLoad]) -> UnderLoad:
    """Of each latency by itself, and all that was answered and refused."""
    latencies = {
        name: median(getattr(one, name) for one in rounds) for name in ("p50_ms", "p99_ms", "sent_late_p99_ms")
    }
    totals = {name: sum(getattr(one, name) for one in rounds) for name in ("answered", "refused")}
    return replace(rounds[0], **latencies, **totals)
