"""What a model learns from and is judged by: reviews and contrast pairs, as token ids."""

import hashlib
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from bundle.tokenizer import Tokenizer, TokenizerConfig
from export.behaviour import right_sides
from export.contrast import hold_out_lines, load_bank
from export.data import BLOCKS, Reviews, film_blocks, hold_out, join
from export.examples import Batch, ContrastExamples, ReviewExamples
from export.metrics import classification_metrics, fit_temperature
from export.predict import predict
from export.recipes import TrainConfig
from export.rules import RulePairs
from export.soft_labels import SoftLabels
from export.vocabulary import training_vocabulary
from export.word_vectors import WordVectors


@dataclass(frozen=True)
class Material:
    """What there is to learn from: labelled reviews; for distilling, unlabelled ones, soft labels and word vectors."""

    train: Reviews
    unlabelled: Reviews | None = None
    soft_labels: SoftLabels | None = None
    word_vectors: WordVectors | None = None

    def fingerprint(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(self.train.fingerprint().encode())
        if self.soft_labels is not None:
            digest.update(self.soft_labels.digest().encode())
        if self.word_vectors is not None:
            digest.update(self.word_vectors.digest().encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Judgement:
    """How a model does on what it has not learnt from, and the temperature that would suit it there."""

    metrics: dict[str, float]
    temperature: float


class Lessons:
    """Some of the material to fit a model to, batch by batch, and the rest to judge it by."""

    def __init__(self, material: Material, config: TrainConfig) -> None:
        """Raises SoftLabelsError if those are of other reviews."""
        self._config = config
        # The vocabulary, too, sees only what the model is fitted on.
        fit, self._validation = hold_out(material.train)
        bank, self._unseen_pairs = hold_out_lines(load_bank() if config.contrast_batches else [])
        self.vocabulary = training_vocabulary(fit, material.unlabelled, bank, config.vocabulary_size)
        self.tokenizer = Tokenizer(self.vocabulary, TokenizerConfig(truncation_side=config.truncation_side))
        self._reviews = _examples(material, fit, self.tokenizer, config.crop)
        self._contrast = ContrastExamples(bank, RulePairs(fit.texts if bank else []), self.tokenizer)
        self._validation_ids = self._encode(self._validation.texts)

    @property
    def steps(self) -> int:
        """Batches in one pass."""
        return -(-len(self._reviews) // self._config.batch_size)

    def batches(self, rng: random.Random) -> Iterator[tuple[Batch, list[Batch]]]:
        """One pass: batches of reviews, and beside each some of contrast pairs."""
        size, beside = self._config.batch_size, self._config.contrast_batches
        for batch in self._reviews.batches(size, rng):
            yield batch, self._contrast.batches(size, beside, rng)

    def judge(self, model: nn.Module) -> Judgement:
        """By the reviews that were held out, and by how many pairs of the bank's held-out lines are right."""
        probabilities = predict(model, self._validation_ids, self.tokenizer.config.pad_id)
        metrics = classification_metrics(probabilities, self._validation.labels)
        if self._unseen_pairs:
            metrics |= self._read_pairs(model)
        return Judgement(metrics, fit_temperature(probabilities, self._validation.labels))

    def _read_pairs(self, model: nn.Module) -> dict[str, float]:
        def score(texts: list[str]) -> npt.NDArray[np.float64]:
            return predict(model, self._encode(texts), self.tokenizer.config.pad_id)

        right = right_sides(score, self._unseen_pairs)  # (pairs, 2)
        return {"pairs": float(right.all(axis=1).mean()), "pair_members": float(right.mean())}

    def _encode(self, texts: list[str]) -> list["array[int]"]:
        return [self.tokenizer.encode(text).input_ids for text in texts]


def _examples(material: Material, fit: Reviews, tokenizer: Tokenizer, crop: float) -> ReviewExamples:
    if material.soft_labels is None or material.unlabelled is None:
        return ReviewExamples(fit, tokenizer)
    material.soft_labels.check(material.train, material.unlabelled)
    held_out = film_blocks(material.train) == BLOCKS - 1
    taught = np.append(~held_out, np.ones(len(material.unlabelled), dtype=bool))
    return ReviewExamples(join(fit, material.unlabelled), tokenizer, material.soft_labels.take(taught), crop)
