"""`review-sentiment classify`: ask a server for the sentiment of texts."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from service.classification import Classification
from service.client import SentimentClient
from service.commands.connecting import add_connection_flags, connect

_EPILOG = """\
examples:
  review-sentiment classify "I loved it." "A complete waste of two hours."
  tail -f reviews.log | review-sentiment classify
"""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "classify",
        help="classify reviews",
        description="Classify reviews: a table on a terminal, JSON lines where it is piped.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="reviews; without any, standard input, one a line")
    add_connection_flags(parser)
    parser.set_defaults(command=_classify)


def _classify(arguments: argparse.Namespace) -> int:
    show = _show_row if sys.stdout.isatty() else _show_json
    kept: list[str] = []  # texts whose answers are still to come
    with connect(SentimentClient, arguments) as client:
        for answer in client.classify_many(_remember(arguments.texts or _not_blank(sys.stdin), kept)):
            show(kept.pop(0), answer)
    return 0


def _remember(texts: Iterable[str], kept: list[str]) -> Iterator[str]:
    for text in texts:
        kept.append(text)
        yield text


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
