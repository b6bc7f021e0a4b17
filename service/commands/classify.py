"""`review-sentiment classify`: ask a server for the sentiment of texts, or of a file of them."""

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from service.bulk.flags import FORMATS, add_file_flags, to_job
from service.bulk.formats import choose_column, open_table
from service.bulk.job import ModelId, run
from service.bulk.lines import decode_line
from service.bulk.outcomes import BLANK, Outcome
from service.bulk.parts import Classify, classified
from service.bulk.progress import Progress
from service.bulk.remote import TEXTS_IN_FLIGHT, classify_remotely
from service.bulk.values import encode, to_text
from service.client import AsyncSentimentClient, ModelInfo, SentimentClient
from service.commands.connecting import add_connection_flags, connect

_EPILOG = f"""\
{FORMATS}
examples:
  review-sentiment classify "I loved it." "A complete waste of two hours."
  tail -f reviews.log | review-sentiment classify
  review-sentiment classify --file reviews.txt > answers.jsonl
  review-sentiment classify --file reviews.csv --output answers.csv    goes on where it was when given again
"""

_AT_ONCE = 2**16  # bytes of standard input, which is what a pipe holds


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "classify",
        help="classify reviews",
        description="Classify reviews: a table on a terminal, JSON lines where it is piped, or a file to a file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="reviews; without any, standard input, one a line")
    parser.add_argument("--file", type=Path, help="file of reviews, in place of texts")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a file: the input's columns and the answers")
    add_file_flags(parser)
    add_connection_flags(parser)
    parser.set_defaults(command=partial(_classify, parser))


def _classify(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.file and arguments.texts:
        parser.error("give texts or --file, not both")
    if arguments.output and not arguments.file:
        parser.error("--output needs --file")
    if arguments.output:
        _write_file(arguments)
    elif arguments.file:
        _print_file(arguments)
    else:
        _print_texts(arguments)
    return 0


def _print_texts(arguments: argparse.Namespace) -> None:
    show = _shower()
    with connect(SentimentClient, arguments) as client:
        for texts in [_utf8(arguments.texts)] if arguments.texts else _as_they_come(sys.stdin.buffer):
            for text, answer in zip(texts, client.classify_many(texts), strict=True):
                show(text, answer)


def _print_file(arguments: argparse.Namespace) -> None:
    table = open_table(arguments.file)
    column = choose_column(arguments.file, table, arguments.column)
    info, ask = _server(arguments)
    show, skipped = _shower(), 0
    ahead, parts = (table.parts(column, TEXTS_IN_FLIGHT) for _ in range(2))
    with Progress(table, arguments.progress) as progress:
        for part, outcomes in classified(ahead, parts, ask, info.max_text_bytes):
            for cell, outcome in zip(part.cells, outcomes, strict=True):
                if outcome == BLANK and arguments.file.suffix.lower() == ".txt":
                    skipped += 1
                else:
                    show(to_text(cell), outcome)
            progress.advance(part, outcomes)
    _tell_skipped(skipped)


def _write_file(arguments: argparse.Namespace) -> None:
    info, ask = _server(arguments)
    model = ModelId(info.name, info.version, info.precision)
    run(to_job(arguments, arguments.file, arguments.output, model, info.max_text_bytes), ask)


def _server(arguments: argparse.Namespace) -> tuple[ModelInfo, Classify]:
    """The model that answers now, and what asks for that very version, whatever becomes the default meanwhile."""
    with connect(SentimentClient, arguments) as client:
        info = client.model()
    pinned = argparse.Namespace(**vars(arguments) | {"model_version": info.version})
    return info, partial(classify_remotely, partial(connect, AsyncSentimentClient, pinned))


def _utf8(texts: list[str]) -> list[str]:
    for number, text in enumerate(texts, start=1):
        decode_line(f"text {number} of the command line", 1, os.fsencode(text))
    return texts


def _as_they_come(source: BinaryIO) -> Iterator[list[str]]:
    """The lines that are there, without waiting for more: a log may be followed for days. Blank ones are skipped.

    Ctrl-C ends the process at once: there is nothing to put in order, and Python may miss it as it begins to read.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    number = skipped = 0
    for lines in _whole_lines(source):
        texts = []
        for line in lines:
            number += 1
            if text := decode_line("standard input", number, line).strip():
                texts.append(text)
            else:
                skipped += 1
        yield texts
    _tell_skipped(skipped)


def _whole_lines(source: BinaryIO) -> Iterator[list[bytes]]:
    rest = b""
    while chunk := source.read1(_AT_ONCE):  # type: ignore[attr-defined]  # standard input has it
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    if rest:
        yield [rest]


def _tell_skipped(skipped: int) -> None:
    if skipped:
        print(f"skipped {skipped} blank lines", file=sys.stderr)


def _shower() -> Callable[[str, Outcome], None]:
    return _show_row if sys.stdout.isatty() else _show_json


def _show_json(text: str, outcome: Outcome) -> None:
    shown = {"error": outcome} if isinstance(outcome, str) else asdict(outcome)
    print(encode(json.dumps({"text": text} | shown, ensure_ascii=False)).decode(), flush=True)


def _show_row(text: str, outcome: Outcome) -> None:
    if isinstance(outcome, str):
        start = f"{outcome}  "
    else:
        start = f"{outcome.sentiment:<8}  {outcome.positive_probability:6.1%}  {outcome.token_count:>3} tokens  "
    line = " ".join(encode(text).decode().split())
    width = max(shutil.get_terminal_size().columns - len(start), 0)
    print(start + (line if len(line) <= width else line[: max(width - 3, 0)] + "..."))
