"""`review-sentiment health`: ask whether a server serves."""

import argparse
from typing import Any

from service.client import SentimentClient
from service.commands.connecting import add_connection_flags, connect


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "health", help="ask whether a server serves", description="Exit with 0 if it serves, 1 if it does not."
    )
    add_connection_flags(parser)
    parser.set_defaults(command=_health)


def _health(arguments: argparse.Namespace) -> int:
    with connect(SentimentClient, arguments) as client:
        status = client.health()
    print(status)
    return 0 if status == "SERVING" else 1
