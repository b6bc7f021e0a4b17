"""`review-sentiment serve`: run the server."""

import argparse
import asyncio
import os
from typing import Any

from service.config import Settings, add_flags, load_settings
from service.event_loop import run
from service.logs import configure_logging

_EPILOG = """\
examples:
  review-sentiment serve                                the shipped model on localhost:50051
  review-sentiment serve --grpc-port 0 --models m       any free port, your own bundles
  review-sentiment serve --model-version 2,1            version 2, and version 1 for who asks for it
  review-sentiment serve --workers auto                 a process for each core
"""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server until SIGTERM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    parser.set_defaults(command=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    settings = load_settings(vars(arguments), os.environ)
    configure_logging(settings.log_format, settings.log_level)
    return run(_run(settings))


async def _run(settings: Settings) -> int:
    if settings.worker_count > 1:
        from service.workers.supervision import supervise

        return await supervise(settings)
    from service.server import Server, serve  # loads onnxruntime, which no other command and no supervisor needs

    return await serve(Server(settings), asyncio.Event())
