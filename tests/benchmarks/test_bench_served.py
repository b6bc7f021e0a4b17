"""The parts together, very briefly, against real servers; figures do not matter here."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.answers import Answers
from benchmarks.conditions import choose_cores
from benchmarks.errors import Refused
from benchmarks.figures import Conditions, Start, UnderLoad
from benchmarks.opening import BATCH, COALESCED, EMPTY, STREAM, UNARY
from benchmarks.plan import QUICK
from benchmarks.processes import ENGINE, MAIN, OTHERS
from benchmarks.records import FILE_NAME, Records
from benchmarks.reviews import choose_reviews
from benchmarks.served import Case, measure, median_of
from benchmarks.subject import BASELINE, OURS, Subject, start
from benchmarks.under_load import SHARES, measure_share, measure_under_load
from bundle.store import Bundle

BRIEF = replace(QUICK, reviews=128, warm_up=0.1, window=0.3)


@pytest.fixture(scope="module")
def texts(shipped: Bundle) -> list[str]:
    """A few reviews."""
    return choose_reviews(None, shipped, BRIEF.reviews).texts


@pytest.fixture(scope="module")
def ours(shipped: Bundle, texts: list[str]) -> Iterator[Subject]:
    """Our server."""
    with start(OURS, Answers(shipped, texts), os.sched_getaffinity(0)) as subject:
        yield subject


@pytest.fixture(scope="module")
def baseline(shipped: Bundle, texts: list[str]) -> Iterator[Subject]:
    """The plain one."""
    with start(BASELINE, Answers(shipped, texts), os.sched_getaffinity(0)) as subject:
        yield subject


@pytest.mark.parametrize(
    "case",
    [
        Case(OURS, UNARY, 1),
        Case(OURS, UNARY, 16),
        Case(OURS, STREAM, 64),
        Case(OURS, COALESCED, 64),
        Case(OURS, BATCH, 2),
    ],
)
def test_our_server_answers_rightly_whichever_way_it_is_asked(ours: Subject, texts: list[str], case: Case) -> None:
    served = measure(case, ours, texts, BRIEF)
    assert served.per_second > 0 and served.p50_ms <= served.p90_ms <= served.p99_ms
    assert served.tokenize_us > 0 <= served.cpu_us  # which the kernel counts in steps that are long beside this window
    assert served.peak_mb > 10 and 0 <= served.padding_ratio < 1 <= served.batch_size
    assert served.gpu_busy is None


@pytest.mark.parametrize("case", [Case(BASELINE, UNARY, 4), Case(EMPTY, EMPTY, 4)])
def test_the_baseline_answers_rightly_and_its_empty_method_at_all(
    baseline: Subject, texts: list[str], case: Case
) -> None:
    served = measure(case, baseline, texts, BRIEF)
    assert served.per_second > 0
    assert served.engine_us == 0 or case.server == BASELINE


def test_an_open_loop_asks_as_often_as_it_says(ours: Subject, texts: list[str]) -> None:
    under_load = measure_share(0.5, 100.0, ours, texts, BRIEF)
    assert isinstance(under_load, UnderLoad)
    assert 5 < under_load.answered < 80
    assert under_load.answered_per_second == pytest.approx(100, rel=0.6)
    assert 0 < under_load.p50_ms <= under_load.p99_ms


def test_every_round_measures_shares_of_its_own_capacity(
    ours: Subject, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    callers, p99 = iter([1_000.0, 2_000.0, 3_000.0]), iter([5.0, 1.0, 9.0])
    asked: list[tuple[float, float]] = []
    served = measure(Case(OURS, UNARY, 4), ours, texts, BRIEF)

    def share_of(share: float, rate: float, *_: object) -> UnderLoad:
        asked.append((share, rate))
        answered = min(rate, 860 if rate < 1_100 else 1_850 if rate < 2_100 else 2_000)
        return UnderLoad(share, rate, answered, 10, 1, 0.5, next(p99) if share == 0.7 else 2.0, 0.1)

    monkeypatch.setattr("benchmarks.under_load.measure", lambda *_: replace(served, per_second=next(callers)))
    monkeypatch.setattr("benchmarks.under_load.measure_share", share_of)
    records = Records()
    measure_under_load(ours, texts, replace(BRIEF, rounds=3), records)
    tried = [[750, 800, 850, 900], [1_500, 1_600, 1_700, 1_800, 1_900, 2_000], [2_250]]
    assert [rate for share, rate in asked if share == 1.0] == pytest.approx(list(chain(*tried)))
    assert [rate for share, rate in asked if share == 0.5] == [0.5 * 860, 0.5 * 1_850, 0.5 * 2_000]
    found = {one.share: one for one in records.of(UnderLoad)}
    assert list(found) == [1.0, *SHARES]
    assert [found[1.0].rate, found[1.0].answered_per_second] == pytest.approx([1_900, 1_850])
    assert (found[0.7].p99_ms, found[0.7].answered, found[0.7].refused) == (5, 30, 3)


def test_no_figures_of_a_server_that_answers_otherwise(ours: Subject, texts: list[str]) -> None:
    other = replace(ours, expected=[1 - value for value in ours.expected])
    with pytest.raises(Refused, match="answers are wrong"):
        measure(Case(OURS, UNARY, 4), other, texts, BRIEF)


def test_no_figures_of_a_server_that_refuses(ours: Subject, texts: list[str]) -> None:
    for callers in (1, 4):
        with pytest.raises(Refused, match="INVALID_ARGUMENT"):
            measure(Case(OURS, UNARY, callers), ours, [" ", *texts[1:]], BRIEF)


def test_the_median_is_of_each_figure(ours: Subject, texts: list[str]) -> None:
    served = measure(Case(OURS, UNARY, 4), ours, texts, BRIEF)
    rounds = [replace(served, round=1 + number, cpu_us=cpu) for number, cpu in enumerate((3.0, 1.0, 2.0))]
    assert median_of(rounds) == replace(served, round=0, cpu_us=2.0)


def test_the_engine_thread_is_told_from_others(ours: Subject, texts: list[str]) -> None:
    measure(Case(OURS, UNARY, 1), ours, texts, BRIEF)  # which starts it
    used = ours.tree.look()
    assert used.by_thread.keys() == {MAIN, ENGINE, OTHERS}
    assert sum(used.by_thread.values()) == pytest.approx(used.cpu, abs=0.5)
    assert ours.tree.peak_bytes() >= ours.tree.resident_bytes() > 10_000_000


def test_one_core_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    with pytest.raises(Refused, match="takes two cores"):
        choose_cores()


@pytest.mark.timeout(300)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two cores")
def test_the_command_measures_a_part_and_writes_its_report(tmp_path: Path) -> None:
    output = tmp_path / "run"
    command = (sys.executable, "-m", "benchmarks.run", "--quick", "--only", "start", "--output", str(output))
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("starts: ")
    assert "the figures of --quick are worth nothing" in ended.stdout
    written = (output / "report.md").read_text()
    assert "A smoke run" in written
    assert "Required and reached" not in written
    assert [type(one) for one in Records.read(output / FILE_NAME).of(object)][:2] == [Conditions, Start]
