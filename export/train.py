"""Training, from the material to a checkpoint after every pass."""

import random
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from export.checkpoint import Checkpoint, load_saved, save_atomically
from export.data import Reviews
from export.learner import Learner
from export.lessons import Lessons, Material
from export.metrics import fit_bias
from export.model import ModelConfig, SentimentModel, plain_weights
from export.predict import predict
from export.recipes import TrainConfig
from export.word_vectors import share

Device = Literal["auto", "cpu", "cuda"]


def train(
    material: Material, checkpoint_path: Path, config: TrainConfig, device: Device = "auto", resume: bool = False
) -> Checkpoint:
    """Train, validate and write `checkpoint_path` after every pass; returns the last checkpoint.

    The last pass is the one to keep: the learning rate has come down to zero, and choosing among passes by validation
    would choose its noise. With `resume`, go on after the last whole pass; on the CPU the result is the same as if it
    had never stopped. Raises ValueError if there is nothing to resume, or another recipe or data set.
    """
    target = torch.device(pick_device(device))
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    lessons = Lessons(material, config)
    checkpoint = _begin(material, lessons, config)
    model = SentimentModel(checkpoint.model).to(target)
    if material.word_vectors is not None:
        share(model.embedding, material.word_vectors.matrix(lessons.vocabulary).to(target))
    learner = Learner(model, config, config.epochs * lessons.steps)
    resume_path = checkpoint_path.with_name(checkpoint_path.name + ".resume")
    if resume:
        checkpoint = _restore(resume_path, checkpoint, learner, rng)
        checkpoint.save(checkpoint_path)  # the one there is older if the last run ended between the two files
    while len(checkpoint.history) < config.epochs:
        loss = _learn(learner, lessons, checkpoint, rng)
        checkpoint = _judged(checkpoint, learner, lessons, loss)
        save_atomically(_resume_state(checkpoint, learner, rng), resume_path)
        checkpoint.save(checkpoint_path)
    checkpoint = replace(checkpoint, bias=_fit_bias(checkpoint, material.train), finished=True)
    checkpoint.save(checkpoint_path)
    return checkpoint


def _begin(material: Material, lessons: Lessons, config: TrainConfig) -> Checkpoint:
    """The checkpoint before the first pass."""
    return Checkpoint(
        weights={},
        vocabulary=lessons.vocabulary,
        tokenizer=lessons.tokenizer.config,
        model=ModelConfig(vocabulary_size=len(lessons.vocabulary), max_length=lessons.tokenizer.config.max_length),
        train=config,
        material_fingerprint=material.fingerprint(),
        train_sha256=material.train.fingerprint(),
        unlabelled_reviews=0 if material.unlabelled is None else len(material.unlabelled),
        threads=torch.get_num_threads(),
        validation_accuracy=0.0,
    )


def _learn(learner: Learner, lessons: Lessons, before: Checkpoint, rng: random.Random) -> float:
    """One pass; returns the mean loss."""
    title = f"seed {before.train.seed}, pass {len(before.history) + 1}/{before.train.epochs}"
    bar = tqdm(lessons.batches(rng), title, lessons.steps, disable=None)
    mean_loss = 0.0
    for step, (batch, contrast) in enumerate(bar, start=1):
        mean_loss += (learner.step(batch, contrast) - mean_loss) / step
        bar.set_postfix(loss=f"{mean_loss:.4f}", validation=f"{before.validation_accuracy:.4f}")
    return mean_loss


def _judged(before: Checkpoint, learner: Learner, lessons: Lessons, loss: float) -> Checkpoint:
    """The checkpoint after a pass."""
    judgement, epoch = lessons.judge(learner.averaged), len(before.history) + 1
    told = ", ".join(f"{name} {value:.4f}" for name, value in judgement.metrics.items())
    tqdm.write(f"seed {before.train.seed}, pass {epoch}: loss {loss:.4f}, validation {told}", file=sys.stderr)
    validated = {f"validation_{name}": value for name, value in judgement.metrics.items()}
    return replace(
        before,
        weights=plain_weights(learner.averaged),
        history=[*before.history, {"epoch": epoch, "loss": loss, **validated}],
        temperature=judgement.temperature,
        validation_accuracy=judgement.metrics["accuracy"],
    )


def _fit_bias(checkpoint: Checkpoint, labelled: Reviews) -> float:
    """The bias that all labelled reviews ask for.

    The model was fitted to most of them, which makes it too sure of both classes alike: that asks for another
    temperature, but hardly for another bias. And the validation part alone is too small to tell one.
    """
    tokenizer = checkpoint.build_tokenizer()
    unbiased = replace(checkpoint, bias=0.0).build()
    ids = [tokenizer.encode(text).input_ids for text in labelled.texts]
    return fit_bias(predict(unbiased, ids, tokenizer.config.pad_id), labelled.labels)


def pick_device(device: Device) -> str:
    """`auto` is CUDA where there is a device. Raises ValueError if CUDA is asked for and absent."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch sees no CUDA device; use --device cpu")
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def _resume_state(checkpoint: Checkpoint, learner: Learner, rng: random.Random) -> dict[str, Any]:
    return learner.state_dict() | {
        "checkpoint": asdict(checkpoint),
        "rng": rng.getstate(),
        "torch_rng": torch.get_rng_state(),
    }


def _restore(path: Path, fresh: Checkpoint, learner: Learner, rng: random.Random) -> Checkpoint:
    """Load the state after the last whole pass into `learner` and `rng`; returns its checkpoint."""
    try:
        state = load_saved(path)
    except FileNotFoundError as error:
        raise ValueError(f"nothing to resume: {path} does not exist") from error
    last = Checkpoint.from_dict(state["checkpoint"])
    if any(getattr(last, part) != getattr(fresh, part) for part in ("train", "material_fingerprint", "vocabulary")):
        raise ValueError(f"{path} comes from another recipe or data set; train without --resume")
    learner.load_state_dict(state)
    version, internal, gauss = state["rng"]
    rng.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch_rng"])
    return last
