"""One worker on one core, and two on two; with no third core, a light client shares the second."""

from collections.abc import Sequence
from dataclasses import fields
from statistics import median

from benchmarks.answers import Answers, check_answers
from benchmarks.figures import Note, Scaled
from benchmarks.load import closed_loop, run
from benchmarks.opening import BATCH, open_method
from benchmarks.plan import Plan
from benchmarks.records import Records
from benchmarks.served import MICROSECONDS
from benchmarks.subject import OURS, Subject, start
from service.config import Settings

WORKERS = (1, 2)
_IN_FLIGHT = 8
_CONNECTIONS = 64  # the kernel deals these out to the workers, not calls; of few, one may get nearly all


def measure_scaling(
    answers: Answers, texts: Sequence[str], cores: Sequence[int], flags: Sequence[str], plan: Plan, records: Records
) -> None:
    """Both in every round, then the medians. Raises Refused on an error or a wrong answer."""
    if "workers" not in {setting.name for setting in fields(Settings)}:
        records.add(Note("Workers were not measured: this server has no setting `workers`."))
        return
    rounds: dict[int, list[Scaled]] = {workers: [] for workers in WORKERS}
    for number in range(1, plan.rounds + 1):
        for workers, measured in rounds.items():
            with start(OURS, answers, cores[:workers], (*flags, "--workers", str(workers))) as subject:
                scaled = run(_measure(workers, number, subject, texts, plan))
            records.add(scaled)
            measured.append(scaled)
            print(f"round {number}: {workers} workers {scaled.per_second:,.0f} a second", flush=True)
    for workers, measured in rounds.items():
        per_second, cpu_us = (median(getattr(one, name) for one in measured) for name in ("per_second", "cpu_us"))
        records.add(Scaled(workers, 0, per_second, cpu_us, min(one.working for one in measured)))


async def _measure(workers: int, number: int, subject: Subject, texts: Sequence[str], plan: Plan) -> Scaled:
    async with open_method(BATCH, subject.target, texts, connections=_CONNECTIONS) as method:
        load = await closed_loop(method, _IN_FLIGHT, plan.warm_up, plan.window, subject.tree.look)
    check_answers(method, load.asked, subject.expected, subject.tolerance)
    answered = len(load.measured()) * method.reviews
    before, after = load.before.by_process, load.after.by_process
    used = [(after[process] - before[process]) * MICROSECONDS / answered for process in before]
    working = sum(one >= max(used) / 2 for one in used)
    return Scaled(workers, number, answered / load.seconds, sum(used), working)
