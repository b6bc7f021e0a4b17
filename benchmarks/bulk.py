"""Scores a file of reviews with one process and with more, and says how near that comes to the engine alone.

    .venv/bin/python -m benchmarks.bulk path/to/reviews.parquet --workers 1 2

The ceiling is tokenizer and engine in one thread over the same reviews, sorted by length, without any file. For each
number of workers: rows a second from start to end of the command, and by core; and the most memory of the parent and
of one worker.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bundle.store import find_version
from service.bulk.formats import choose_column, open_table
from service.bulk.outcomes import refuse
from service.bulk.worker import Spec, Worker
from service.config import Settings, default_models

MEBIBYTE = 2**20
BETWEEN_SAMPLES = 0.05  # seconds


@dataclass
class Run:
    """What one run of the command took; memory is resident, in bytes, at its most."""

    seconds: float = 0.0
    parent: int = 0
    worker: int = 0

    def sample(self, process: psutil.Process) -> None:
        """Look at its memory now."""
        try:
            self.parent = max(self.parent, process.memory_info().rss)
            for child in process.children():
                self.worker = max(self.worker, child.memory_info().rss)
        except psutil.NoSuchProcess:  # it ended as we looked
            pass


def read(path: Path, column: str | None) -> tuple[int, list[str]]:
    """The number of rows, and the texts that can be classified."""
    table = open_table(path)
    cells = [cell for part in table.parts(choose_column(path, table, column)) for cell in part.cells]
    return len(cells), [cell for cell in cells if refuse(cell, Settings.max_text_bytes) is None]


def ceiling(texts: Sequence[str]) -> float:
    """Texts a second of tokenizer and engine."""
    worker = Worker(Spec(find_version(default_models())))
    started = time.perf_counter()
    worker.classify(texts)
    return len(texts) / (time.perf_counter() - started)


def score(path: Path, column: str | None, workers: int) -> Run:
    """Run the command to its end. Raises CalledProcessError if it fails."""
    run = Run()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service", "score", str(path), f"{folder}/answers{path.suffix}"]
        command += ["--workers", str(workers), *(["--column", column] if column else [])]
        started = time.perf_counter()
        with subprocess.Popen(command) as process:
            watched = psutil.Process(process.pid)
            while process.poll() is None:
                run.sample(watched)
                time.sleep(BETWEEN_SAMPLES)
        run.seconds = time.perf_counter() - started
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="reviews, not .txt: the answers are written in the same format")
    parser.add_argument("--column", help="(the one that is clear)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="(%(default)s)")
    arguments = parser.parse_args()
    rows, texts = read(arguments.file, arguments.column)
    best = ceiling(texts)
    print(f"engine alone: {best:,.0f} rows a second in one thread, {rows:,} rows")
    for workers in arguments.workers:
        run = score(arguments.file, arguments.column, workers)
        rate = rows / run.seconds
        print(
            f"--workers {workers}: {run.seconds:.1f} s, {rate:,.0f} rows a second, {rate / workers:,.0f} by core "
            f"({rate / workers / best:.0%} of the engine's); at most {run.parent / MEBIBYTE:.0f} MiB in the parent, "
            f"{run.worker / MEBIBYTE:.0f} MiB in a worker"
        )


if __name__ == "__main__":
    main()
