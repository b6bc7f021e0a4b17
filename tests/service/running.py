"""`review-sentiment serve` as a process of its own, as a user runs it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

SERVE = (sys.executable, "-m", "service", "serve", "--grpc-port", "0", "--http-port", "0")


@dataclass
class Running:
    """A server that serves."""

    process: subprocess.Popen[str]
    grpc_port: int
    http_port: int
    log: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        """Its gRPC address."""
        return f"127.0.0.1:{self.grpc_port}"

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr
        self.log += self.process.stderr.read().splitlines()
        return self.process.wait(30)


@contextmanager
def serving(*flags: str, command: Sequence[str] = SERVE) -> Iterator[Running]:
    """Start a server and wait until it says where it serves; it is gone afterwards."""
    with subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        log = []
        try:
            for line in process.stderr:
                log.append(line.rstrip())
                if match := re.search(r"serving .* gRPC on .*?:(\d+), HTTP on .*?:(\d+)", line):
                    yield Running(process, int(match[1]), int(match[2]), log)
                    return
            raise AssertionError(f"the server did not start: {log}")
        finally:
            process.kill()
