"""Keeps several workers running, and stops them without losing an answer."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from service.metrics import Metrics
from service.workers.child import Child
from service.workers.shared_metrics import forget_gauges

logger = logging.getLogger(__name__)

_EARLY = 60.0  # seconds: a worker that did not live so long died early
_LONGEST_PAUSE = 30.0  # seconds before a worker that died early again is replaced


class Supervisor:
    """`await run()`, until `ending` is set; then all workers answer what they have accepted, and end."""

    def __init__(self, children: Sequence[Child], metrics: Metrics) -> None:
        self.ending = asyncio.Event()
        self._children = children
        self._metrics = metrics
        self._status = 0

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [child.pid for child in self._children if child.pid]

    def is_ready(self) -> bool:
        """Whether any worker takes requests."""
        return not self.ending.is_set() and any(child.ready for child in self._children)

    async def run(self, serving: str) -> int:
        """Run all workers to their end, and log `serving` once all take requests.

        Returns the exit status: 0 if all ended with 0 when they were told, or that of one that could not start.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hang_up())
            # The first shows whether the settings and the models are good; if not, that is told once.
            for children in (self._children[:1], self._children[1:]):
                for child in children:
                    tasks.create_task(self._keep(child))
                for child in children:
                    await child.settled.wait()
            if not self.ending.is_set():
                logger.info("%s", serving)
        return self._status

    async def _hang_up(self) -> None:
        await self.ending.wait()
        for child in self._children:
            child.hang_up()

    async def _keep(self, child: Child) -> None:
        """Run a worker, and another in its place as often as it ends."""
        loop, early = asyncio.get_running_loop(), 0
        while not self.ending.is_set():
            started = loop.time()
            status = await _run(child)
            forget_gauges(str(child.number))
            if self.ending.is_set() or not child.settled.is_set():
                self._end(status)
            else:
                early = early + 1 if loop.time() - started < _EARLY else 0
                await self._before_next(child, status, early)
        child.settled.set()

    def _end(self, status: int) -> None:
        """Those that could not start, or did not end as told, decide the exit status; a signal's number is none."""
        self._status = self._status or (status if status >= 0 else 1)
        self.ending.set()

    async def _before_next(self, child: Child, status: int, early: int) -> None:
        """Nothing for the first early death, then longer and longer."""
        pause = min(2.0 ** (early - 2), _LONGEST_PAUSE) if early > 1 else 0.0
        logger.error("worker %d ended with status %d; another takes its place in %g s", child.number, status, pause)
        self._metrics.worker_restarts.inc()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.ending.wait()


async def _run(child: Child) -> int:
    try:
        return await child.run()
    except OSError as error:
        logger.error("worker %d cannot be started: %s", child.number, error)
        return 1
