"""Proves that the exported graph is the trained model: torch against onnxruntime, on real reviews."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tqdm import tqdm

from bundle.padding import pad
from bundle.store import GoldenAnswer
from bundle.tokenizer import Tokenizer
from export.data import Reviews
from export.golden_texts import GOLDEN_TEXTS
from export.metrics import classification_metrics
from export.model import SentimentModel
from export.to_onnx import INPUT, OUTPUT
from export.train import by_length, predict

PARITY_TOLERANCE = 1e-5  # torch against onnxruntime: float32 sums in another order
INVARIANCE_TOLERANCE = 1e-6  # onnxruntime against itself, the review padded or in other company
PARITY_REVIEWS = 1_000

Probabilities = npt.NDArray[np.float64]
Sequences = list[list[int]]


class VerificationError(Exception):
    """The exported graph is not the trained model; names the check that failed."""


@dataclass(frozen=True)
class Verification:
    """What was checked: the largest difference of a probability in each check, and the test split's figures."""

    differences: dict[str, float]
    metrics: dict[str, float]
    golden: list[GoldenAnswer]
    model_sha256: str

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Verification":
        """Read what `save` wrote."""
        fields = json.loads(path.read_text())
        return cls(**fields | {"golden": [GoldenAnswer(**answer) for answer in fields["golden"]]})


class OnnxModel:
    """The graph in onnxruntime on one core."""

    def __init__(self, path: Path, pad_id: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._pad_id = pad_id

    def run(self, sequences: Sequences, length: int | None = None) -> Probabilities:
        """Probabilities (batch,) of one batch, padded to `length` or the longest."""
        input_ids, _ = pad(sequences, self._pad_id, length)
        (probabilities,) = self._session.run([OUTPUT.name], {INPUT.name: input_ids})  # (batch, 1)
        flat: Probabilities = probabilities[:, 0].astype(np.float64)
        return flat

    def predict(self, sequences: Sequences, batch_size: int = 8) -> Probabilities:
        """Probabilities (n,) in the order given, computed in batches of like length."""
        return by_length(self.run, sequences, batch_size)


def verify(model: SentimentModel, tokenizer: Tokenizer, onnx_path: Path, test: Reviews) -> Verification:
    """Run every check. Raises VerificationError on the first that fails."""
    model_sha256 = hashlib.sha256(onnx_path.read_bytes()).hexdigest()
    graph = OnnxModel(onnx_path, tokenizer.config.pad_id)
    sequences = [
        tokenizer.encode(text).input_ids for text in tqdm(test.texts, desc="tokenize test", leave=False, disable=None)
    ]
    by_torch, by_graph = predict(model, sequences, tokenizer.config.pad_id), graph.predict(sequences)

    every = len(sequences) // PARITY_REVIEWS or 1
    sample = sequences[::every][:PARITY_REVIEWS]
    differences = {
        "torch, test reviews": _at_most(PARITY_TOLERANCE, "torch, test reviews", by_torch, by_graph),
        "torch, every length": _every_length(model, graph, tokenizer),
        **_padding_and_company(graph, sample, tokenizer.config.max_length),
    }
    metrics = classification_metrics(by_graph, test.labels)
    torch_accuracy = classification_metrics(by_torch, test.labels)["accuracy"]
    if metrics["accuracy"] != torch_accuracy:
        raise VerificationError(f"accuracy is {metrics['accuracy']} in onnxruntime, {torch_accuracy} in torch")
    return Verification(differences, metrics, _golden(graph, tokenizer), model_sha256)


def _every_length(model: SentimentModel, graph: OnnxModel, tokenizer: Tokenizer) -> float:
    """Random ids of every length from 1 to the most that the model reads."""
    rng = np.random.default_rng(0)
    vocabulary_size = model.config.vocabulary_size
    sequences = [
        rng.integers(tokenizer.config.unk_id, vocabulary_size, length).tolist()
        for length in range(1, tokenizer.config.max_length + 1)
    ]
    return _at_most(
        PARITY_TOLERANCE,
        "torch, every length",
        predict(model, sequences, tokenizer.config.pad_id),
        graph.predict(sequences),
    )


def _padding_and_company(graph: OnnxModel, sequences: Sequences, max_length: int) -> dict[str, float]:
    """A review's probability alone, against the same review padded, in a mixed batch, and in that batch reversed."""
    alone = np.concatenate([graph.run([ids]) for ids in sequences])
    batches = [sequences[start : start + 16] for start in range(0, len(sequences), 16)]
    others = {
        "padded to the maximum": np.concatenate([graph.run([ids], max_length) for ids in sequences]),
        "in a mixed batch": np.concatenate([graph.run(batch) for batch in batches]),
        "in that batch, padded": np.concatenate([graph.run(batch, max_length) for batch in batches]),
        "in that batch, reversed": np.concatenate([graph.run(batch[::-1])[::-1] for batch in batches]),
    }
    return {name: _at_most(INVARIANCE_TOLERANCE, name, alone, other) for name, other in others.items()}


def _golden(graph: OnnxModel, tokenizer: Tokenizer) -> list[GoldenAnswer]:
    sequences = [tokenizer.encode(text).input_ids for text in GOLDEN_TEXTS]
    probabilities = graph.predict(sequences).tolist()
    return [GoldenAnswer(*answer) for answer in zip(GOLDEN_TEXTS, sequences, probabilities, strict=True)]


def _at_most(tolerance: float, check: str, one: Probabilities, other: Probabilities) -> float:
    difference = float(np.abs(one - other).max())
    if not difference <= tolerance:  # so that NaN fails, too
        raise VerificationError(f"{check}: probabilities differ by {difference:g}, more than {tolerance:g}")
    return difference
