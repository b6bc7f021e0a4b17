"""A bundle on disk: a folder `<models>/<version>/` that is whole and verified, or is not there."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.manifest import BundleError, Manifest, Precision, Provider, Variant
from bundle.tokenizer import TOKENIZER_VERSION, Tokenizer

VOCABULARY, MODEL_CARD = "vocabulary.json", "MODEL_CARD.md"
LABELS = ["negative", "positive"]
LARGEST_TOLERANCE = 0.01  # of a golden answer; with more, another model might pass for this one


@dataclass(frozen=True)
class GoldenAnswer:
    """What the model must say of a text, on whatever machine it runs."""

    text: str
    input_ids: list[int]
    positive_probability: float


@dataclass(frozen=True)
class Graph:
    """One variant's ONNX file and its golden answers, which prove an engine that runs it."""

    path: Path
    variant: Variant
    golden: list[GoldenAnswer]

    def check_golden(self, probabilities: Sequence[float]) -> None:
        """Compare what an engine says of the golden answers' `input_ids`. Raises BundleError if any is off."""
        tolerance = self.variant.golden_tolerance
        for answer, probability in zip(self.golden, probabilities, strict=True):
            if not abs(probability - answer.positive_probability) <= tolerance:  # so that NaN is refused, too
                raise BundleError(
                    self.path.with_name(self.variant.golden),
                    f"the model answers {probability:.6f} where {answer.positive_probability:.6f} is expected, "
                    f"more than {tolerance:g} apart, for {answer.text[:60]!r}",
                )


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are all there and agree with each other; the ONNX graphs are for the engine to check."""

    path: Path
    manifest: Manifest
    tokenizer: Tokenizer
    graphs: list[Graph]

    def graph(self, precision: Precision) -> Graph:
        """The graph in a precision. Raises BundleError if the bundle has none."""
        for graph in self.graphs:
            if graph.variant.precision == precision:
                return graph
        held = ", ".join(graph.variant.precision for graph in self.graphs)
        raise BundleError(self.path / "manifest.json", f"holds no {precision} variant, only {held}")

    def graph_for(self, provider: Provider) -> Graph:
        """The graph that the manifest says to run there."""
        return next(graph for graph in self.graphs if provider in graph.variant.providers)


def find_versions(models: Path, which: str = "newest") -> list[Path]:
    """The folders of `which`: "newest", "all" (newest first), or version numbers with commas between, in their order.

    Raises BundleError if there is none, or one is not there.
    """
    held = {path.name: path for path in models.glob("*") if path.name.isdecimal() and path.is_dir()}
    if not held:
        raise BundleError(models, "holds no model: expected folders named by version, such as 1/")
    newest_first = sorted(held, key=int, reverse=True)
    wanted = {"newest": newest_first[:1], "all": newest_first}.get(which) or which.split(",")
    for version in wanted:
        if version not in held:
            raise BundleError(models, f"holds no version {version}, only {', '.join(reversed(newest_first))}")
    return [held[version] for version in dict.fromkeys(wanted)]


def find_version(models: Path, version: str = "newest") -> Path:
    """The folder of one version. Raises BundleError if it is not there."""
    return find_versions(models, version)[0]


def load_bundle(path: Path) -> Bundle:
    """Load and verify a bundle. Raises BundleError naming the file at fault and the reason."""
    manifest = Manifest.from_json(_read(path / "manifest.json").decode(errors="replace"))
    _check_variants(path, manifest)
    _check_answers(path, manifest)
    for name, expected in manifest.files.items():
        if (found := _sha256(_read(path / name))) != expected:
            raise BundleError(path / name, f"has SHA-256 {found[:12]}..., the manifest says {expected[:12]}...")
    tokenizer = _load_tokenizer(path, manifest)
    graphs = [
        Graph(path / variant.model, variant, _load_golden(path / variant.golden, tokenizer))
        for variant in manifest.variants
    ]
    return Bundle(path, manifest, tokenizer, graphs)


def save_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes], replace: bool = False) -> Bundle:
    """Write a bundle next to `path`, verify it, and only then give it its name.

    `manifest.files` is filled in here. Raises BundleError if the version exists and is not to be replaced.
    """
    if path.exists() and not replace:
        raise BundleError(path, "exists; versions do not change: choose another, or replace it on purpose")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    old = staging / "old"
    try:
        manifest = dataclasses.replace(manifest, files={name: _sha256(content) for name, content in files.items()})
        written = staging / path.name  # by which its version is verified
        written.mkdir()
        for name, content in {**files, "manifest.json": manifest.to_json().encode()}.items():
            _write(written / name, content)
        load_bundle(written)
        if path.exists():
            path.rename(old)
        written.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(staging)
    return load_bundle(path)


def _check_variants(path: Path, manifest: Manifest) -> None:
    """Every file is listed, and each place to run has exactly one variant."""
    of_variants = [name for variant in manifest.variants for name in (variant.model, variant.golden)]
    for name in (VOCABULARY, MODEL_CARD, *of_variants):
        if name not in manifest.files:
            raise BundleError(path / "manifest.json", f"lists no {name}")
    for provider in typing.get_args(Provider):
        suited = [variant.precision for variant in manifest.variants if provider in variant.providers]
        if len(suited) != 1:
            raise BundleError(path / "manifest.json", f"must name one variant for {provider}, not {len(suited)}")


def _check_answers(path: Path, manifest: Manifest) -> None:
    """What an answer means, which version's it is, and how far a golden one may be off."""
    at = path / "manifest.json"
    if manifest.labels != LABELS:
        raise BundleError(at, f"labels are {manifest.labels}, not {LABELS}")
    if not 0 < manifest.threshold < 1:
        raise BundleError(at, f"threshold is {manifest.threshold}, not between 0 and 1")
    if path.name.isdecimal() and manifest.version != path.name:
        raise BundleError(at, f"is of version {manifest.version}, in the folder of {path.name}")
    for variant in manifest.variants:
        tolerance = variant.golden_tolerance
        if not 0 <= tolerance <= LARGEST_TOLERANCE:
            raise BundleError(
                at, f"golden_tolerance of {variant.precision} is {tolerance}, not 0 to {LARGEST_TOLERANCE}"
            )


def _load_tokenizer(path: Path, manifest: Manifest) -> Tokenizer:
    if manifest.tokenizer.version != TOKENIZER_VERSION:
        reason = f"is made for tokenizer version {manifest.tokenizer.version}; this code has {TOKENIZER_VERSION}"
        raise BundleError(path / "manifest.json", reason)
    vocabulary = _load_json(path / VOCABULARY)
    if not isinstance(vocabulary, list) or not all(isinstance(token, str) for token in vocabulary):
        raise BundleError(path / VOCABULARY, "is not a list of tokens")
    rows = manifest.architecture.vocabulary_size
    if len(vocabulary) != rows:
        raise BundleError(path / VOCABULARY, f"has {len(vocabulary)} tokens, the embedding has {rows} rows")
    try:
        return Tokenizer(vocabulary, manifest.tokenizer)
    except ValueError as error:
        raise BundleError(path / VOCABULARY, str(error)) from error


def _load_golden(path: Path, tokenizer: Tokenizer) -> list[GoldenAnswer]:
    try:
        golden = [GoldenAnswer(**answer) for answer in _load_json(path)]
    except TypeError as error:
        raise BundleError(path, f"is not a list of golden answers: {error}") from error
    if not golden:
        raise BundleError(path, "holds no golden answer")
    for answer in golden:
        if tokenizer.encode(answer.text).input_ids.tolist() != answer.input_ids:
            raise BundleError(path, f"this tokenizer reads other input_ids in {answer.text[:60]!r}")
    return golden


def _load_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise BundleError(path, f"is not JSON: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(path, f"cannot be read: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        os.fsync(file.fileno())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
