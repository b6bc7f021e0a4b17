"""Ragged token ids to one rectangular array."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Sequences = Sequence[Sequence[int]]  # token ids of several reviews


def pad(
    sequences: Sequences, pad_id: int, length: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pad on the right to `length`, or to the longest sequence.

    Returns `input_ids` (batch, time) and `lengths` (batch,), both int64. Raises ValueError if a sequence is
    longer than `length`.
    """
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    longest = int(lengths.max(initial=0))
    if length is None:
        length = longest
    elif longest > length:
        raise ValueError(f"a sequence of {longest} ids does not fit in {length}")
    input_ids = np.full((len(sequences), length), pad_id, dtype=np.int64)
    for row, ids in zip(input_ids, sequences, strict=True):
        row[: len(ids)] = ids
    return input_ids, lengths
