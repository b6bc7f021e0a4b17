"""Runs a module whose threads tell the kernel their names, as Python does from 3.14 on, so that /proc knows them apart.

python -m benchmarks.named_threads service serve --grpc-port 0
"""

import runpy
import sys
import threading
from pathlib import Path

_LONGEST = 15  # characters of a name


def name_threads() -> None:
    """From now on, every thread that Python starts."""
    run = threading.Thread.run

    def named(self: threading.Thread) -> None:
        Path("/proc/thread-self/comm").write_text(self.name[:_LONGEST])
        run(self)

    threading.Thread.run = named  # type: ignore[method-assign]


if __name__ == "__main__":
    name_threads()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
