"""Flags of every command that calls a server."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from service.client.connection import DEFAULT_TARGET, TIMEOUT, Tls

PORT_VARIABLE = "SENTIMENT_GRPC_PORT"  # of the server's settings: in its container the two agree

Client = TypeVar("Client")


def add_connection_flags(parser: argparse.ArgumentParser) -> None:
    """Address, deadline, version, TLS and token."""
    connection = parser.add_argument_group("connection")
    connection.add_argument(
        "--target", help=f"address of the server ({DEFAULT_TARGET}, or its port in {PORT_VARIABLE})"
    )
    connection.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds for one call (%(default)s)")
    connection.add_argument("--model-version", default="", help="version to answer (the server's default)")
    connection.add_argument("--tls", action="store_true", help="encrypt, trusting the system's authorities")
    connection.add_argument("--tls-ca", type=Path, metavar="FILE", help="encrypt, trusting those in FILE (PEM)")
    connection.add_argument("--token-file", type=Path, metavar="FILE", help="bearer token to send; needs --tls")
    parser.set_defaults(fail=parser.error)


def connect(kind: Callable[..., Client], arguments: argparse.Namespace, **more: Any) -> Client:
    """A client of either kind, by its flags and `more`. Raises OSError if a file cannot be read."""
    if arguments.token_file and not (arguments.tls or arguments.tls_ca):
        arguments.fail("--token-file needs --tls or --tls-ca, or everybody on the way could read the token")
    return kind(
        arguments.target or _local_target(),
        arguments.timeout,
        model_version=arguments.model_version,
        tls=Tls(arguments.tls_ca) if arguments.tls or arguments.tls_ca else None,
        token=arguments.token_file.read_text().strip() if arguments.token_file else None,
        **more,
    )


def _local_target() -> str:
    port = os.environ.get(PORT_VARIABLE)
    return f"localhost:{port}" if port else DEFAULT_TARGET
