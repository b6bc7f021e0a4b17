"""`review-sentiment serve` as a process of its own, as a user runs it."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVE = (sys.executable, "-m", "service", "serve", "--grpc-port", "0", "--http-port", "0")
START = 60.0  # seconds that a start, or whatever else is waited for, may take


def until(happened: Callable[[], bool]) -> None:
    """Wait until it has happened, on a machine that may be busy with something else."""
    deadline = time.monotonic() + START
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass
class Running:
    """A server that serves."""

    process: subprocess.Popen[bytes]
    log_path: Path
    grpc_port: int = 0
    http_port: int = 0

    @property
    def target(self) -> str:
        """Its gRPC address."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def log(self) -> list[str]:
        """The lines it has logged."""
        return self.log_path.read_text().splitlines()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def wait(self) -> None:
        """Wait until it says where it serves."""
        deadline = time.monotonic() + START
        while not (match := re.search(r"gRPC on \S*:(\d+), HTTP on \S*:(\d+)", "\n".join(self.log))):
            assert self.process.poll() is None and time.monotonic() < deadline, f"the server did not start: {self.log}"
            time.sleep(0.02)
        self.grpc_port, self.http_port = int(match[1]), int(match[2])


@contextmanager
def serving(*flags: str, command: Sequence[str] = SERVE) -> Iterator[Running]:
    """Start a server and wait until it serves; it is gone afterwards.

    It logs to a file: a pipe that nobody reads would fill up and stop it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log, subprocess.Popen([*command, *flags], stderr=log) as process:
            try:
                running = Running(process, path)
                running.wait()
                yield running
            finally:
                process.kill()
