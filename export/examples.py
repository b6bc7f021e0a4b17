"""Training examples in batches: reviews, whole or cropped, and contrast pairs; what to answer, and when."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor
from tqdm import tqdm

from bundle.padding import pad
from bundle.tokenizer import Tokenizer
from export.contrast import Line, Pair
from export.data import Reviews
from export.rules import RulePairs
from export.soft_labels import STRIDE, SoftLabels, places

POOL = 50  # batches that are sorted by length together, so that like lengths meet and batches stay random
SHORTEST_CROP, LONGEST_CROP = 8, 250  # tokens

RULES = 0.2  # share of the contrast pairs that are made by rule
PARAGRAPHS = 0.25  # share of the others that are longer than SHORT
AMONG_ASIDES = 0.3  # share of what is shorter that stands among sentences in which nothing is decided
JOINED = 0.4  # share of the rest that comes with another sentence
SHORT = 200  # characters
CERTAINTY = 0.95  # what to answer where a label is beyond doubt


class Batch(NamedTuple):
    """Texts to learn from, padded on the right, and the probabilities to answer."""

    input_ids: Tensor  # (batch, time) int64
    lengths: Tensor  # (batch,) int64
    targets: Tensor  # (batch,) float32: after the last token
    running_targets: Tensor  # (batch, time) float32: after each token, NaN where nobody knows


class Example(NamedTuple):
    """One text."""

    input_ids: npt.NDArray[np.int64]  # (tokens,)
    target: float
    running_targets: npt.NDArray[np.float32] | None = None  # (tokens,)


class ReviewExamples:
    """Reviews with hard labels alone, or with soft labels: then a share `crop` of them is read in part only.

    A whole review's target is the mean of its hard and its soft label, where it has both. One that is too long shows
    its end, where the verdict is.
    """

    def __init__(
        self, reviews: Reviews, tokenizer: Tokenizer, soft: SoftLabels | None = None, crop: float = 0.0
    ) -> None:
        self._max_length, self._pad_id = tokenizer.config.max_length, tokenizer.config.pad_id
        self._soft, self._crop = soft, crop
        self._ids = [
            np.array(tokenizer.encode_whole(text), dtype=np.int64)
            for text in tqdm(reviews.texts, "tokenize", disable=None)
        ]
        self._labels = reviews.labels
        self._slope = None if soft is None else soft.slope(tokenizer.config.max_length)

    def __len__(self) -> int:
        return len(self._ids)

    def batches(self, batch_size: int, rng: random.Random) -> Iterator[Batch]:
        """One pass over all reviews, in random batches of like lengths."""
        rows = list(range(len(self)))
        rng.shuffle(rows)
        for start in range(0, len(rows), POOL * batch_size):
            pool = [self._example(row, rng) for row in rows[start : start + POOL * batch_size]]
            pool.sort(key=lambda example: len(example.input_ids))
            batches = [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
            rng.shuffle(batches)
            yield from (collate(batch, self._pad_id) for batch in batches)

    def _example(self, row: int, rng: random.Random) -> Example:
        count = len(self._ids[row])
        if self._soft is None:
            return Example(self._ids[row][: self._max_length], float(self._labels[row]))
        # Windows begin where the evidence so far was written down, so that it can be taken off.
        first = max(0, -(-(count - self._max_length) // STRIDE)) * STRIDE
        if rng.random() >= self._crop or count - first < 2 * SHORTEST_CROP:
            return self._window(row, first, count, self._whole_target(row))
        length = STRIDE * round(np.exp(rng.uniform(np.log(SHORTEST_CROP), np.log(LONGEST_CROP))) / STRIDE)
        start = first + STRIDE * rng.randint(0, max(0, count - first - length) // STRIDE)
        return self._window(row, start, min(start + length, count))

    def _window(self, row: int, start: int, stop: int, target: float | None = None) -> Example:
        """Tokens `start`, a multiple of STRIDE, up to `stop`, and what those tell alone."""
        assert self._soft is not None and self._slope is not None
        sums = self._soft.evidence[row]
        before = sums[start // STRIDE - 1] if start else 0
        told = places(stop - start)
        running = np.full(stop - start, np.nan, dtype=np.float32)
        running[told] = expit(self._slope[told] * (sums[start // STRIDE :][: len(told)] - before))
        return Example(self._ids[row][start:stop], float(running[-1]) if target is None else target, running)

    def _whole_target(self, row: int) -> float:
        assert self._soft is not None
        soft, hard = float(expit(self._soft.log_odds[row])), float(self._labels[row])
        return soft if hard not in (0, 1) else (soft + hard) / 2


class ContrastExamples:
    """Sides of contrast pairs, alone or in company: of asides, or of a sentence whose verdict agrees or loses."""

    def __init__(self, bank: list[Line], rules: RulePairs, tokenizer: Tokenizer) -> None:
        self._rules, self._tokenizer = rules, tokenizer
        self._short = [line for line in bank if line.length < SHORT]
        self._long = [line for line in bank if line.length >= SHORT]
        self._asides = [sentence for line in self._long for sentence in line.asides()]

    def batches(self, batch_size: int, count: int, rng: random.Random) -> list[Batch]:
        """`count` batches, like lengths together."""
        examples = sorted((self._example(rng) for _ in range(count * batch_size)), key=lambda one: len(one.input_ids))
        parts = [examples[first : first + batch_size] for first in range(0, len(examples), batch_size)]
        return [collate(part, self._tokenizer.config.pad_id) for part in parts]

    def _example(self, rng: random.Random) -> Example:
        side = rng.randrange(2)
        text = self._draw(rng)[side]
        if len(text) < SHORT and rng.random() < AMONG_ASIDES:
            text = self._among_asides(text, rng)
        elif len(text) < SHORT and rng.random() < JOINED:
            text = self._join(text, side, rng)
        ids = np.array(self._tokenizer.encode(text).input_ids, dtype=np.int64)
        return Example(ids, 1 - CERTAINTY if side else CERTAINTY)

    def _draw(self, rng: random.Random) -> Pair:
        if rng.random() < RULES:
            return self._rules.draw(rng)
        return rng.choice(self._long if rng.random() < PARAGRAPHS else self._short).draw(rng)

    def _among_asides(self, text: str, rng: random.Random) -> str:
        before, after = ([rng.choice(self._asides) for _ in range(rng.randint(0, most))] for most in (4, 3))
        ended = text if text.endswith((".", "!", "?")) else text + "."
        return " ".join([*before, ended, *after])

    def _join(self, text: str, side: int, rng: random.Random) -> str:
        """`text` decides: after a sentence of the same verdict, or against a clause of the other."""
        other = rng.choice(self._short).draw(rng)
        agreeing, losing = (other[one].rstrip(".!") for one in (side, 1 - side))
        return rng.choice(
            (f"{agreeing}. {text}", f"{agreeing}. {text}", f"{losing}, but {text}", f"although {losing}, {text}")
        )


def collate(examples: list[Example], pad_id: int) -> Batch:
    """One batch, padded to its longest text."""
    input_ids, lengths = pad([example.input_ids.tolist() for example in examples], pad_id)
    running = np.full(input_ids.shape, np.nan, dtype=np.float32)
    for row, example in enumerate(examples):
        if example.running_targets is not None:
            running[row, : len(example.input_ids)] = example.running_targets
    targets = torch.tensor([example.target for example in examples], dtype=torch.float32)
    return Batch(torch.from_numpy(input_ids), torch.from_numpy(lengths), targets, torch.from_numpy(running))
