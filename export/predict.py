"""Many sequences through a model, in batches of like length, and what that costs."""

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from bundle.padding import Sequences, pad

T = TypeVar("T")


@torch.inference_mode()
def predict(model: nn.Module, sequences: Sequences, pad_id: int, batch_size: int = 64) -> npt.NDArray[np.float64]:
    """Probabilities (n,) of being positive, in the order given, computed in batches of like length."""
    model.eval()
    device = next(model.parameters()).device

    def run(batch: Sequences) -> npt.NDArray[np.float64]:
        input_ids, lengths = (torch.from_numpy(array).to(device) for array in pad(batch, pad_id))
        probabilities: npt.NDArray[np.float64] = torch.sigmoid(model(input_ids, lengths).double()).cpu().numpy()
        return probabilities  # (batch,)

    return by_length(run, sequences, batch_size)


def by_length(
    run: Callable[[Sequences], npt.NDArray[np.float64]], sequences: Sequences, batch_size: int
) -> npt.NDArray[np.float64]:
    """What `run` says of each sequence (n,), in the order given, asked in batches of like length."""
    order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
    answers = np.empty(len(sequences))
    for start in tqdm(range(0, len(order), batch_size), desc="predict", leave=False, disable=None):
        rows = order[start : start + batch_size]
        answers[rows] = run([sequences[row] for row in rows])
    return answers


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and the seconds of CPU that it took."""
    started = time.process_time()
    return work(), time.process_time() - started
