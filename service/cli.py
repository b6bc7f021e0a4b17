"""The command `review-sentiment`: serve, classify, health."""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bundle.manifest import BundleError
from service.classification import Classification
from service.client import DEFAULT_TARGET, ClientError, SentimentClient
from service.config import add_flags, load_settings
from service.errors import StartupError
from service.logs import configure_logging

_EPILOG = """\
examples:
  review-sentiment serve                            the shipped model on localhost:50051
  review-sentiment serve --grpc-port 0 --models m   any free port, your own bundles
  review-sentiment classify "I loved it."
  review-sentiment classify --file reviews.txt > answers.jsonl
  review-sentiment health

exit status: 0 done; 1 failed, with the reason on standard error; 2 wrong usage
"""

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    command: Command = arguments.command
    try:
        return command(arguments)
    except (BundleError, ClientError, StartupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="review-sentiment",
        description="Serve the sentiment of reviews over gRPC, or ask a server for it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server", description="Run the server until SIGTERM.")
    add_flags(serve)
    serve.set_defaults(command=_serve)

    classify = commands.add_parser("classify", help="classify reviews", description="Classify reviews.")
    classify.add_argument("texts", nargs="*", metavar="TEXT", help="reviews; without any, standard input, one a line")
    classify.add_argument("--file", type=Path, help="file of reviews, one a line")
    classify.set_defaults(command=_classify)

    health = commands.add_parser(
        "health", help="ask whether a server serves", description="Exit 0 if it serves, else 1."
    )
    health.set_defaults(command=_health)
    for client in (classify, health):
        client.add_argument("--target", default=DEFAULT_TARGET, help="address of the server (%(default)s)")
        client.add_argument("--timeout", type=float, default=10.0, help="seconds for one call (%(default)s)")
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    from service.server import serve  # loads onnxruntime, which no other command needs

    settings = load_settings(vars(arguments), os.environ)
    configure_logging(settings.log_format, settings.log_level)
    return asyncio.run(serve(settings))


def _classify(arguments: argparse.Namespace) -> int:
    show = _show_row if sys.stdout.isatty() else _show_json
    kept: list[str] = []  # texts whose answers are still to come
    with SentimentClient(arguments.target, arguments.timeout) as client:
        for answer in client.classify_many(_remember(_texts(arguments), kept)):
            show(kept.pop(0), answer)
    return 0


def _remember(texts: Iterable[str], kept: list[str]) -> Iterator[str]:
    for text in texts:
        kept.append(text)
        yield text


def _texts(arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.texts:
        yield from arguments.texts
    elif arguments.file:
        with arguments.file.open(encoding="utf-8", errors="replace") as lines:
            yield from _not_blank(lines)
    else:
        yield from _not_blank(sys.stdin)


def _not_blank(lines: Iterable[str]) -> Iterator[str]:
    skipped = 0
    for line in lines:
        if text := line.strip():
            yield text
        else:
            skipped += 1
    if skipped:
        print(f"skipped {skipped} blank lines", file=sys.stderr)


def _show_json(text: str, answer: Classification) -> None:
    print(json.dumps({"text": text} | asdict(answer), ensure_ascii=False), flush=True)


def _show_row(text: str, answer: Classification) -> None:
    start = f"{answer.sentiment:<8}  {answer.positive_probability:6.1%}  {answer.token_count:>3} tokens  "
    width = shutil.get_terminal_size().columns - len(start)
    print(start + (text if len(text) <= width else text[: width - 3] + "..."))


def _health(arguments: argparse.Namespace) -> int:
    with SentimentClient(arguments.target, arguments.timeout) as client:
        status = client.health()
    print(status)
    return 0 if status == "SERVING" else 1
