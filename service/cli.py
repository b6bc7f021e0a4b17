"""The command `review-sentiment`: which commands there are, and how they end."""

import argparse
import os
import sys
from collections.abc import Sequence
from enum import IntEnum

import grpc

from bundle.manifest import BundleError
from service.bulk.errors import BulkError
from service.client import ClientError
from service.commands import bench, classify, completion, health, model, score, serve
from service.errors import StartupError

_DESCRIPTION = "Serve the sentiment of reviews over gRPC, or ask a server for it."
_EPILOG = """\
examples:
  review-sentiment serve                            the shipped model on localhost:50051
  review-sentiment classify "I loved it."
  review-sentiment classify --file reviews.csv --output answers.csv
  review-sentiment score reviews.csv answers.csv    without a server
  review-sentiment health

exit status:
  0  done
  1  failed: the reason is on standard error
  2  wrong usage
  3  the server cannot be reached, has no room, or was too slow: try again
  130  interrupted
"""

_TRY_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}


class ExitStatus(IntEnum):
    """How a command ends; argparse itself ends with 2 where the usage is wrong."""

    DONE = 0
    FAILED = 1
    TRY_AGAIN = 3
    INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
        return status
    except ClientError as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitStatus.TRY_AGAIN if error.code in _TRY_AGAIN else ExitStatus.FAILED
    except BrokenPipeError:  # whoever read our output has read enough; Python must not flush into it once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED
    except (BulkError, BundleError, StartupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitStatus.FAILED
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Every command with its flags."""
    parser = argparse.ArgumentParser(
        prog="review-sentiment",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (serve, classify, score, health, model, bench):
        command.add_to(commands)
    completion.add_to(commands, parser)
    return parser
