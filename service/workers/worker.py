"""One worker, a process of its own: `python -m service.workers.worker NUMBER`, which is for its supervisor to start.

Its settings are in its environment, as any server's may be. Its standard input is its line to the supervisor.
"""

import asyncio
import os
import socket
import sys

from bundle.manifest import BundleError
from service.config import Settings, load_settings
from service.errors import StartupError
from service.event_loop import run
from service.logs import configure_logging
from service.server import Server, serve
from service.workers.garbage import GarbageCollections
from service.workers.line import BEAT, Line
from service.workers.shared_metrics import count_as, remove_folder

_STANDARD_INPUT = 0


def main(number: str) -> int:
    """Serve until told to stop; returns the exit status."""
    supervisor = os.getppid()
    count_as(number)
    settings = load_settings({}, os.environ)
    configure_logging(settings.log_format, settings.log_level, int(number))
    try:
        return run(_work(settings))
    except (BundleError, StartupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if os.getppid() != supervisor:
            remove_folder()


async def _work(settings: Settings) -> int:
    stopping = asyncio.Event()
    # A copy, so that the supervisor sees the line end with the process and not before.
    end = socket.socket(fileno=os.dup(_STANDARD_INPUT))
    _, line = await asyncio.get_running_loop().create_unix_connection(lambda: Line(stopping), sock=end)
    server = Server(settings, line.tell)
    beating = asyncio.create_task(_beat(server, line))
    try:
        return await serve(server, stopping)
    finally:
        beating.cancel()


async def _beat(server: Server, line: Line) -> None:
    collections = GarbageCollections()
    while True:
        line.beat()
        server.sample()
        collections.sample()
        await asyncio.sleep(BEAT)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
