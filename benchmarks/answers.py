"""The right answers, and whether a server gives them: one that is fast and wrong is not fast."""

import time
from collections.abc import Sequence
from functools import cached_property
from statistics import fmean

from benchmarks.errors import Refused
from benchmarks.load import Asked
from benchmarks.methods import Method, indices
from benchmarks.plain import PlainModel
from benchmarks.scrape import Inside
from bundle.store import Bundle

TOLERANCE = 1e-5  # of a probability


class Answers:
    """What onnxruntime says of the reviews; worked out when first asked for."""

    def __init__(self, bundle: Bundle, texts: Sequence[str]) -> None:
        self.bundle, self._texts = bundle, texts
        self._known: dict[str, list[float]] = {}

    def of(self, precision: str) -> list[float]:
        """Probabilities in the order of the reviews, by the graph of this precision."""
        if precision not in self._known:
            model = PlainModel(self.bundle, "int8" if precision == "int8" else "fp32")
            self._known[precision] = model.classify(self._texts)
        return self._known[precision]

    @cached_property
    def plain(self) -> Inside:
        """What goes on inside the baseline, which has no metrics: its tokenizer is timed here, in this process."""
        model = PlainModel(self.bundle, "fp32")
        started = time.thread_time()
        lengths = [len(model.tokenizer.encode(text).input_ids) for text in self._texts]
        seconds = time.thread_time() - started
        return Inside(1 - fmean(lengths) / model.pad_to, 1.0, seconds * 1e6 / len(lengths))


def check_answers(
    method: Method, asked: Sequence[Asked], expected: Sequence[float], tolerance: float = TOLERANCE
) -> None:
    """Compare all answers with the probabilities expected of the reviews. Raises Refused if any is off or missing."""
    wrong = [one for one in asked if not _is_right(method, one, expected, tolerance)]
    if wrong:
        first = wrong[0]
        wanted = [expected[index] for index in indices(method, first.number, len(expected))]
        raise Refused(
            f"{len(wrong)} of {len(asked)} answers are wrong; the first, to request {first.number}, says "
            f"{method.probabilities(first.answer)[:3]} where {wanted[:3]} is expected"
        )


def _is_right(method: Method, one: Asked, expected: Sequence[float], tolerance: float) -> bool:
    found, chosen = method.probabilities(one.answer), indices(method, one.number, len(expected))
    if len(found) != len(chosen):
        return False
    # Written so that NaN is wrong, too.
    return all(abs(value - expected[index]) <= tolerance for value, index in zip(found, chosen, strict=True))
