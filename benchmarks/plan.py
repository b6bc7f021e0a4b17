"""How long and how often a run measures."""

from dataclasses import dataclass

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Plan:
    """Times are in seconds. The whole takes 9 minutes."""

    reviews: int = 3_072
    rounds: int = 3  # in turn, and the median counts: machines drift
    warm_up: float = 1.5
    window: float = 5.0
    starts: int = 5
    engine_cell: float = 0.2
    engine_batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    engine_lengths: tuple[int, ...] = (50, 100, 250, 500)


FULL = Plan()
# Shows that everything works; its figures are worth nothing.
QUICK = Plan(
    reviews=256,
    rounds=1,
    warm_up=0.2,
    window=1.0,
    starts=1,
    engine_cell=0.02,
    engine_batches=(1, 8, 64),
    engine_lengths=(100, 500),
)
GPU_BATCHES = (1, 4, 16, 64, 256, 1_024, 4_096)
