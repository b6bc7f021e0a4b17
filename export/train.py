"""The training loop, top to bottom: data, batches, model, passes, checkpoints."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from bundle.padding import pad
from bundle.tokenizer import Tokenizer, TokenizerConfig
from export.data import Reviews, hold_out
from export.model import Dropout, ModelConfig, SentimentModel
from export.vocabulary import build_vocabulary

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. A checkpoint carries it whole."""

    epochs: int = 4
    batch_size: int = 32  # reviews
    learning_rate: float = 2e-3  # peak; linear warm-up over 5% of the steps, then a cosine to zero
    weight_decay: float = 0.1
    word_dropout: float = 0.3  # share of tokens replaced by the unknown token, anew in each pass
    embedding_dropout: float = 0.4
    channel_dropout: float = 0.2
    state_dropout: float = 0.5
    clip_norm: float = 1.0
    ema_decay: float = 0.998  # of the averaged weights, which are what is validated and kept
    seed: int = 1


@dataclass
class Checkpoint:
    """A model and all that it takes to use it, explain it and go on training it."""

    weights: dict[str, Tensor]
    vocabulary: list[str]
    tokenizer: TokenizerConfig
    model: ModelConfig
    train: TrainConfig
    train_fingerprint: str  # SHA-256 of the training split's reviews
    validation_accuracy: float
    history: list[dict[str, float]] = field(default_factory=list)  # one entry a pass

    def save(self, path: Path) -> None:
        """Write atomically: the last good checkpoint stays until the new one is whole."""
        _save_atomically(asdict(self), path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint. Raises FileNotFoundError where there is none."""
        return cls.from_dict(torch.load(path, map_location="cpu", weights_only=True))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Checkpoint":
        """The inverse of `dataclasses.asdict`."""
        configs = {"tokenizer": TokenizerConfig, "model": ModelConfig, "train": TrainConfig}
        return cls(**fields | {name: config(**fields[name]) for name, config in configs.items()})

    def build(self) -> SentimentModel:
        """The trained module, in evaluation mode."""
        model = SentimentModel(self.model)
        model.load_state_dict(self.weights)
        return model.eval()

    def build_tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with."""
        return Tokenizer(self.vocabulary, self.tokenizer)


def train(
    reviews: Reviews,
    checkpoint_path: Path,
    config: TrainConfig,
    vocabulary_size: int = ModelConfig.vocabulary_size,
    device: Device = "auto",
    resume: bool = False,
) -> Checkpoint:
    """Train on a part of `reviews` and keep, at `checkpoint_path`, the pass that is best on the rest.

    Beside it, `<name>.resume` holds the state after the last whole pass, for `resume=True`.
    """
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    target = torch.device(pick_device(device))

    # The vocabulary, too, sees only what the model is fitted on.
    fit, validation = hold_out(reviews)
    vocabulary = build_vocabulary(fit.texts, vocabulary_size)
    tokenizer = Tokenizer(vocabulary)
    fit_ids, validation_ids = (_encode(tokenizer, part.texts) for part in (fit, validation))

    model_config = ModelConfig(vocabulary_size=len(vocabulary), max_length=tokenizer.config.max_length)
    dropout = Dropout(config.embedding_dropout, config.channel_dropout, config.state_dropout)
    model = SentimentModel(model_config, dropout).to(target)
    average = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(model, multi_avg_fn=average)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * -(-len(fit) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    loss_of = nn.BCEWithLogitsLoss()

    best = Checkpoint(
        weights={},
        vocabulary=vocabulary,
        tokenizer=tokenizer.config,
        model=model_config,
        train=config,
        train_fingerprint=reviews.fingerprint(),
        validation_accuracy=0.0,
    )
    stateful = {"model": model, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    resume_path = checkpoint_path.with_name(checkpoint_path.name + ".resume")
    if resume:
        best = _restore(resume_path, best, stateful, rng)
        best.save(checkpoint_path)  # the one there is older if the last run ended between the two files

    for epoch in range(len(best.history) + 1, config.epochs + 1):
        model.train()
        bar = tqdm(list(_batches(fit_ids, config.batch_size, rng)), desc=f"pass {epoch}/{config.epochs}", disable=None)
        mean_loss = 0.0
        for step, rows in enumerate(bar, start=1):
            padded, row_lengths = pad([fit_ids[row] for row in rows], model_config.pad_id)
            input_ids = torch.from_numpy(padded).to(target)  # (batch, time)
            lengths = torch.from_numpy(row_lengths).to(target)  # (batch,)
            labels = torch.from_numpy(fit.labels[rows]).to(target, torch.float32)  # (batch,)
            input_ids = _drop_words(input_ids, config.word_dropout, tokenizer.config)
            loss = loss_of(model(input_ids, lengths), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            averaged.update_parameters(model)
            mean_loss += (loss.item() - mean_loss) / step
            bar.set_postfix(loss=f"{mean_loss:.4f}", validation=f"{best.validation_accuracy:.4f}")

        probabilities = predict(averaged.module, validation_ids, model_config.pad_id)
        accuracy = float(((probabilities >= 0.5) == validation.labels).mean())
        tqdm.write(f"pass {epoch}: loss {mean_loss:.4f}, validation accuracy {accuracy:.4f}")
        best.history.append({"epoch": epoch, "loss": mean_loss, "validation_accuracy": accuracy})
        if accuracy > best.validation_accuracy:
            weights = {name: weight.detach().cpu().clone() for name, weight in averaged.module.state_dict().items()}
            best = replace(best, weights=weights, validation_accuracy=accuracy)
        _save_atomically(_resume_state(best, stateful, rng), resume_path)
        best.save(checkpoint_path)
    return best


def pick_device(device: Device) -> str:
    """`auto` is CUDA where there is a device. Raises ValueError if CUDA is asked for and absent."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch sees no CUDA device; use --device cpu")
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


@torch.inference_mode()
def predict(model: nn.Module, sequences: list[list[int]], pad_id: int, batch_size: int = 64) -> npt.NDArray[np.float64]:
    """Probabilities (n,) of being positive, in the order given, computed in batches of like length."""
    model.eval()
    device = next(model.parameters()).device

    def run(batch: list[list[int]]) -> npt.NDArray[np.float64]:
        input_ids, lengths = (torch.from_numpy(array).to(device) for array in pad(batch, pad_id))
        probabilities: npt.NDArray[np.float64] = torch.sigmoid(model(input_ids, lengths)).double().cpu().numpy()
        return probabilities  # (batch,)

    return by_length(run, sequences, batch_size)


def by_length(
    run: Callable[[list[list[int]]], npt.NDArray[np.float64]], sequences: list[list[int]], batch_size: int
) -> npt.NDArray[np.float64]:
    """What `run` says of each sequence (n,), in the order given, asked in batches of like length."""
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
    answers = np.empty(len(sequences))
    for start in tqdm(range(0, len(order), batch_size), desc="predict", leave=False, disable=None):
        rows = order[start : start + batch_size]
        answers[rows] = run([sequences[row] for row in rows])
    return answers


def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [tokenizer.encode(text).input_ids for text in tqdm(texts, desc="tokenize", leave=False, disable=None)]


def _batches(sequences: list[list[int]], batch_size: int, rng: random.Random, pool: int = 50) -> Iterator[list[int]]:
    """Rows of each batch: like lengths together within pools of random rows, the batches in random order."""
    rows = list(range(len(sequences)))
    rng.shuffle(rows)
    batches: list[list[int]] = []
    for start in range(0, len(rows), pool * batch_size):
        chunk = sorted(rows[start : start + pool * batch_size], key=lambda row: len(sequences[row]))
        batches += [chunk[first : first + batch_size] for first in range(0, len(chunk), batch_size)]
    rng.shuffle(batches)
    yield from batches


def _drop_words(input_ids: Tensor, share: float, config: TokenizerConfig) -> Tensor:
    dropped = (torch.rand(input_ids.shape, device=input_ids.device) < share) & (input_ids != config.pad_id)
    return input_ids.masked_fill(dropped, config.unk_id)


def _resume_state(best: Checkpoint, stateful: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    states = {name: part.state_dict() for name, part in stateful.items()}
    return states | {
        "best": asdict(best),
        "rng": rng.getstate(),
        "torch_rng": torch.get_rng_state(),
    }


def _restore(path: Path, fresh: Checkpoint, stateful: dict[str, Any], rng: random.Random) -> Checkpoint:
    """Load the state after the last whole pass into `stateful` and `rng`; returns the best checkpoint so far."""
    try:
        state = torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"nothing to resume: {path} does not exist") from error
    best = Checkpoint.from_dict(state["best"])
    if (best.train, best.train_fingerprint) != (fresh.train, fresh.train_fingerprint):
        raise ValueError(f"{path} comes from another recipe or data set; train without --resume")
    for name, part in stateful.items():
        part.load_state_dict(state[name])
    version, internal, gauss = state["rng"]
    rng.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch_rng"])
    return best


def _save_atomically(fields: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    torch.save(fields, partial)
    os.replace(partial, path)
