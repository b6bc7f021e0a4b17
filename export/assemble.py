"""Puts a verified model into a bundle."""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from bundle.manifest import FORMAT_VERSION, Dataset, Manifest, Precision, Profile, Provider, Variant
from bundle.store import LABELS, MODEL_CARD, VOCABULARY, Bundle, save_bundle
from bundle.tokenizer import Tokenizer
from export.checkpoint import Checkpoint
from export.data import ARCHIVE_URL, Reviews
from export.model import SentimentModel
from export.model_card import model_card
from export.quantize import quantize
from export.summary import architecture
from export.to_onnx import INPUT, OUTPUT, to_onnx
from export.verify import Verification, VerificationError

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy")
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

# Wide enough for other processors' and GPUs' kernels, far too narrow for another model. In int8 a number that rounds
# the other way on another processor moves the answer by more.
GOLDEN_TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "int8": 5e-3}
GRAPHS: dict[Precision, str] = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
GOLDEN: dict[Precision, str] = {"fp32": "golden.json", "int8": "golden.int8.json"}


def export_graphs(model: SentimentModel) -> dict[Precision, onnx.ModelProto]:
    """The model in every precision; the same weights always give the same bytes."""
    exact = to_onnx(model)
    return {"fp32": exact, "int8": quantize(exact)}


def check_exported(checkpoint: Checkpoint, graphs: dict[Precision, Path]) -> None:
    """Raises VerificationError unless these graphs are this checkpoint's."""
    exported = export_graphs(checkpoint.build())
    for precision, path in graphs.items():
        if path.read_bytes() != exported[precision].SerializeToString():
            raise VerificationError(f"{path} is not of the checkpoint that is there now; run onnx and verify again")


def check_verified(
    checkpoint: Checkpoint, graphs: dict[Precision, Path], verifications: list[Verification], test: Reviews
) -> None:
    """Raises VerificationError unless these graphs were verified, on these reviews, and are this checkpoint's."""
    verified = {verification.precision: verification for verification in verifications}
    reviews = test.fingerprint()
    for precision, path in graphs.items():
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if precision not in verified or sha256 != verified[precision].model_sha256:
            raise VerificationError(f"{path} is not the graph that was verified; run verify again")
        if reviews != verified[precision].test_sha256:
            raise VerificationError(
                "--data holds other test reviews than were verified on; give it those, or run verify again"
            )
    check_exported(checkpoint, graphs)


def assemble(
    destination: Path,
    checkpoint: Checkpoint,
    graphs: dict[Precision, Path],
    verifications: list[Verification],
    train: Reviews,
    test: Reviews,
    card_tables: str = "",
    replace: bool = False,
) -> Bundle:
    """Write the bundle `<models>/<name>/<version>/`; `card_tables` are the report's, for the model card.

    Raises BundleError if it exists and is not to be replaced, VerificationError if graphs, checkpoint, verifications
    and reviews do not belong together.
    """
    check_verified(checkpoint, graphs, verifications, test)
    if train.fingerprint() != checkpoint.train_sha256:
        raise VerificationError("--data holds other train reviews than were trained on; give it those, or train again")
    manifest = _manifest(destination, checkpoint, verifications, train, test)
    files = {
        **{GRAPHS[precision]: path.read_bytes() for precision, path in graphs.items()},
        VOCABULARY: _json_list(checkpoint.vocabulary),
        **{GOLDEN[each.precision]: _json_list([asdict(answer) for answer in each.golden]) for each in verifications},
        MODEL_CARD: model_card(manifest, checkpoint, verifications, card_tables).encode(),
    }
    return save_bundle(destination, manifest, files, replace)


def _manifest(
    destination: Path, checkpoint: Checkpoint, verifications: list[Verification], train: Reviews, test: Reviews
) -> Manifest:
    """All that a bundle says of itself, but for its files."""
    quantized = any(verification.precision == "int8" for verification in verifications)
    return Manifest(
        format_version=FORMAT_VERSION,
        name=destination.parent.name,
        version=destination.name,
        architecture=architecture(checkpoint.model),
        input=INPUT,
        output=OUTPUT,
        tokenizer=checkpoint.tokenizer,
        labels=LABELS,
        threshold=0.5,
        temperature=checkpoint.temperature,
        bias=checkpoint.bias,
        variants=[_variant(verification, quantized) for verification in verifications],
        profile=profile(train, checkpoint.build_tokenizer()),
        dataset=Dataset(
            name="Large Movie Review Dataset v1.0",
            url=ARCHIVE_URL,
            train_reviews=len(train),
            train_sha256=checkpoint.train_sha256,
            test_reviews=len(test),
            test_sha256=verifications[0].test_sha256,
        ),
        libraries={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        files={},
    )


def _variant(verification: Verification, quantized: bool) -> Variant:
    """int8 is for the CPU, fp32 for CUDA, and for the CPU where there is no int8."""
    precision = verification.precision
    fp32_runs_on: list[Provider] = ["cuda"] if quantized else ["cpu", "cuda"]
    return Variant(
        precision=precision,
        model=GRAPHS[precision],
        golden=GOLDEN[precision],
        golden_tolerance=GOLDEN_TOLERANCE[precision],
        providers=fp32_runs_on if precision == "fp32" else ["cpu"],
        metrics=verification.metrics,
    )


def profile(reviews: Reviews, tokenizer: Tokenizer) -> Profile:
    """What the tokenizer makes of the training reviews."""
    encodings = [tokenizer.encode(text) for text in reviews.texts]
    counts = np.array([len(encoding.input_ids) for encoding in encodings])
    return Profile(
        reviews=len(reviews),
        token_count_mean=float(counts.mean()),
        token_count_quantiles={str(share): float(np.quantile(counts, share)) for share in QUANTILES},
        truncated_ratio=float(np.mean([encoding.truncated for encoding in encodings])),
        unknown_token_ratio_mean=float(np.mean([encoding.unknown_token_ratio for encoding in encodings])),
        positive_ratio=float(reviews.labels.mean()),
    )


def _json_list(entries: Sequence[object]) -> bytes:
    """One entry a line, so that a difference between two versions can be read."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"[\n{lines}\n]\n".encode()
