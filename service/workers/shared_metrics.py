"""Metrics that several processes count together: each into files of its own, merged when somebody asks."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, PlatformCollector, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.workers.processes import Processes

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own
_MEMORY = "/dev/shm"


@contextmanager
def metrics_folder() -> Iterator[None]:
    """A folder for the files, known to this process and to those that it starts; gone afterwards."""
    # In memory: counting must not wait for a disk, and a container's own file system may be read-only.
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="review-sentiment-", dir=parent) as path:
        os.environ[_VARIABLE] = path
        try:
            yield
        finally:
            del os.environ[_VARIABLE]


def remove_folder() -> None:
    """For those that outlive the process that made it."""
    shutil.rmtree(os.environ[_VARIABLE], ignore_errors=True)


def count_as(name: str) -> None:
    """Make every collector from now on count into the files of `name`.

    Whoever takes another's place takes its name, goes on with its files, and so loses nothing that it had counted.
    """
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def forget_gauges(name: str) -> None:
    """What was true of a process while it lived."""
    mark_process_dead(name)  # type: ignore[no-untyped-call]


def merged_registry(pids: Callable[[], Iterable[int]]) -> CollectorRegistry:
    """The series of one process, counted by all; `pids` are those of the workers that run."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    PlatformCollector(registry)
    registry.register(Processes(pids))
    return registry
