"""The answer for one review: what the scorer gives and the client returns."""

from dataclasses import dataclass
from typing import Literal

from bundle.tokenizer import Encoding

Sentiment = Literal["negative", "positive"]


@dataclass(frozen=True, slots=True)
class Classification:
    """What the model says of a review; the fields are those of `sentiment.v1.Classification`."""

    sentiment: Sentiment
    positive_probability: float  # 0 to 1
    token_count: int  # tokens that the model read
    truncated: bool  # whether the review had more
    unknown_token_ratio: float  # share of the tokens read that the vocabulary lacks, 0 to 1


def to_classification(encoding: Encoding, probability: float, threshold: float) -> Classification:
    """What the model's probability says of a text that it read as `encoding`."""
    return Classification(
        sentiment="positive" if probability >= threshold else "negative",
        positive_probability=probability,
        token_count=len(encoding.input_ids),
        truncated=encoding.truncated,
        unknown_token_ratio=encoding.unknown_token_ratio,
    )
