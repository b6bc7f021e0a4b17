"""Which tokens get an id: the most frequent ones of the training reviews."""

import itertools
from collections import Counter
from collections.abc import Iterable

from bundle.tokenizer import PAD_TOKEN, UNK_TOKEN, split
from export.contrast import Line
from export.data import Reviews


def build_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """At most `size` entries: padding, unknown, then tokens by falling frequency, ties by code point."""
    counts = Counter(token for text in texts for token in split(text))
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return [PAD_TOKEN, UNK_TOKEN, *ranked[: size - 2]]


def training_vocabulary(fit: Reviews, unlabelled: Reviews | None, bank: list[Line], size: int) -> list[str]:
    """The same of all that is learnt from.

    A word of the bank counts as if it were in fifteen reviews: the bank is small, and must be read whole.
    """
    reviews = fit.texts if unlabelled is None else [*fit.texts, *unlabelled.texts]
    words = [text for line in bank for text in line.texts()]
    return build_vocabulary(itertools.chain(reviews, *[words] * 15), size)
