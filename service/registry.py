"""The models that are served: one or more versions of one name, each with an engine and a queue of its own."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bundle.manifest import Manifest
from bundle.store import Bundle
from service.batcher import Batcher
from service.engine import Engine
from service.errors import UnknownModel
from service.metrics import Metrics
from service.request_queue import RequestQueue
from service.scorer import Limits, Scorer
from service.tracing import Tracer
from service.tuning import SIZES, fastest, measure

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """One version, and the way of a review through it."""

    bundle: Bundle
    engine: Engine
    queue: RequestQueue
    batcher: Batcher
    scorer: Scorer
    max_batch_size: int

    @property
    def manifest(self) -> Manifest:
        """What its bundle says of itself."""
        return self.bundle.manifest


def build_model(
    bundle: Bundle,
    engine: Engine,
    limits: Limits,
    metrics: Metrics,
    max_queue_size: int,
    max_batch_size: int,
    max_batch_tokens: int,
    tracer: Tracer | None = None,
) -> Model:
    """Put the parts together; `max_batch_size` 0 is for what proves the fastest."""
    max_batch_size = max_batch_size or _tuned(bundle, engine)
    queue = RequestQueue(max_queue_size)
    batcher = Batcher(queue, engine, metrics, max_batch_size, max_batch_tokens, tracer)
    scorer = Scorer(bundle.tokenizer, bundle.manifest.threshold, queue, limits, metrics, tracer)
    return Model(bundle, engine, queue, batcher, scorer, max_batch_size)


def _tuned(bundle: Bundle, engine: Engine) -> int:
    measured = measure(engine, SIZES[engine.provider], bundle.manifest.profile)
    chosen = fastest(measured)
    told = ", ".join(f"{size}: {microseconds:.0f}" for size, microseconds in measured.items())
    logger.debug("batches of up to %d reviews; microseconds a review by size: %s", chosen, told)
    return chosen


class Registry:
    """The versions that are served, the default first."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = models
        self.name = models[0].manifest.name
        self._by_version = {model.manifest.version: model for model in models}

    @property
    def versions(self) -> list[str]:
        """Their numbers, the default first."""
        return list(self._by_version)

    def find(self, version: str = "", name: str | None = None) -> Model:
        """A version, or the default where it is empty. Raises UnknownModel if it, or the name, is not served."""
        if name is not None and name != self.name:
            raise UnknownModel(f"no model {name!r} is served, only {self.name!r}")
        if not version:
            return self.models[0]
        if model := self._by_version.get(version):
            return model
        raise UnknownModel(f"no version {version!r} of {self.name!r} is served, only {', '.join(self.versions)}")

    def close(self) -> None:
        """Take no new reviews; those accepted are still answered."""
        for model in self.models:
            model.scorer.close()

    async def run(self) -> None:
        """Serve every queue until cancelled."""
        async with asyncio.TaskGroup() as batchers:
            for model in self.models:
                batchers.create_task(model.batcher.run(), name=f"batcher of version {model.manifest.version}")
