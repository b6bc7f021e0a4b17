"""Proves that the exported graphs are the trained model, and measures them on real reviews."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tqdm import tqdm

from bundle.manifest import EXACT_INTEGERS, Precision
from bundle.padding import Sequences, pad
from bundle.store import GoldenAnswer
from bundle.tokenizer import Tokenizer
from export import behaviour
from export.behaviour import Behaviour
from export.data import Reviews
from export.golden_texts import GOLDEN_TEXTS
from export.metrics import classification_metrics
from export.model import SentimentModel
from export.predict import by_length, predict, timed
from export.to_onnx import INPUT, OUTPUT

PARITY_TOLERANCE = 1e-5  # torch against onnxruntime: float32 sums in another order
INVARIANCE_TOLERANCE = 1e-6  # onnxruntime against itself, the review padded or in other company
PARITY_REVIEWS = 1_000

# What int8 may cost against fp32 on the test reviews.
ACCURACY_LOSS = 0.001
FLIPS = 0.005
QUANTIZATION_TOLERANCE = 0.05  # of any probability; version 2 needs 0.021

Probabilities = npt.NDArray[np.float64]


class VerificationError(Exception):
    """An exported graph is not the trained model; names the check that failed."""


@dataclass(frozen=True)
class Verification:
    """What was checked and measured of one graph, the test split's figures among it."""

    precision: Precision
    model_sha256: str
    test_sha256: str  # of the test reviews
    differences: dict[str, float]  # largest difference of a probability in each check
    metrics: dict[str, float]
    behaviour: Behaviour
    microseconds: float  # of CPU a test review on one core, in batches of like length
    golden: list[GoldenAnswer]

    @classmethod
    def from_dict(cls, fields: dict[str, object]) -> "Verification":
        """The inverse of `dataclasses.asdict`."""
        golden = [GoldenAnswer(**answer) for answer in fields["golden"]]  # type: ignore[attr-defined]
        suite = Behaviour(**fields["behaviour"])  # type: ignore[arg-type]
        return cls(**fields | {"golden": golden, "behaviour": suite})  # type: ignore[arg-type]


def save_verifications(verifications: list[Verification], path: Path) -> None:
    """Write as JSON."""
    path.write_text(json.dumps([asdict(verification) for verification in verifications], indent=2) + "\n")


def load_verifications(path: Path) -> list[Verification]:
    """Read what `save_verifications` wrote. Raises VerificationError if that was another version of this code."""
    try:
        return [Verification.from_dict(fields) for fields in json.loads(path.read_text())]
    except (KeyError, TypeError) as error:
        raise VerificationError(f"{path} was written by another version of this code; run verify again") from error


class OnnxModel:
    """A graph in onnxruntime on one core, behind its tokenizer."""

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry(*EXACT_INTEGERS)
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizer

    def run(self, sequences: Sequences, length: int | None = None) -> Probabilities:
        """Probabilities (batch,) of one batch, padded to `length` or the longest."""
        input_ids, _ = pad(sequences, self._tokenizer.config.pad_id, length)
        (probabilities,) = self._session.run([OUTPUT.name], {INPUT.name: input_ids})  # (batch, 1)
        flat: Probabilities = probabilities[:, 0].astype(np.float64)
        return flat

    def predict(self, sequences: Sequences, batch_size: int = 8) -> Probabilities:
        """Probabilities (n,) in the order given, computed in batches of like length."""
        return by_length(self.run, sequences, batch_size)

    def score(self, texts: list[str]) -> Probabilities:
        """Probabilities (n,) of texts."""
        return self.predict([self._tokenizer.encode(text).input_ids for text in texts])

    def timed(self, sequences: Sequences) -> tuple[Probabilities, float]:
        """What `predict` says, and the microseconds of CPU that a sequence took."""
        probabilities, seconds = timed(lambda: self.predict(sequences))
        return probabilities, seconds * 1e6 / len(sequences)


def verify(
    model: SentimentModel, tokenizer: Tokenizer, graphs: dict[Precision, Path], test: Reviews
) -> tuple[list[Verification], Probabilities]:
    """Run every check of every graph, fp32 among them. Raises VerificationError on the first that fails.

    Returns what was found, and the fp32 graph's probabilities (reviews,) of the test reviews.
    """
    sequences = [
        tokenizer.encode(text).input_ids for text in tqdm(test.texts, desc="tokenize test", leave=False, disable=None)
    ]
    models = {precision: OnnxModel(path, tokenizer) for precision, path in graphs.items()}
    found = {precision: graph.timed(sequences) for precision, graph in models.items()}
    exact, _ = found["fp32"]
    differences = {"fp32": _parity(model, models["fp32"], tokenizer, sequences, exact, test.labels)}
    if "int8" in found:
        differences["int8"] = _quantization_loss(exact, found["int8"][0], test.labels)
    sample = sequences[:: len(sequences) // PARITY_REVIEWS or 1][:PARITY_REVIEWS]
    verifications = [
        Verification(
            precision=precision,
            model_sha256=hashlib.sha256(graphs[precision].read_bytes()).hexdigest(),
            test_sha256=test.fingerprint(),
            differences=differences[precision] | _padding_and_company(graph, sample, tokenizer.config.max_length),
            metrics=classification_metrics(found[precision][0], test.labels),
            behaviour=behaviour.measure(graph.score),
            microseconds=found[precision][1],
            golden=_golden(graph, tokenizer),
        )
        for precision, graph in models.items()
    ]
    return verifications, exact


def _parity(
    model: SentimentModel,
    graph: OnnxModel,
    tokenizer: Tokenizer,
    sequences: Sequences,
    by_graph: Probabilities,
    labels: npt.NDArray[np.int64],
) -> dict[str, float]:
    by_torch = predict(model, sequences, tokenizer.config.pad_id)
    accuracies = [classification_metrics(each, labels)["accuracy"] for each in (by_graph, by_torch)]
    differences = {
        "torch, test reviews": _at_most(PARITY_TOLERANCE, "torch, test reviews", by_torch, by_graph),
        "torch, every length": _every_length(model, graph, tokenizer),
    }
    if accuracies[0] != accuracies[1]:
        raise VerificationError(f"accuracy is {accuracies[0]} in onnxruntime, {accuracies[1]} in torch")
    return differences


def _quantization_loss(exact: Probabilities, rounded: Probabilities, labels: npt.NDArray[np.int64]) -> dict[str, float]:
    lost = float(((exact >= 0.5) == labels).mean() - ((rounded >= 0.5) == labels).mean())
    flips = float(((exact >= 0.5) != (rounded >= 0.5)).mean())
    if not lost <= ACCURACY_LOSS:
        raise VerificationError(f"int8 loses {lost:.2%} of accuracy, more than {ACCURACY_LOSS:.2%}")
    if not flips <= FLIPS:
        raise VerificationError(f"int8 turns {flips:.2%} of the answers around, more than {FLIPS:.2%}")
    difference = _at_most(QUANTIZATION_TOLERANCE, "int8 and fp32, test reviews", exact, rounded)
    return {"fp32, test reviews": difference, "fp32, share of answers flipped": flips}


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
    answers = zip(GOLDEN_TEXTS, sequences, graph.predict(sequences).tolist(), strict=True)
    return [GoldenAnswer(text, input_ids.tolist(), probability) for text, input_ids, probability in answers]


def _at_most(tolerance: float, check: str, one: Probabilities, other: Probabilities) -> float:
    difference = float(np.abs(one - other).max())
    if not difference <= tolerance:  # so that NaN fails, too
        raise VerificationError(f"{check}: probabilities differ by {difference:g}, more than {tolerance:g}")
    return difference
