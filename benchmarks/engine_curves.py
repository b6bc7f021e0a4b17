"""The engine alone: microseconds a review by batch, length, precision and kernel.

.venv/bin/python -m benchmarks.run --only engine
"""

import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from benchmarks.figures import EngineCell, Note
from benchmarks.methods import TEXTS_PER_BATCH
from benchmarks.plan import GPU_BATCHES, Plan
from benchmarks.records import Records
from benchmarks.served import MICROSECONDS
from bundle.manifest import Precision, Provider
from bundle.padding import Sequences
from bundle.store import Bundle
from service.engine import Engine, Kernel
from service.errors import KernelError

Run = Callable[[Sequences], object]

_SEED = 1
# By where it runs. CUDA has no operator for the int8 graph's LSTM; onnxruntime would run it on the CPU.
_KINDS: dict[Provider, tuple[tuple[Precision, Kernel], ...]] = {
    "cpu": (("fp32", "onnxruntime"), ("int8", "onnxruntime"), ("int8", "native")),
    "cuda": (("fp32", "onnxruntime"),),
}


def measure_engines(bundle: Bundle, texts: Sequence[str], provider: Provider, plan: Plan, records: Records) -> None:
    """Every engine that can be had here, one after the other."""
    arrivals: Sequences = [bundle.tokenizer.encode(text).input_ids for text in texts]
    for precision, kernel in _KINDS[provider]:
        try:
            engine = Engine(bundle, provider, precision=precision, kernel=kernel)
        except KernelError as error:
            records.add(Note(f"The engine in {precision} by {kernel} was not measured: {error}."))
            continue
        for batch, length, cost in cells(engine.run, bundle, arrivals, provider, plan):
            records.add(EngineCell(precision, kernel, batch, length, cost))
        print(f"engine: {precision} by {kernel}, real reviews {cost:.0f} us each", flush=True)


def cells(
    run: Run, bundle: Bundle, arrivals: Sequences, provider: Provider, plan: Plan
) -> Iterator[tuple[int, int | None, float]]:
    """(batch, length, microseconds a review) over the grid; then of reviews in order of arrival, length None."""
    rng = random.Random(_SEED)
    vocabulary = range(bundle.manifest.architecture.vocabulary_size)
    for length in plan.engine_lengths:
        for batch in plan.engine_batches if provider == "cpu" else GPU_BATCHES:
            sequences = [array("i", rng.choices(vocabulary[2:], k=length)) for _ in range(batch)]
            yield batch, length, microseconds(run, sequences, plan.engine_cell)
    yield TEXTS_PER_BATCH, None, microseconds_in_windows(run, arrivals)


def microseconds(run: Run, sequences: Sequences, seconds: float) -> float:
    """Of one review, the median of as many runs as fit, at least three."""
    run(sequences)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        started = time.perf_counter()
        run(sequences)
        times.append(time.perf_counter() - started)
    return median(times) * MICROSECONDS / len(sequences)


def microseconds_in_windows(run: Run, arrivals: Sequences) -> float:
    """Of one review, over all of them in windows of 64."""
    started = time.perf_counter()
    for start in range(0, len(arrivals), TEXTS_PER_BATCH):
        run(arrivals[start : start + TEXTS_PER_BATCH])
    return (time.perf_counter() - started) * MICROSECONDS / len(arrivals)
