"""`review-sentiment model`: what is loaded, and its figures."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from service.client import SentimentClient
from service.commands.connecting import add_connection_flags, connect


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "model",
        help="what a server has loaded",
        description="Describe the model that answers, and the limits of requests; as JSON where it is piped.",
    )
    add_connection_flags(parser)
    parser.set_defaults(command=_model)


def _model(arguments: argparse.Namespace) -> int:
    with connect(SentimentClient, arguments) as client:
        fields = asdict(client.model())
    if sys.stdout.isatty():
        for name, value in fields.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            print(f"{name.replace('_', ' '):<20}{shown}")
    else:
        print(json.dumps(fields))
    return 0
