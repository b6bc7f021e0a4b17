"""A run as Markdown and pictures.

    .venv/bin/python -m benchmarks.report runs/bench/<time> --document docs/performance.md

writes the document of a run that is over, without measuring again.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import plots, tables
from benchmarks.figures import Conditions, EngineCell, Judged, Launched, Note, Parity, Scaled, Served, Start, UnderLoad
from benchmarks.opening import EMPTY
from benchmarks.preface import preface
from benchmarks.records import FILE_NAME, Records

CORE_HOUR_PRICE = 0.04  # US dollars; an assumption: about what a core of a shared machine rents for

_CAPACITY = """\
Requests come one by one, at random. Capacity (100%) is the most that was answered of loads that rose from 75% of the
rate of 64 callers, by 5% of it, until the server no longer kept up; those callers ask in bursts, which costs less.
Latencies count from when a request was due. Each figure is the median of the rounds, each of which looked for its own
capacity."""
_WORKERS = """\
Batches of 64, 8 in flight over 64 connections: one worker on one core, two on two. With two cores in all the client is
on the second one, too, so the rates do not tell what two workers can do. The bound counts the CPU that a review takes
with one worker, over that with two, times those that work: that used at least half as much as the busiest."""
_PARTS = """\
CPU microseconds a review, by thread; tokenizing is part of the event loop. Ours is what its histogram says, in time and
not in CPU; the baseline's tokenizer is timed in the client's process."""


def write(records: Records, path: Path, pictures: Path, core_hour_price: float = CORE_HOUR_PRICE) -> None:
    """The Markdown to `path`, the PNGs to `pictures`, which is beside it or below."""
    names = plots.draw_all(records, pictures)
    beside = pictures.relative_to(path.parent)
    links = {name: f"![{name.removesuffix('.png')}]({(beside / name).as_posix()})" for name in names}
    path.write_text("\n\n".join(_sections(records, links, core_hour_price)) + "\n")


def _sections(records: Records, links: dict[str, str], core_hour_price: float) -> Iterator[str]:
    (conditions,) = records.of(Conditions)
    yield "# Performance"
    yield from preface(conditions)
    yield from (note.text for note in records.of(Note))
    if records.of(Judged):
        yield "## Required and reached"
        yield tables.bounds(records)
    yield from _of_serving(records, links, core_hour_price)
    yield from _of_load(records, links)
    yield from _of_engine(records, links)


def _of_serving(records: Records, links: dict[str, str], core_hour_price: float) -> Iterator[str]:
    if not records.of(Served):
        return
    yield "## Closed loops"
    for launched in records.of(Launched):
        yield f"The server, with `{' '.join(launched.flags)}`, said at its start:"
        yield "\n".join(f"    {line}" for line in launched.log)
    yield tables.served(records)
    yield "Streams, coalesced calls and batches are compared with the baseline at 64 in flight."
    yield links[plots.THROUGHPUT]
    if busy := tables.gpu_busy(records):
        yield busy
    yield "## Where a review's CPU goes"
    if empty := records.served(EMPTY, EMPTY, 64):
        yield f"On the machine of this run an empty method costs {empty.cpu_us:.0f} us of CPU a call at 64 in flight."
    yield links[plots.COST]
    yield _PARTS
    yield tables.parts(records)
    yield "## What a million reviews cost"
    yield f"At an assumed {core_hour_price:g} USD an hour of one core, if it is kept busy:"
    yield tables.cost(records, core_hour_price)


def _of_load(records: Records, links: dict[str, str]) -> Iterator[str]:
    if records.of(UnderLoad):
        yield "## Latency against load"
        yield _CAPACITY
        yield tables.under_load(records)
        yield links[plots.LATENCY]
    for start in records.of(Start):
        yield "## Start and memory"
        yield (
            f"From the start of the process to health SERVING, on one core: {median(start.seconds):.2f} s, the median "
            f"of {len(start.seconds)}; {start.resident_mb:.0f} MB resident then, one worker."
        )
    if records.of(Scaled):
        yield "## Workers"
        yield _WORKERS
        yield tables.scaling(records)


def _of_engine(records: Records, links: dict[str, str]) -> Iterator[str]:
    for parity in records.of(Parity):
        largest = f"{parity.largest_difference:.1e}"
        yield f"CUDA's answers to {parity.reviews:,} reviews are at most {largest} from the CPU's."
    if records.of(EngineCell):
        yield "## The engine alone"
        yield tables.engines(records)
        yield links[plots.ENGINE]


def main() -> None:
    """Write the report of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--document", type=Path, help="Markdown to write (report.md of the folder)")
    parser.add_argument("--core-hour-price", type=float, default=CORE_HOUR_PRICE, help="US dollars (%(default)s)")
    arguments = parser.parse_args()
    records = Records.read(arguments.run / FILE_NAME)
    document = arguments.document or arguments.run / "report.md"
    pictures = document.with_suffix("") if arguments.document else arguments.run
    write(records, document, pictures, arguments.core_hour_price)


if __name__ == "__main__":
    main()
