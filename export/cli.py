"""The command `review-sentiment-export`: from raw reviews to a bundle, in one step or one at a time."""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from bundle.manifest import BundleError
from bundle.store import find_version
from export.assemble import assemble
from export.data import DataError, download, load
from export.model import ModelConfig
from export.summary import summary
from export.to_onnx import to_onnx
from export.train import Checkpoint, TrainConfig, pick_device, train
from export.verify import Verification, VerificationError, verify

ARCHIVE = Path("data/aclImdb_v1.tar.gz")
MODELS = Path("models/imdb-lstm")

_EPILOG = """\
examples:
  review-sentiment-export all                          download IMDB, train, export, verify, write the next version
  review-sentiment-export all --data path/to/aclImdb   the same from a folder (or from Parquet files, or the archive)
  review-sentiment-export train --resume               go on after the last whole pass
"""


# `all` asks for the same reviews in several steps, and an archive takes a while to read.
_load = functools.cache(load)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 an error that is told in a line, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
    except (BundleError, DataError, VerificationError, OSError, ValueError) as error:
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

    def add(name: str, command: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=command)
        sub.add_argument("--run", type=Path, default=Path("runs/imdb-lstm"), help="folder of this run (%(default)s)")
        if name not in ("summary", "onnx"):
            sub.add_argument("--data", type=Path, default=ARCHIVE, help="archive, folder or Parquet (%(default)s)")
        return sub

    add("data", _data, "Fetch the reviews if they are not there, and count them.")
    _add_recipe(add("train", _train, "Train, keeping the pass that is best on held-out films."))
    add("summary", _summary, "Print the layers, their output shapes and parameters.")
    add("onnx", _onnx, "Export the checkpoint to ONNX.")
    add("verify", _verify, "Prove that the ONNX graph is the trained model; write golden answers.")
    _add_destination(add("bundle", _bundle, "Write the bundle, whole or not at all."))
    everything = add("all", _all, "All of it: data, train, onnx, verify, bundle.")
    _add_recipe(everything)
    _add_destination(everything)
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on after the last whole pass")
    parser.add_argument("--vocabulary-size", type=int, default=ModelConfig.vocabulary_size, help="(%(default)s)")
    for field in dataclasses.fields(TrainConfig):
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=type(field.default), default=field.default, help="(%(default)s)")


def _add_destination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", type=Path, help=f"folder <name>/<version> (the next version in {MODELS})")
    parser.add_argument("--replace", action="store_true", help="replace that version if it exists")


def _all(arguments: argparse.Namespace) -> None:
    _free_destination(arguments)  # before the long part
    for step in (_data, _train, _onnx, _verify, _bundle):
        step(arguments)


def _data(arguments: argparse.Namespace) -> None:
    if arguments.data == ARCHIVE:
        download(ARCHIVE)
    for split in ("train", "test"):
        reviews = _load(arguments.data, split)
        print(f"{split}: {len(reviews):,} reviews, {reviews.labels.mean():.1%} positive")


def _train(arguments: argparse.Namespace) -> None:
    recipe = TrainConfig(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(TrainConfig)})
    pick_device(arguments.device)
    reviews = _load(arguments.data, "train")
    path = _checkpoint_path(arguments)
    best = train(reviews, path, recipe, arguments.vocabulary_size, arguments.device, arguments.resume)
    print(f"{path}: validation accuracy {best.validation_accuracy:.2%}")


def _summary(arguments: argparse.Namespace) -> None:
    path = _checkpoint_path(arguments)
    print(summary(Checkpoint.load(path).model if path.exists() else ModelConfig()))


def _onnx(arguments: argparse.Namespace) -> None:
    path = _onnx_path(arguments)
    onnx.save(to_onnx(_checkpoint(arguments).build()), path)
    print(f"{path}: {path.stat().st_size:,} bytes")


def _verify(arguments: argparse.Namespace) -> None:
    checkpoint = _checkpoint(arguments)
    test = _load(arguments.data, "test")
    verification = verify(checkpoint.build(), checkpoint.build_tokenizer(), _onnx_path(arguments), test)
    verification.save(_verification_path(arguments))
    for name, difference in verification.differences.items():
        print(f"largest difference, {name}: {difference:.1e}")
    for name, value in verification.metrics.items():
        print(f"test {name}: {value:.4f}")


def _bundle(arguments: argparse.Namespace) -> None:
    bundle = assemble(
        _free_destination(arguments),
        _checkpoint(arguments),
        _onnx_path(arguments),
        Verification.load(_verification_path(arguments)),
        _load(arguments.data, "train"),
        _load(arguments.data, "test"),
        arguments.replace,
    )
    print(f"wrote {bundle.path}")


def _free_destination(arguments: argparse.Namespace) -> Path:
    if arguments.destination is None:
        try:
            arguments.destination = MODELS / str(int(find_version(MODELS).name) + 1)
        except BundleError:
            arguments.destination = MODELS / "1"
    destination: Path = arguments.destination
    if not destination.name.isdecimal():
        raise ValueError(f"--destination {destination} must end in a version number, such as {MODELS / '1'}")
    if destination.exists() and not arguments.replace:
        raise ValueError(f"{destination} exists: give another --destination, or --replace")
    return destination


def _checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    return Checkpoint.load(_checkpoint_path(arguments))


def _checkpoint_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "checkpoint.pt"


def _onnx_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "model.onnx"


def _verification_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "verification.json"
