"""N-grams of reviews, and a logistic regression on them whose evidence can be read token by token.

The features are Wang and Manning's (Baselines and Bigrams, 2012): whether a review has an n-gram at all, weighted by
the log-count ratio of its class counts. A review's log-odds are a sum over its n-grams, so the sum up to any token says
what the review has told so far.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from bundle.tokenizer import split
from export.data import Reviews

Floats = npt.NDArray[np.float64]

ORDERS = (1, 2, 3)
ABSENT = -1


@dataclass(frozen=True)
class Corpus:
    """Tokens of many reviews, end to end: review i has `tokens[offsets[i]:offsets[i + 1]]`."""

    tokens: npt.NDArray[np.int64]  # (tokens,) ids from 1
    offsets: npt.NDArray[np.int64]  # (reviews + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, start: int, stop: int) -> "Corpus":
        """The reviews from `start` up to `stop`."""
        first, last = self.offsets[start], self.offsets[stop]
        return Corpus(self.tokens[first:last], self.offsets[start : stop + 1] - first)

    @property
    def review_of(self) -> npt.NDArray[np.int64]:
        """Which review each token is in (tokens,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Each token's place in its review (tokens,), from 0."""
        return np.arange(len(self.tokens)) - self.offsets[self.review_of]


def read_corpus(*parts: Reviews) -> Corpus:
    """One corpus of all their reviews, in order."""
    ids: dict[str, int] = {}
    texts = [text for reviews in parts for text in reviews.texts]
    numbered = [
        [ids.setdefault(token, len(ids) + 1) for token in split(text)] for text in tqdm(texts, "tokenize", disable=None)
    ]
    tokens = np.fromiter(itertools.chain.from_iterable(numbered), dtype=np.int64)
    return Corpus(tokens, np.cumsum([0, *map(len, numbered)]))


def ngram_keys(corpus: Corpus) -> npt.NDArray[np.int64]:
    """A number (tokens, 3) for the 1-, 2- and 3-gram that ends at each token; ABSENT where the review has no such."""
    base = np.int64(1) << 21  # three ids fit in 63 bits
    keys = np.full((len(corpus.tokens), len(ORDERS)), ABSENT, dtype=np.int64)
    for column, order in enumerate(ORDERS):
        key = np.zeros(len(corpus.tokens), dtype=np.int64)
        for back in range(order):
            key = key * base + np.roll(corpus.tokens, back)
        keys[:, column] = np.where(corpus.places >= order - 1, key, ABSENT)
    return keys


class Ngrams:
    """The n-grams that occur at least `min_count` times in a corpus, numbered from 0."""

    def __init__(self, corpus: Corpus, min_count: int) -> None:
        keys, counts = np.unique(ngram_keys(corpus), return_counts=True)
        self._keys = keys[(counts >= min_count) & (keys != ABSENT)]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, corpus: Corpus) -> npt.NDArray[np.int64]:
        """Numbers (tokens, 3) of the n-grams that end at each token, ABSENT where it is none of these."""
        keys = ngram_keys(corpus)
        nearest = np.minimum(np.searchsorted(self._keys, keys), len(self) - 1)
        return np.where(self._keys[nearest] == keys, nearest, ABSENT)

    def first_finds(self, corpus: Corpus) -> npt.NDArray[np.int64]:
        """The same, but each n-gram only where a review has it for the first time."""
        found = self.find(corpus)
        occurrence = corpus.review_of[:, None] * len(self) + found  # the same for a review's every use of an n-gram
        _, firsts = np.unique(np.where(found == ABSENT, ABSENT, occurrence), return_index=True)
        once = np.full(found.size, ABSENT)
        once[firsts] = found.ravel()[firsts]
        return once.reshape(found.shape)

    def matrix(self, corpus: Corpus) -> sparse.csr_matrix:
        """(reviews, n-grams) of 0 and 1."""
        found = self.first_finds(corpus)
        there = found != ABSENT
        rows = np.broadcast_to(corpus.review_of[:, None], found.shape)[there]
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows, found[there])), shape=(len(corpus), len(self)))


@dataclass(frozen=True)
class NgramModel:
    """Log-odds of a review: `bias` plus the weights of the n-grams it has."""

    weights: npt.NDArray[np.float32]  # (n-grams,)
    bias: float

    def log_odds(self, matrix: sparse.csr_matrix) -> Floats:
        """(reviews,) from (reviews, n-grams)."""
        total: Floats = matrix @ self.weights + self.bias
        return total

    def evidence(self, corpus: Corpus, ngrams: Ngrams) -> Floats:
        """What each token adds (tokens,), the bias left out: the weights of the n-grams that it completes first."""
        found = ngrams.first_finds(corpus)
        added: Floats = np.where(found == ABSENT, 0, self.weights[found]).sum(axis=1)
        return added


def fit_ngram_model(matrix: sparse.csr_matrix, targets: Floats, strength: float, iterations: int = 200) -> NgramModel:
    """Fit by L-BFGS to targets (reviews,), probabilities or 0 and 1; `strength` is the inverse of the ridge's."""
    ratio = log_count_ratio(matrix, targets)
    weighted = (matrix @ sparse.diags(ratio)).astype(np.float32).tocsr()
    turned = weighted.T.tocsr()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights = parameters[:-1].astype(np.float32)
        logits = weighted @ weights + parameters[-1]
        error = expit(logits) - targets
        value = strength * (np.logaddexp(0, logits) - targets * logits).sum() + 0.5 * weights @ weights
        slope = np.append(strength * (turned @ error.astype(np.float32)) + weights, strength * error.sum())
        return float(value), slope

    start = np.zeros(matrix.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "ftol": 1e-7}).x
    return NgramModel((found[:-1] * ratio).astype(np.float32), float(found[-1]))


def log_count_ratio(matrix: sparse.csr_matrix, targets: Floats) -> npt.NDArray[np.float32]:
    """log of (share of an n-gram in the positive class / in the negative class), counts smoothed by one (n-grams,)."""
    positive = matrix.T @ targets + 1
    negative = matrix.T @ (1 - targets) + 1
    ratio = np.log((positive / positive.sum()) / (negative / negative.sum()))
    return np.asarray(ratio, dtype=np.float32)


def running_sum(values: Floats, corpus: Corpus) -> Floats:
    """Sum of the values (tokens,) from the start of each review up to each token."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    summed: Floats = total[1:] - total[corpus.offsets[:-1]][corpus.review_of]
    return summed
