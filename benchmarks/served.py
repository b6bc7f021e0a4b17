"""Our server and the baseline in turn, under closed loops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median

from benchmarks.answers import check_answers
from benchmarks.figures import Note, Served
from benchmarks.gpu import GpuBusy
from benchmarks.load import Load, closed_loop, lone_loop, percentile, run
from benchmarks.methods import Method
from benchmarks.opening import BATCH, COALESCED, EMPTY, STREAM, UNARY, open_lone, open_method
from benchmarks.plan import Plan
from benchmarks.processes import ENGINE, MAIN, OTHERS
from benchmarks.records import Records
from benchmarks.scrape import Inside
from benchmarks.subject import BASELINE, OURS, Subject

MICROSECONDS, MILLISECONDS, MEGABYTE = 1e6, 1e3, 1e6
_QUIET = 0.9  # share of its core that a server gets that wants it whole


@dataclass(frozen=True)
class Case:
    """One way to load one server."""

    server: str  # OURS, BASELINE, or EMPTY: a method of the baseline's
    method: str
    in_flight: int  # requests


# Those that are compared stand next to each other.
CASES = (
    *(Case(server, UNARY, in_flight) for in_flight in (1, 16, 64) for server in (BASELINE, OURS)),
    Case(EMPTY, EMPTY, 64),
    Case(OURS, STREAM, 64),
    Case(OURS, COALESCED, 64),
    Case(OURS, BATCH, 4),
    Case(OURS, UNARY, 256),
)


def measure_rounds(subjects: Mapping[str, Subject], texts: Sequence[str], plan: Plan, records: Records) -> None:
    """Every case in every round, then the medians. Raises Refused on an error or a wrong answer."""
    rounds: dict[Case, list[Served]] = {case: [] for case in CASES}
    for number in range(1, plan.rounds + 1):
        for case, measured in rounds.items():
            subject = subjects[OURS if case.server == OURS else BASELINE]
            served = replace(measure(case, subject, texts, plan), round=number)
            records.add(served)
            measured.append(served)
            print(f"round {number}: {served.summary()}", flush=True)
    for measured in rounds.values():
        records.add(median_of(measured))
    if disturbed := disturbance(records):
        print(disturbed.text, flush=True)
        records.add(disturbed)


def measure(case: Case, subject: Subject, texts: Sequence[str], plan: Plan) -> Served:
    """One case, once. Raises Refused on an error or a wrong answer."""
    subject.tree.forget_peak()
    before = subject.scrape()
    with GpuBusy(subject.on_gpu) as gpu:
        load, answered = _load(case, subject, texts, plan)
    inside = subject.inside_since(before)
    served = _served(case, load, answered, inside)
    return replace(served, peak_mb=subject.tree.peak_bytes() / MEGABYTE, gpu_busy=gpu.mean)


def _load(case: Case, subject: Subject, texts: Sequence[str], plan: Plan) -> tuple[Load, int]:
    """The load, and the reviews that were answered within its window."""
    if (case.method, case.in_flight) == (UNARY, 1):
        load, method = _alone(subject, texts, plan)
    else:
        load, method = run(_together(case, subject, texts, plan))
    if case.server != EMPTY:
        check_answers(method, load.asked, subject.expected, subject.tolerance)
    return load, len(load.measured()) * method.reviews


def _alone(subject: Subject, texts: Sequence[str], plan: Plan) -> tuple[Load, Method]:
    with open_lone(subject.target, texts) as method:
        return lone_loop(method.ask_and_wait, plan.warm_up, plan.window, subject.tree.look), method


async def _together(case: Case, subject: Subject, texts: Sequence[str], plan: Plan) -> tuple[Load, Method]:
    async with open_method(case.method, subject.target, texts) as method:
        load = await closed_loop(method, case.in_flight, plan.warm_up, plan.window, subject.tree.look)
    return load, method


def _served(case: Case, load: Load, answered: int, inside: Inside) -> Served:
    latencies = [(one.ended - one.sent) * MILLISECONDS for one in load.measured()]
    each = MICROSECONDS / answered
    return Served(
        *(case.server, case.method, case.in_flight),
        round=0,
        per_second=answered / load.seconds,
        cpu_us=(load.after.cpu - load.before.cpu) * each,
        main_us=load.of_thread(MAIN) * each,
        engine_us=load.of_thread(ENGINE) * each,
        others_us=load.of_thread(OTHERS) * each,
        tokenize_us=0.0 if case.server == EMPTY else inside.tokenize_us,
        p50_ms=percentile(latencies, 50),
        p90_ms=percentile(latencies, 90),
        p99_ms=percentile(latencies, 99),
        padding_ratio=inside.padding_ratio,
        batch_size=inside.batch_size,
        peak_mb=0.0,
    )


def disturbance(records: Records) -> Note | None:
    """A warning, where the baseline under its greatest load did not get its core, which it could have used whole."""
    busiest = records.served(BASELINE, UNARY, 64)
    share = busiest.per_second * busiest.cpu_us / MICROSECONDS if busiest else 1.0
    if share >= _QUIET:
        return None
    return Note(f"**The machine was not quiet: the baseline got {share:.0%} of its core. Do not trust these figures.**")


def median_of(rounds: Sequence[Served]) -> Served:
    """Of each figure by itself."""
    measured = [field.name for field in fields(Served) if isinstance(getattr(rounds[0], field.name), float)]
    medians = {name: median(getattr(one, name) for one in rounds) for name in measured}
    return replace(rounds[0], round=0, **medians)
