"""A worker as its supervisor sees it."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Mapping

from service.workers.line import BEAT, READY

logger = logging.getLogger(__name__)

# Beats that may fail to come. They are counted in turns of our own: when the whole machine was stopped, so were we.
_MISSED = 10
_MISSED_AT_FIRST = 120  # until the first has come: a busy machine takes long to load onnxruntime


class Child:
    """The worker of one number: one process after another, each taking the place of the last."""

    def __init__(self, number: int, environment: Mapping[str, str]) -> None:
        self.number = number
        self.pid: int | None = None
        self.ready = False
        self.settled = asyncio.Event()  # it was ready once, or never will be
        self._environment = environment
        self._line: socket.socket | None = None

    async def run(self) -> int:
        """Start a process and follow it to its end; returns its exit status. One that falls silent is killed.

        Raises OSError if the system has no room for another process.
        """
        self._line, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=self._line)
        try:
            with theirs:
                process = await self._start(theirs)
            self.pid = process.pid
            if not await self._listen(reader):
                logger.error("worker %d has fallen silent and is killed", self.number)
                process.kill()
            return await process.wait()
        finally:
            self.pid, self.ready, self._line = None, False, None
            writer.close()

    def hang_up(self) -> None:
        """Have it answer what it has accepted, and end."""
        if self._line:
            with contextlib.suppress(OSError):  # it has just ended
                self._line.shutdown(socket.SHUT_WR)

    async def _start(self, line: socket.socket) -> asyncio.subprocess.Process:
        # With no code from the folder that we are in (-P); and Ctrl-C is for us alone: the line says when to end.
        command = (sys.executable, "-P", "-m", "service.workers.worker", str(self.number))
        return await asyncio.create_subprocess_exec(
            *command, stdin=line.fileno(), env=self._environment, start_new_session=True
        )

    async def _listen(self, reader: asyncio.StreamReader) -> bool:
        """Hear whether it is ready, until its end; False if it falls silent before."""
        missed, most = 0, _MISSED_AT_FIRST
        while missed < most:
            try:
                async with asyncio.timeout(BEAT):
                    said = await reader.read(64)
            except TimeoutError:
                missed += 1
                continue
            if not said:
                return True
            missed, most = 0, _MISSED
            self._hear(said.endswith(READY))
        return False

    def _hear(self, ready: bool) -> None:
        self.ready = ready
        if ready:
            self.settled.set()
