"""A bundle on disk: a folder `<models>/<version>/` that is whole and verified, or is not there."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.manifest import BundleError, Manifest
from bundle.tokenizer import TOKENIZER_VERSION, Tokenizer

MODEL, VOCABULARY, GOLDEN, MODEL_CARD = "model.onnx", "vocabulary.json", "golden.json", "MODEL_CARD.md"
FILES = (MODEL, VOCABULARY, GOLDEN, MODEL_CARD)


@dataclass(frozen=True)
class GoldenAnswer:
    """What the model must say of a text, on whatever machine it runs."""

    text: str
    input_ids: list[int]
    positive_probability: float


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are all there and agree with each other; the ONNX graph is for the engine to check."""

    path: Path
    manifest: Manifest
    tokenizer: Tokenizer
    golden: list[GoldenAnswer]

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL

    def check_golden(self, probabilities: Sequence[float]) -> None:
        """Compare what an engine says of the golden answers' `input_ids`. Raises BundleError if any is off."""
        tolerance = self.manifest.golden_tolerance
        for answer, probability in zip(self.golden, probabilities, strict=True):
            if not abs(probability - answer.positive_probability) <= tolerance:  # so that NaN is refused, too
                raise BundleError(
                    self.path / GOLDEN,
                    f"the model answers {probability:.6f} where {answer.positive_probability:.6f} is expected, "
                    f"more than {tolerance:g} apart, for {answer.text[:60]!r}",
                )


def find_version(models: Path, version: str | None = None) -> Path:
    """The folder of a version, or of the highest number. Raises BundleError if there is none."""
    versions = {path.name: path for path in models.glob("*") if path.name.isdecimal() and path.is_dir()}
    if not versions:
        raise BundleError(models, "holds no model: expected folders named by version, such as 1/")
    if version is None:
        return versions[max(versions, key=int)]
    if version not in versions:
        raise BundleError(models, f"holds no version {version}, only {', '.join(sorted(versions, key=int))}")
    return versions[version]


def load_bundle(path: Path) -> Bundle:
    """Load and verify a bundle. Raises BundleError naming the file at fault and the reason."""
    manifest = Manifest.from_json(_read(path / "manifest.json").decode(errors="replace"))
    for name in FILES:
        if name not in manifest.files:
            raise BundleError(path / "manifest.json", f"lists no {name}")
    for name, expected in manifest.files.items():
        if (found := _sha256(_read(path / name))) != expected:
            raise BundleError(path / name, f"has SHA-256 {found[:12]}..., the manifest says {expected[:12]}...")
    tokenizer = _load_tokenizer(path, manifest)
    return Bundle(path, manifest, tokenizer, _load_golden(path, tokenizer))


def save_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes], replace: bool = False) -> Bundle:
    """Write a bundle next to `path`, verify it, and only then give it its name.

    `manifest.files` is filled in here. Raises BundleError if the version exists and is not to be replaced.
    """
    if path.exists() and not replace:
        raise BundleError(path, "exists; versions do not change: choose another, or replace it on purpose")
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        manifest = dataclasses.replace(manifest, files={name: _sha256(content) for name, content in files.items()})
        written = staging / "new"
        written.mkdir()
        for name, content in {**files, "manifest.json": manifest.to_json().encode()}.items():
            _write(written / name, content)
        load_bundle(written)
        if path.exists():
            path.rename(staging / "old")
        written.rename(path)
    finally:
        shutil.rmtree(staging)
    return load_bundle(path)


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
        golden = [GoldenAnswer(**answer) for answer in _load_json(path / GOLDEN)]
    except TypeError as error:
        raise BundleError(path / GOLDEN, f"is not a list of golden answers: {error}") from error
    if not golden:
        raise BundleError(path / GOLDEN, "holds no golden answer")
    for answer in golden:
        if tokenizer.encode(answer.text).input_ids != answer.input_ids:
            raise BundleError(path / GOLDEN, f"this tokenizer reads other input_ids in {answer.text[:60]!r}")
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
