"""Which batch is the fastest here: measured once, while the server starts."""

import time
from collections.abc import Sequence
from typing import Protocol

from bundle.manifest import Profile
from bundle.padding import Sequences

# Reviews in a batch. A GPU has room for more, and takes less time for a review the more there are.
SIZES = {"cpu": (4, 8, 16, 32, 64), "cuda": (8, 32, 128, 512)}
_ROUNDS = 2
# What a batch costs beside the engine, the way to its thread and back: of reviews in batches of 8 and of 64, sent by
# ClassifyBatch, the first took 196 microseconds and the others 175, where the engine alone took 130 and 123.
_HANDING_OVER = 100.0  # microseconds
_NEARLY = 1.03  # a batch is as good as another that takes so much less time; then the smaller one answers sooner


class TunableEngine(Protocol):
    """What there is to measure."""

    ragged: bool

    def run(self, sequences: Sequences, /) -> Sequence[float]:
        """One probability for each sequence."""


def measure(engine: TunableEngine, sizes: Sequence[int], profile: Profile) -> dict[int, float]:
    """Microseconds a review for batches of each size, the best of some rounds over the same reviews."""
    lengths = _lengths(engine.ragged, profile)
    reviews = [[1] * lengths[index % len(lengths)] for index in range(max(sizes))]
    measured: dict[int, float] = {}
    for _ in range(_ROUNDS):
        for size in sizes:
            started = time.perf_counter()
            for first in range(0, len(reviews), size):
                engine.run(reviews[first : first + size])
            microseconds = (time.perf_counter() - started) / len(reviews) * 1e6 + _HANDING_OVER / size
            measured[size] = min(microseconds, measured.get(size, microseconds))
    return measured


def fastest(measured: dict[int, float]) -> int:
    """The smallest size that is nearly as fast as any."""
    best = min(measured.values())
    return min(size for size, microseconds in measured.items() if microseconds <= _NEARLY * best)


def _lengths(ragged: bool, profile: Profile) -> list[int]:
    """Tokens of the reviews in a batch: as they come, or, where like lengths run together, the mean."""
    if ragged:
        return [max(1, round(length)) for length in profile.token_count_quantiles.values()]
    return [max(1, round(profile.token_count_mean))]
