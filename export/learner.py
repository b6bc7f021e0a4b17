"""A model that learns: its loss, its steps, and the running average of its weights that is kept."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel

from export.examples import Batch
from export.model import Dropout, SentimentModel
from export.recipes import TrainConfig
from export.word_vectors import own_values


class Learner:
    """A model and all that changes with it from step to step."""

    def __init__(self, model: SentimentModel, config: TrainConfig, steps: int) -> None:
        """`steps` is how many there will be in all."""
        self._config = config
        self._model = model.train()
        self._dropout = Dropout(
            config.word_dropout, config.embedding_dropout, config.channel_dropout, config.state_dropout
        )
        self._noise = Dropout(
            config.contrast_dropout / 2, embedding=config.contrast_dropout, state=config.contrast_dropout
        )
        self._averaged = AveragedModel(model, avg_fn=_moving_average(config.ema_decay))
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(model, config),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.9, config.beta2),
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, config.learning_rate, total_steps=steps, pct_start=0.05, cycle_momentum=False
        )
        self._stateful: dict[str, Any] = {
            "model": model,
            "averaged": self._averaged,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
        }

    @property
    def averaged(self) -> nn.Module:
        """The model with the running average of its weights, which is what is judged and kept."""
        return self._averaged.module

    def step(self, batch: Batch, contrast: Sequence[Batch]) -> float:
        """Learn from a batch of reviews and those of contrast pairs beside it; returns the loss before."""
        with parametrize.cached():  # the embedding's sum once a step
            loss = _loss(self._model, batch, self._dropout, self._config.running_weight)
            for pairs in contrast:
                weight = self._config.contrast_weight / self._config.contrast_batches
                loss = loss + weight * _loss(self._model, pairs, self._noise)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimizer.step()
        self._schedule.step()
        self._averaged.update_parameters(self._model)
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on as if nothing had happened."""
        return {name: part.state_dict() for name, part in self._stateful.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of the same recipe."""
        for name, part in self._stateful.items():
            part.load_state_dict(state[name])


def _parameter_groups(model: SentimentModel, config: TrainConfig) -> list[dict[str, Any]]:
    """All parameters, the embedding's own values with a decay of their own."""
    own = own_values(model.embedding)
    others = [parameter for parameter in model.parameters() if parameter is not own]
    return [{"params": others}, {"params": [own], "weight_decay": config.own_decay}]


def _loss(model: SentimentModel, batch: Batch, dropout: Dropout, running_weight: float = 0.0) -> Tensor:
    """Cross-entropy (nats) after the last token, and `running_weight` times its mean over the places in between."""
    device = next(model.parameters()).device
    input_ids, lengths, targets, running_targets = (tensor.to(device) for tensor in batch)
    logits, running_logits = model.read(input_ids, lengths, dropout)  # (batch,) and (batch, time)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    known = ~running_targets.isnan()  # (batch, time)
    if running_weight and known.any():
        each = nn.functional.binary_cross_entropy_with_logits(
            running_logits, running_targets.nan_to_num(), reduction="none"
        )
        by_review = (each * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)  # (batch,)
        loss = loss + running_weight * by_review.mean()
    return loss


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential average that forgets faster at first, or the untrained weights would stay in it for long."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return torch.lerp(current, averaged, min(decay, (1 + int(count)) / (10 + int(count))))

    return average
