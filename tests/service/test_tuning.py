from collections.abc import Sequence

import pytest

from bundle.padding import Sequences
from bundle.store import Bundle
from service.engine import Engine
from service.tuning import SIZES, fastest, measure


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ({4: 200.0, 8: 150.0, 16: 100.0}, 16),
        ({4: 200.0, 8: 102.0, 16: 100.0}, 8),  # nearly as fast, and sooner
        ({4: 100.0, 8: 90.0, 16: 110.0}, 8),
        ({4: 100.0}, 4),
    ],
)
def test_the_smallest_of_the_fastest_is_chosen(measured: dict[int, float], chosen: int) -> None:
    assert fastest(measured) == chosen


class Counting:
    """An engine that notes what it is given."""

    def __init__(self, ragged: bool) -> None:
        self.ragged = ragged
        self.batches: list[list[int]] = []

    def run(self, sequences: Sequences, /) -> Sequence[float]:
        """One probability for each sequence."""
        self.batches.append([len(ids) for ids in sequences])
        return [0.5] * len(sequences)


def test_every_size_is_measured_over_the_same_reviews(shipped: Bundle) -> None:
    profile = shipped.manifest.profile
    engine = Counting(ragged=True)
    assert measure(engine, (2, 4), profile).keys() == {2, 4}
    lengths = [round(length) for length in profile.token_count_quantiles.values()][:4]
    assert engine.batches == [lengths[:2], lengths[2:], lengths] * 2
    padded = Counting(ragged=False)
    measure(padded, (2,), profile)
    assert padded.batches == [[round(profile.token_count_mean)] * 2] * 2


def test_a_real_engine_can_be_measured(shipped: Bundle) -> None:
    engine = Engine(shipped, "cpu")
    assert fastest(measure(engine, SIZES[engine.provider], shipped.manifest.profile)) in SIZES["cpu"]
