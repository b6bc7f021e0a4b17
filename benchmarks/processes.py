"""What a server process and its children use, as /proc says."""

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")  # a second
_RESET_PEAK = "5"  # that clear_refs takes for "forget how much memory it was at most"
_KIBIBYTE = 1_024

MAIN, ENGINE, OTHERS = "main", "engine", "others"


@dataclass(frozen=True)
class Usage:
    """CPU seconds that a server has used until `time`; by thread as far as the thread still lives."""

    time: float  # of time.perf_counter
    by_process: dict[str, float]
    by_thread: dict[str, float]  # of MAIN, ENGINE and OTHERS

    @property
    def cpu(self) -> float:
        """Of all processes."""
        return sum(self.by_process.values())


class ProcessTree:
    """A process and all that it started."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def look(self) -> Usage:
        """What it has used until now."""
        threads, processes = defaultdict[str, float](float), self._folders()
        for process in processes:
            for thread in process.glob("task/*"):
                threads[_kind(process, thread)] += _cpu_seconds(thread)
        by_process = {process.name: _cpu_seconds(process) for process in processes}
        return Usage(time.perf_counter(), by_process, dict(threads))

    def forget_peak(self) -> None:
        """Let `peak_bytes` begin anew."""
        for process in self._folders():
            with suppress(OSError):  # not every container allows it; the peak is then of the whole life
                (process / "clear_refs").write_text(_RESET_PEAK)

    def peak_bytes(self) -> int:
        """Resident memory at its most."""
        return sum(_memory(process, "VmHWM") for process in self._folders())

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return sum(_memory(process, "VmRSS") for process in self._folders())

    def _folders(self) -> list[Path]:
        processes = [self._root, *self._root.children(recursive=True)]
        return [Path("/proc") / str(process.pid) for process in processes]


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Processes started meanwhile, by this thread, run on these cores and no others."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cpu_seconds(folder: Path) -> float:
    # The name, in parentheses, may hold anything; utime and stime are the 14th and 15th fields.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _kind(process: Path, thread: Path) -> str:
    if thread.name == process.name:
        return MAIN
    return ENGINE if (thread / "comm").read_text().startswith("engine") else OTHERS


def _memory(process: Path, name: str) -> int:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith(name + ":"))
