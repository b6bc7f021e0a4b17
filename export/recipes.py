"""The two recipes: the plain one of the seed, and the one that learns from teachers."""

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["plain", "distilled"]


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. A checkpoint carries it whole. The defaults are the plain one: hard labels of whole reviews."""

    epochs: int = 4
    batch_size: int = 32  # reviews
    learning_rate: float = 2e-3  # peak; linear warm-up over 5% of the steps, then a cosine to zero
    beta2: float = 0.999  # Adam's memory of squared gradients
    weight_decay: float = 0.1
    own_decay: float = 0.1  # of the words' own values in the embedding; the more, the more they are what their like are
    word_dropout: float = 0.3  # share of tokens replaced by the unknown token, anew in each pass
    embedding_dropout: float = 0.4
    channel_dropout: float = 0.2
    state_dropout: float = 0.5
    clip_norm: float = 1.0
    ema_decay: float = 0.998  # of the averaged weights, which are what is validated and kept
    running_weight: float = 0.0  # of the loss against what the teachers say after every few tokens
    crop: float = 0.0  # share of the reviews that are read in part only
    contrast_batches: int = 0  # batches of contrast pairs beside each batch of reviews
    contrast_weight: float = 0.0
    contrast_dropout: float = 0.0  # of their embeddings and last states, and half of it of their words
    vocabulary_size: int = 20_000
    truncation_side: Literal["right", "left", "middle"] = "right"
    seed: int = 1


PLAIN = TrainConfig()

# With labels for every prefix of 72,500 reviews there is little left to overfit: the model agrees with its teacher as
# often on held-out films as on the others. So there is no dropout, and steps are as large as they can be.
DISTILLED = TrainConfig(
    epochs=5,
    batch_size=64,
    learning_rate=0.015,
    beta2=0.99,
    weight_decay=0.01,
    own_decay=0.05,
    word_dropout=0.0,
    embedding_dropout=0.0,
    channel_dropout=0.0,
    state_dropout=0.0,
    running_weight=1.0,
    crop=0.3,
    contrast_batches=10,
    contrast_weight=3.0,
    contrast_dropout=0.1,
    vocabulary_size=30_000,
    truncation_side="middle",
)

RECIPES: dict[RecipeName, TrainConfig] = {"plain": PLAIN, "distilled": DISTILLED}
