"""The training loop, top to bottom: data, batches, model, passes, checkpoints."""

import hashlib
import random
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from bundle.tokenizer import Tokenizer, TokenizerConfig
from export.behaviour import right_sides
from export.checkpoint import Checkpoint, save_atomically
from export.contrast import Pair, hold_out_lines, load_bank
from export.data import BLOCKS, Reviews, film_blocks, hold_out, join
from export.examples import Batch, ContrastExamples, ReviewExamples
from export.metrics import classification_metrics, fit_bias, fit_temperature
from export.model import Dropout, ModelConfig, SentimentModel, plain_weights
from export.predict import predict
from export.recipes import TrainConfig
from export.rules import RulePairs
from export.soft_labels import SoftLabels
from export.vocabulary import training_vocabulary
from export.word_vectors import WordVectors, own_values, share

Device = Literal["auto", "cpu", "cuda"]


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


def train(
    material: Material, checkpoint_path: Path, config: TrainConfig, device: Device = "auto", resume: bool = False
) -> Checkpoint:
    """Train, validate and write `checkpoint_path` after every pass; returns the last checkpoint.

    The last pass is the one to keep: the learning rate has come down to zero, and choosing among passes by validation
    would choose its noise. With `resume`, go on after the last whole pass; on the CPU the result is the same as if it
    had never stopped. Raises ValueError if there is nothing to resume, or another recipe or data set.
    """
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    target = torch.device(pick_device(device))

    # The vocabulary, too, sees only what the model is fitted on.
    fit, validation = hold_out(material.train)
    bank, unseen_pairs = hold_out_lines(load_bank() if config.contrast_batches else [])
    vocabulary = training_vocabulary(fit, material.unlabelled, bank, config.vocabulary_size)
    tokenizer = Tokenizer(vocabulary, TokenizerConfig(truncation_side=config.truncation_side))
    examples = _examples(material, fit, tokenizer, config.crop)
    contrast = ContrastExamples(bank, RulePairs(fit.texts if bank else []), tokenizer)
    validation_ids = [tokenizer.encode(text).input_ids for text in validation.texts]

    model_config = ModelConfig(vocabulary_size=len(vocabulary), max_length=tokenizer.config.max_length)
    model = SentimentModel(model_config).to(target)
    if material.word_vectors is not None:
        share(model.embedding, material.word_vectors.matrix(vocabulary).to(target))
    dropout = Dropout(config.word_dropout, config.embedding_dropout, config.channel_dropout, config.state_dropout)
    noise = Dropout(config.contrast_dropout / 2, embedding=config.contrast_dropout, state=config.contrast_dropout)
    averaged = AveragedModel(model, avg_fn=_moving_average(config.ema_decay))
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, config),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, config.beta2),
    )
    steps_per_pass = -(-len(examples) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        total_steps=config.epochs * steps_per_pass,
        pct_start=0.05,
        cycle_momentum=False,
    )

    checkpoint = Checkpoint(
        weights={},
        vocabulary=vocabulary,
        tokenizer=tokenizer.config,
        model=model_config,
        train=config,
        material_fingerprint=material.fingerprint(),
        validation_accuracy=0.0,
    )
    stateful = {"model": model, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    resume_path = checkpoint_path.with_name(checkpoint_path.name + ".resume")
    if resume:
        checkpoint = _restore(resume_path, checkpoint, stateful, rng)
        checkpoint.save(checkpoint_path)  # the one there is older if the last run ended between the two files

    for epoch in range(len(checkpoint.history) + 1, config.epochs + 1):
        model.train()
        batches = examples.batches(config.batch_size, rng)
        bar = tqdm(batches, f"seed {config.seed}, pass {epoch}/{config.epochs}", steps_per_pass, disable=None)
        mean_loss = 0.0
        for step, batch in enumerate(bar, start=1):
            with parametrize.cached():  # the embedding's sum once a step
                loss = _loss(model, batch, dropout, config.running_weight)
                for pairs in contrast.batches(config.batch_size, config.contrast_batches, rng):
                    loss = loss + config.contrast_weight / config.contrast_batches * _loss(model, pairs, noise)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            averaged.update_parameters(model)
            mean_loss += (loss.item() - mean_loss) / step
            bar.set_postfix(loss=f"{mean_loss:.4f}", validation=f"{checkpoint.validation_accuracy:.4f}")

        probabilities = predict(averaged.module, validation_ids, model_config.pad_id)
        metrics = classification_metrics(probabilities, validation.labels)
        metrics |= _read_pairs(averaged.module, tokenizer, unseen_pairs)
        checkpoint.history.append(
            {"epoch": epoch, "loss": mean_loss, **{f"validation_{k}": v for k, v in metrics.items()}}
        )
        told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        tqdm.write(f"seed {config.seed}, pass {epoch}: loss {mean_loss:.4f}, validation {told}", file=sys.stderr)
        checkpoint = replace(
            checkpoint,
            weights=plain_weights(averaged.module),
            temperature=fit_temperature(probabilities, validation.labels),
            validation_accuracy=metrics["accuracy"],
        )
        save_atomically(_resume_state(checkpoint, stateful, rng), resume_path)
        checkpoint.save(checkpoint_path)

    checkpoint = replace(checkpoint, bias=_fit_bias(checkpoint, material.train))
    checkpoint.save(checkpoint_path)
    return checkpoint


def _parameter_groups(model: SentimentModel, config: TrainConfig) -> list[dict[str, Any]]:
    """All parameters, the embedding's own values with a decay of their own."""
    own = own_values(model.embedding)
    others = [parameter for parameter in model.parameters() if parameter is not own]
    return [{"params": others}, {"params": [own], "weight_decay": config.own_decay}]


def _fit_bias(checkpoint: Checkpoint, labelled: Reviews) -> float:
    """The bias that all labelled reviews ask for.

    The model was fitted to most of them, which makes it too sure of both classes alike: that asks for another
    temperature, but hardly for another bias. And the validation part alone is too small to tell one.
    """
    tokenizer = checkpoint.build_tokenizer()
    unbiased = replace(checkpoint, bias=0.0).build()
    ids = [tokenizer.encode(text).input_ids for text in labelled.texts]
    return fit_bias(predict(unbiased, ids, tokenizer.config.pad_id), labelled.labels)


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


def _read_pairs(model: nn.Module, tokenizer: Tokenizer, pairs: list[Pair]) -> dict[str, float]:
    """How many pairs of the bank's held-out lines are right, and how many of their texts."""
    if not pairs:
        return {}

    def score(texts: list[str]) -> npt.NDArray[np.float64]:
        return predict(model, [tokenizer.encode(text).input_ids for text in texts], tokenizer.config.pad_id)

    right = right_sides(score, pairs)
    return {"pairs": float(right.all(axis=1).mean()), "pair_members": float(right.mean())}


def _moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential average that forgets faster at first, or the untrained weights would stay in it for long."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return torch.lerp(current, averaged, min(decay, (1 + int(count)) / (10 + int(count))))

    return average


def _examples(material: Material, fit: Reviews, tokenizer: Tokenizer, crop: float) -> ReviewExamples:
    if material.soft_labels is None or material.unlabelled is None:
        return ReviewExamples(fit, tokenizer)
    material.soft_labels.check(material.train, material.unlabelled)
    held_out = film_blocks(material.train) == BLOCKS - 1
    taught = np.append(~held_out, np.ones(len(material.unlabelled), dtype=bool))
    return ReviewExamples(join(fit, material.unlabelled), tokenizer, material.soft_labels.take(taught), crop)


def pick_device(device: Device) -> str:
    """`auto` is CUDA where there is a device. Raises ValueError if CUDA is asked for and absent."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch sees no CUDA device; use --device cpu")
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def _resume_state(checkpoint: Checkpoint, stateful: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    states = {name: part.state_dict() for name, part in stateful.items()}
    return states | {
        "checkpoint": asdict(checkpoint),
        "rng": rng.getstate(),
        "torch_rng": torch.get_rng_state(),
    }


def _restore(path: Path, fresh: Checkpoint, stateful: dict[str, Any], rng: random.Random) -> Checkpoint:
    """Load the state after the last whole pass into `stateful` and `rng`; returns its checkpoint."""
    try:
        state = torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"nothing to resume: {path} does not exist") from error
    last = Checkpoint.from_dict(state["checkpoint"])
    if any(getattr(last, part) != getattr(fresh, part) for part in ("train", "material_fingerprint", "vocabulary")):
        raise ValueError(f"{path} comes from another recipe or data set; train without --resume")
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    version, internal, gauss = state["rng"]
    rng.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch_rng"])
    return last
