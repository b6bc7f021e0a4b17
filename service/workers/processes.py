"""Processor time, memory and open files of a server that is several processes."""

import os
from collections.abc import Callable, Iterable

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector

_CPU, _START = "process_cpu_seconds", "process_start_time_seconds"


class Processes(Collector):
    """What ProcessCollector says of one process, summed over this one and its workers.

    The start is that of this one. Memory that the processes share counts in each.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        """`pids` are those of the workers that run."""
        self._pids = pids
        self._cpu = 0.0

    def collect(self) -> Iterable[Metric]:
        """The sums."""
        ended = os.times()  # of workers that have ended; asked first, so that none is counted twice
        families = {family.name: family for family in _of("self")}
        for pid in self._pids():
            for family in _of(pid):
                if family.name in families and family.name != _START:
                    _add(families[family.name], family.samples[0].value)
        if _CPU in families:
            _add(families[_CPU], ended.children_user + ended.children_system)
            self._keep_growing(families[_CPU])
        return families.values()

    def _keep_growing(self, family: Metric) -> None:
        """A worker that ends between two readings is missing from both; a counter must not fall for that."""
        self._cpu = max(self._cpu, family.samples[0].value)
        family.samples = [family.samples[0]._replace(value=self._cpu)]


def _of(pid: int | str) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()


def _add(family: Metric, value: float) -> None:
    (sample,) = family.samples
    family.samples = [sample._replace(value=sample.value + value)]
