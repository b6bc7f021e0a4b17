"""The table of what must be reached, and the report around it."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import bounds, report, tables
from benchmarks.figures import Conditions, EngineCell, Note, Scaled, Served, Start, UnderLoad
from benchmarks.records import FILE_NAME, Records
from benchmarks.served import disturbance

CONDITIONS = Conditions(
    date="2026-01-01",
    cpu="a processor",
    cores=2,
    instructions="avx512",
    kernel="6",
    python="3.11",
    packages={"numpy": "2"},
    commit="abc",
    changed=False,
    model="imdb-lstm 2",
    precision="int8",
    device="cpu",
    reviews="some reviews",
    mean_tokens=235.0,
    quick=False,
    arguments=[],
)
UNARY = Served("ours", "unary", 64, 0, 2_500.0, 350.0, 200.0, 100.0, 50.0, 20.0, 9.0, 10.0, 12.0, 0.1, 8.0, 120.0)
BASELINE = replace(UNARY, server="baseline", per_second=1_000.0, cpu_us=1_000.0, peak_mb=400.0)


def records_of(*added: object) -> Records:
    """Records that hold these."""
    records = Records()
    for record in added:
        records.add(record)
    return records


def judged(records: Records) -> dict[str, bool | None]:
    """Whether each bound is kept, by its name."""
    return {one.what: one.ok for one in bounds.judge(records)}


def test_what_was_not_measured_is_neither_kept_nor_missed() -> None:
    assert {*judged(Records()).values()} == {None}


def test_ratios_are_to_the_baseline_at_as_many_in_flight() -> None:
    baselines = (replace(BASELINE, in_flight=16, per_second=2_000.0), BASELINE)
    records = records_of(*baselines, replace(UNARY, in_flight=16), UNARY)
    found = judged(records)
    assert found["unary, 64 in flight: times the baseline"] is True  # 2.5, which is just enough
    assert found["unary, 64 in flight: CPU us a review"] is True
    assert found["unary, 16 in flight: times the baseline"] is False
    assert found["unary, alone: times the baseline"] is None


def test_of_streams_and_coalesced_calls_the_faster_counts() -> None:
    stream = replace(UNARY, method="stream", per_second=2_900.0, cpu_us=300.0)
    coalesced = replace(UNARY, method="coalesced", per_second=3_100.0, cpu_us=340.0)
    found = judged(records_of(BASELINE, stream, coalesced))
    assert found["stream or coalesced, 64 in flight: times the baseline"] is True
    assert found["stream or coalesced, 64 in flight: CPU us a review"] is False


def test_batches_are_compared_with_the_baseline_at_64() -> None:
    batch = replace(UNARY, method="batch of 64", in_flight=4, per_second=4_000.0)
    assert judged(records_of(BASELINE, batch))["batches of 64, 4 in flight: times the baseline"] is True


def test_only_medians_count_and_only_our_memory() -> None:
    records = records_of(BASELINE, replace(UNARY, round=1, per_second=9_999.0))
    found = judged(records)
    assert found["unary, 64 in flight: times the baseline"] is None
    assert found["resident memory at its most, MB"] is True


def test_load_start_and_workers() -> None:
    load = UnderLoad(0.70, 1_000.0, 990.0, 900, 0, 3.0, 15.1, 0.1)
    scaled = (Scaled(1, 0, 1_000.0, 900.0, 1), Scaled(2, 0, 1_699.0, 1_059.0, 2))
    found = judged(records_of(load, Start([0.9, 2.5, 1.9], 90.0), *scaled))
    assert found["open loop at 70% of capacity: p99 ms"] is False
    assert found["start to ready, s"] is True
    refusing = judged(records_of(replace(load, p99_ms=5.0, refused=1)))
    assert refusing["open loop at 70% of capacity: p99 ms"] is False
    assert found["two workers: times one, by CPU a review"] is False
    working, idle = (records_of(scaled[0], Scaled(2, 0, 1_000.0, 900.0, count)) for count in (2, 1))
    assert judged(working)["two workers: times one, by CPU a review"] is True
    assert judged(idle)["two workers: times one, by CPU a review"] is False


def test_the_table_shows_what_is_missed() -> None:
    records = records_of(BASELINE, replace(UNARY, cpu_us=500.0))
    for one in bounds.judge(records):
        records.add(one)
    rows = tables.bounds(records).splitlines()
    assert "| unary, 64 in flight: CPU us a review | at most 400 | 290 | 500 | **no** |" in rows
    assert "| start to ready, s | at most 2 | 1 | not measured | - |" in rows
    assert rows[-1].endswith("Here it took 1,000, 1.05 times as much.")


@pytest.mark.parametrize(("rate", "quiet"), [(1_000.0, True), (950.0, True), (800.0, False)])
def test_a_baseline_that_does_not_get_its_core_is_told(rate: float, quiet: bool) -> None:
    note = disturbance(records_of(replace(BASELINE, per_second=rate)))
    assert (note is None) == quiet


@pytest.mark.parametrize("price", [0.04, 0.08])
def test_the_report_has_every_part_that_was_measured(tmp_path: Path, price: float) -> None:
    path = tmp_path / FILE_NAME
    records = Records(path)
    cells = [EngineCell("int8", "native", batch, length, 100.0) for batch in (1, 64) for length in (50, 500, None)]
    load = UnderLoad(0.70, 1_000.0, 990.0, 900, 0, 3.0, 5.0, 0.1)
    for record in (CONDITIONS, Note("Something was left out."), BASELINE, UNARY, load, Start([0.9], 90.0), *cells):
        records.add(record)
    report.write(Records.read(path), tmp_path / "performance.md", tmp_path / "performance", price)
    text = (tmp_path / "performance.md").read_text()
    assert "Something was left out." in text
    assert f"| ours | unary | 64 | {350 * price / 3_600:.4f} |" in text
    assert "![cost](performance/cost.png)" in text
    assert {picture.name for picture in (tmp_path / "performance").iterdir()} == {
        *("throughput.png", "latency.png", "cost.png", "engine.png")
    }
    assert "## Workers" not in text
