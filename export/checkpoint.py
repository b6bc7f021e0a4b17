"""A trained model on disk."""

import io
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bundle.tokenizer import Tokenizer, TokenizerConfig
from export.model import ModelConfig, SentimentModel
from export.recipes import TrainConfig


@dataclass
class Checkpoint:
    """A model and all that it takes to use it, explain it and go on training it."""

    weights: dict[str, Tensor]
    vocabulary: list[str]
    tokenizer: TokenizerConfig
    model: ModelConfig
    train: TrainConfig
    material_fingerprint: str  # SHA-256 of all that was learnt from
    train_sha256: str  # of the labelled reviews alone
    unlabelled_reviews: int
    threads: int  # of torch; the last bits of its sums depend on them
    validation_accuracy: float
    # What calibrates the probabilities: the logit is divided by the one, and the other added.
    temperature: float = 1.0  # by the validation part
    bias: float = 0.0  # by all labelled reviews
    history: list[dict[str, float]] = field(default_factory=list)  # one entry a pass
    finished: bool = False  # after the last pass, the bias fitted

    def save(self, path: Path) -> None:
        """Write atomically: the last good checkpoint stays until the new one is whole."""
        save_atomically(asdict(self), path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint. Raises FileNotFoundError where there is none, ValueError if it cannot be used."""
        return cls.from_dict(load_saved(path))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Checkpoint":
        """The inverse of `dataclasses.asdict`. Raises ValueError if the fields are not those of this code."""
        configs = {"tokenizer": TokenizerConfig, "model": ModelConfig, "train": TrainConfig}
        try:
            return cls(**fields | {name: config(**fields[name]) for name, config in configs.items()})
        except (KeyError, TypeError) as error:
            raise ValueError("the checkpoint was written by another version of this code; train again") from error

    def build(self) -> SentimentModel:
        """The trained module, in evaluation mode, its logits already calibrated."""
        model = SentimentModel(self.model)
        scaled = {name: self.weights[name] / self.temperature for name in ("dense.weight", "dense.bias")}
        scaled["dense.bias"] += self.bias
        model.load_state_dict(self.weights | scaled)
        return model.eval()

    def build_tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with."""
        return Tokenizer(self.vocabulary, self.tokenizer)


def load_saved(path: Path) -> dict[str, Any]:
    """Read what `save_atomically` wrote. Raises FileNotFoundError where there is nothing, ValueError if that broke."""
    content = io.BytesIO(path.read_bytes())
    try:
        fields: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever wrong bytes lead it to
        raise ValueError(f"{path} is broken; delete it and train again") from error
    return fields


def save_atomically(fields: dict[str, Any], path: Path) -> None:
    """Write what torch can save: the old file stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    torch.save(fields, partial)
    os.replace(partial, path)
