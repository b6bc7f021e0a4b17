"""Texts to outcomes in this process: the server's own tokenizer and engine, without its queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from bundle.manifest import BundleError, Provider
from bundle.store import load_bundle
from service.bulk.errors import JobError
from service.bulk.outcomes import BLANK, Outcome
from service.classification import to_classification
from service.engine import Engine, PrecisionChoice
from service.errors import StartupError

BATCH = 8  # reviews run together, as in the server; a CPU gains nothing from more


@dataclass(frozen=True)
class Spec:
    """Which engine to make; other processes get this and make their own."""

    bundle: Path
    precision: PrecisionChoice = "auto"
    provider: Provider = "cpu"


class Worker:
    """A bundle, its tokenizer and an engine of one thread."""

    def __init__(self, spec: Spec) -> None:
        """Raises BundleError if the bundle must not be used, ProviderError if the provider cannot be had."""
        bundle = load_bundle(spec.bundle)
        self._tokenizer = bundle.tokenizer
        self._threshold = bundle.manifest.threshold
        self._engine = Engine(bundle, spec.provider, precision=spec.precision)

    def classify(self, texts: Sequence[str]) -> list[Outcome]:
        """The outcome of each text. Those of like length run together: a batch costs what its longest text costs."""
        encodings = [self._tokenizer.encode(text) for text in texts]
        outcomes: list[Outcome] = [BLANK] * len(texts)
        lengths = {index: len(encoding.input_ids) for index, encoding in enumerate(encodings) if encoding.input_ids}
        shortest_first = iter(sorted(lengths, key=lengths.__getitem__))
        while batch := list(islice(shortest_first, BATCH)):
            probabilities = self._engine.run([encodings[index].input_ids for index in batch])
            for index, probability in zip(batch, probabilities, strict=True):
                outcomes[index] = to_classification(encodings[index], probability, self._threshold)
        return outcomes


def classify(spec: Spec, texts: Sequence[str]) -> list[Outcome]:
    """By this process's worker, which is made when first asked for. Raises JobError if it cannot be."""
    try:
        worker = _worker(spec)
    except (BundleError, StartupError) as error:
        raise JobError(str(error)) from None  # which, unlike those, travels between processes
    return worker.classify(texts)


_worker = cache(Worker)
