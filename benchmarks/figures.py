"""What can be measured: the kinds of figures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Conditions:
    """Where, when and of what a run was."""

    date: str
    cpu: str
    cores: int
    instructions: str  # of the native kernel
    kernel: str
    python: str
    packages: dict[str, str]
    commit: str
    changed: bool  # whether the tree has changes beside the commit
    model: str
    precision: str
    device: str
    reviews: str
    mean_tokens: float
    quick: bool
    arguments: list[str]


@dataclass(frozen=True)
class Launched:
    """The server of ours that was measured under loads: its flags, and what it said at its start."""

    flags: list[str]
    log: list[str]


@dataclass(frozen=True)
class Served:
    """A server under a closed loop. `round` is 0 for the median of all rounds. CPU microseconds are of one review."""

    server: str  # ours, baseline or empty
    method: str
    in_flight: int
    round: int
    per_second: float
    cpu_us: float
    main_us: float
    engine_us: float
    others_us: float
    tokenize_us: float  # of main_us
    p50_ms: float
    p90_ms: float
    p99_ms: float
    padding_ratio: float
    batch_size: float
    peak_mb: float
    gpu_busy: float | None = None  # share of the time

    def summary(self) -> str:
        """One line."""
        return (
            f"{self.server:8} {self.method:12} {self.in_flight:3} in flight: {self.per_second:6,.0f} a second, "
            f"{self.cpu_us:4.0f} us of CPU, p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"
        )


@dataclass(frozen=True)
class UnderLoad:
    """Our server under an open loop; latencies count from when a request was due."""

    share: float  # of capacity: what was answered at a share of 1
    rate: float
    answered_per_second: float
    answered: int
    refused: int  # for want of room
    p50_ms: float
    p99_ms: float
    sent_late_p99_ms: float  # by the client, which the latencies include


@dataclass(frozen=True)
class Start:
    """From the start of the process to health SERVING."""

    seconds: list[float]
    resident_mb: float


@dataclass(frozen=True)
class Scaled:
    """As many workers as cores; `round` is 0 for the median of all and the least of `working`."""

    workers: int
    round: int
    per_second: float
    cpu_us: float  # of all processes, a review
    working: int  # workers that used at least half as much CPU as the busiest


@dataclass(frozen=True)
class EngineCell:
    """The engine alone; `length` is None for real reviews in order of arrival."""

    precision: str
    kernel: str
    batch: int
    length: int | None
    review_us: float


@dataclass(frozen=True)
class Parity:
    """How far CUDA's answers are from the CPU's."""

    reviews: int
    largest_difference: float


@dataclass(frozen=True)
class Judged:
    """One bound; `measured` and `ok` are None where its part did not run."""

    what: str
    required: float
    aim: float | None
    at_least: bool
    measured: float | None
    ok: bool | None


@dataclass(frozen=True)
class Note:
    """What a reader has to know."""

    text: str
