"""The tables of a report, in Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.bounds import on_this_machine, ratio
from benchmarks.figures import EngineCell, Judged, Scaled, Served, UnderLoad
from benchmarks.opening import EMPTY
from benchmarks.records import Records
from benchmarks.subject import OURS

_SECONDS_AN_HOUR = 3_600


def table(header: str, rows: Iterable[Sequence[str]]) -> str:
    """`header` has the columns, with bars between."""
    columns = header.split("|")
    lines = [header, "|".join(" --- " for _ in columns), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line.strip()} |" for line in lines)


def bounds(records: Records) -> str:
    """Required, aim, measured, ok; and what to think of times on this machine."""
    rows = table("figure | required | aim | measured | ok", map(_bound_row, records.of(Judged)))
    return "\n\n".join(filter(None, (rows, on_this_machine(records))))


def served(records: Records) -> str:
    """The medians of every case but the empty one."""
    header = "server | method | in flight | reviews a second | times the baseline | CPU us a review "
    header += "| p50 ms | p90 ms | p99 ms | padding | reviews a batch | peak MB"
    cases = [one for one in records.of(Served) if one.round == 0 and one.server != EMPTY]
    return table(header, (_served_row(one, ratio(records, one)) for one in cases))


def gpu_busy(records: Records) -> str | None:
    """The share of the time that a kernel ran on the GPU, where there was one."""
    cases = [one for one in records.of(Served) if one.gpu_busy is not None]
    if not cases:
        return None
    rows = ((str(one.round), one.method, str(one.in_flight), f"{one.gpu_busy:.0%}") for one in cases)
    return table("round | method | in flight | GPU busy", rows)


def under_load(records: Records) -> str:
    """Latency by load."""
    rows = (
        (
            f"{one.share:.0%}",
            f"{one.rate:,.0f}",
            f"{one.answered_per_second:,.0f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.sent_late_p99_ms:.2f}",
            f"{one.refused:,}",
        )
        for one in records.of(UnderLoad)
    )
    return table("load | asked a second | answered a second | p50 ms | p99 ms | sent late, p99 ms | refused", rows)


def scaling(records: Records) -> str:
    """By number of workers."""
    medians = [one for one in records.of(Scaled) if one.round == 0]
    rows = ((str(one.workers), f"{one.per_second:,.0f}", f"{one.cpu_us:.0f}", str(one.working)) for one in medians)
    return table("workers | reviews a second | CPU us a review | working", rows)


def parts(records: Records) -> str:
    """Where the microseconds go."""
    cases = [one for one in records.of(Served) if one.round == 0 and one.in_flight == 64 and one.method != "stream"]
    rows = (
        (
            *(one.server, one.method),
            *(f"{value:.0f}" for value in (one.engine_us, one.tokenize_us, one.main_us, one.others_us, one.cpu_us)),
        )
        for one in cases
    )
    return table("server | method | engine | tokenizing | event loop | gRPC's threads | all", rows)


def engines(records: Records) -> str:
    """Real reviews in order of arrival, and the best of the grid, by engine."""
    cells = records.of(EngineCell)
    kinds = list(dict.fromkeys((one.precision, one.kernel) for one in cells))
    rows = []
    for kind in kinds:
        own = [one for one in cells if (one.precision, one.kernel) == kind]
        arrivals = [f"{one.review_us:.0f}" for one in own if one.length is None]
        lengths = sorted({one.length for one in own if one.length})
        best = [f"{min(one.review_us for one in own if one.length == length):.0f}" for length in lengths]
        rows.append((*kind, *arrivals, ", ".join(f"{us} ({n})" for us, n in zip(best, lengths, strict=True))))
    return table("precision | kernel | real reviews, windows of 64: us | best batch, us (tokens)", rows)


def cost(records: Records, core_hour_price: float) -> str:
    """US dollars a million reviews; a million times a microsecond is a second."""
    cases = [one for one in records.of(Served) if one.round == 0 and one.server != EMPTY and one.in_flight >= 4]
    rows = (
        (one.server, one.method, str(one.in_flight), f"{one.cpu_us * core_hour_price / _SECONDS_AN_HOUR:.4f}")
        for one in cases
    )
    return table("server | method | in flight | USD a million reviews", rows)


def _bound_row(one: Judged) -> Sequence[str]:
    sign = "at least" if one.at_least else "at most"
    measured = "not measured" if one.measured is None else f"{one.measured:.3g}" if one.measured < 10 else ""
    measured = measured or f"{one.measured:,.0f}"
    ok = {True: "yes", False: "**no**", None: "-"}[one.ok]
    return one.what, f"{sign} {one.required:g}", "-" if one.aim is None else f"{one.aim:g}", measured, ok


def _served_row(one: Served, times: float | None) -> Sequence[str]:
    return (
        *(one.server, one.method, str(one.in_flight), f"{one.per_second:,.0f}"),
        f"{times:.2f}" if one.server == OURS and times else "-",
        *(f"{one.cpu_us:.0f}", f"{one.p50_ms:.2f}", f"{one.p90_ms:.2f}", f"{one.p99_ms:.2f}"),
        *(f"{one.padding_ratio:.1%}", f"{one.batch_size:.1f}", f"{one.peak_mb:.0f}"),
    )
