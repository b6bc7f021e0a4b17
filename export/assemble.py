"""Puts a verified model into a bundle."""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bundle.manifest import FORMAT_VERSION, Dataset, Manifest, Profile
from bundle.store import GOLDEN, MODEL, MODEL_CARD, VOCABULARY, Bundle, save_bundle
from bundle.tokenizer import Tokenizer
from export.data import ARCHIVE_URL, Reviews
from export.model_card import model_card
from export.summary import architecture
from export.to_onnx import INPUT, OUTPUT
from export.train import Checkpoint
from export.verify import Verification, VerificationError

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy")
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

# Wide enough for other processors' and GPUs' kernels, far too narrow for another model.
GOLDEN_TOLERANCE = 1e-4


def assemble(
    destination: Path,
    checkpoint: Checkpoint,
    onnx_path: Path,
    verification: Verification,
    train: Reviews,
    test: Reviews,
    replace: bool = False,
) -> Bundle:
    """Write the bundle `<models>/<name>/<version>/`.

    Raises BundleError if it exists and is not to be replaced, VerificationError if another graph was verified.
    """
    model = onnx_path.read_bytes()
    if hashlib.sha256(model).hexdigest() != verification.model_sha256:
        raise VerificationError(f"{onnx_path} is not the graph that was verified; run verify again")
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=destination.parent.name,
        version=destination.name,
        architecture=architecture(checkpoint.model),
        input=INPUT,
        output=OUTPUT,
        tokenizer=checkpoint.tokenizer,
        labels=["negative", "positive"],
        threshold=0.5,
        temperature=1.0,
        golden_tolerance=GOLDEN_TOLERANCE,
        metrics=verification.metrics,
        profile=profile(train, checkpoint.build_tokenizer()),
        dataset=Dataset(
            name="Large Movie Review Dataset v1.0",
            url=ARCHIVE_URL,
            train_reviews=len(train),
            train_sha256=train.fingerprint(),
            test_reviews=len(test),
            test_sha256=test.fingerprint(),
        ),
        libraries={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        files={},
    )
    golden = [asdict(answer) for answer in verification.golden]
    files = {
        MODEL: model,
        VOCABULARY: _json_list(checkpoint.vocabulary),
        GOLDEN: _json_list(golden),
        MODEL_CARD: model_card(manifest, checkpoint, verification).encode(),
    }
    return save_bundle(destination, manifest, files, replace)


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
