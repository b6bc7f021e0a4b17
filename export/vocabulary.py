"""Which tokens get an id: the most frequent ones of the training reviews."""

from collections import Counter
from collections.abc import Iterable

from bundle.tokenizer import PAD_TOKEN, UNK_TOKEN, split


def build_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """At most `size` entries: padding, unknown, then tokens by falling frequency, ties by code point."""
    counts = Counter(token for text in texts for token in split(text))
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return [PAD_TOKEN, UNK_TOKEN, *ranked[: size - 2]]
