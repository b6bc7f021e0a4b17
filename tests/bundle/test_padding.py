import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.padding import pad

IDS = st.lists(st.integers(1, 19_999), max_size=20)


@given(st.lists(IDS, max_size=8), st.one_of(st.none(), st.integers(20, 30)))
def test_every_row_is_its_sequence_then_padding(sequences: list[list[int]], length: int | None) -> None:
    input_ids, lengths = pad(sequences, 0, length)
    assert input_ids.dtype == lengths.dtype == np.int64
    assert input_ids.shape == (len(sequences), max(map(len, sequences), default=0) if length is None else length)
    assert lengths.tolist() == [len(ids) for ids in sequences]
    for row, ids in zip(input_ids.tolist(), sequences, strict=True):
        assert row == ids + [0] * (input_ids.shape[1] - len(ids))


def test_a_sequence_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="3 ids does not fit in 2"):
        pad([[1, 2, 3]], 0, length=2)
