"""The reviews that are sent: of the test split, or made up."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from bundle.store import VOCABULARY, Bundle
from export.data import load

# Tokens of the IMDB test reviews, log-normal near enough: half have no more than 201, one in ten 500 or more, and of
# those that the model reads, at most 500, the mean is 235.
MEDIAN_TOKENS, SPREAD, MOST_TOKENS = 201, 0.7, 1_000
_SEED = 1


@dataclass(frozen=True)
class ReviewSet:
    """Reviews in the order in which they arrive, and where they came from."""

    texts: list[str]
    source: str


def choose_reviews(data: Path | None, bundle: Bundle, count: int) -> ReviewSet:
    """So many reviews, spread over the test split of `data`, or synthetic ones. Always the same."""
    if data is None:
        tokens = json.loads((bundle.path / VOCABULARY).read_text())
        return ReviewSet(synthetic_reviews(tokens, count), f"{count:,} synthetic reviews")
    texts = load(data, "test").texts
    chosen = texts[:: max(1, len(texts) // count)][:count]
    random.Random(_SEED).shuffle(chosen)  # the split has its labels one after the other
    return ReviewSet(chosen, f"{len(chosen):,} reviews spread over the IMDB test split")


def synthetic_reviews(vocabulary: Sequence[str], count: int) -> list[str]:
    """Words of a vocabulary in a row, frequent ones often, as many as film reviews have: for speed, not for sense."""
    words = [token for token in vocabulary if token.isascii() and token.isalpha()]
    # Zipf's law: a vocabulary begins with its most frequent words.
    weights = [*accumulate(1 / rank for rank in range(1, len(words) + 1))]
    rng = random.Random(_SEED)
    lengths = [min(MOST_TOKENS, 1 + int(MEDIAN_TOKENS * rng.lognormvariate(0, SPREAD))) for _ in range(count)]
    return [" ".join(rng.choices(words, cum_weights=weights, k=length)) for length in lengths]
