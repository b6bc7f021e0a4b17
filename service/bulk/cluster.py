"""Classifies as a Ray Data job: the parts are its blocks, and actors with an engine each map over them."""

import logging
import os
from collections.abc import Generator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from service.bulk.errors import JobError
from service.bulk.outcomes import Outcome, from_row
from service.bulk.parquet import to_arrow
from service.bulk.worker import Spec, classify
from service.cores import usable_cores

if TYPE_CHECKING:
    import pyarrow

# Parts of one Ray Data job, for each actor. They are in the cluster's memory meanwhile (about 200 MB of film reviews);
# an actor needs a few seconds to start, a small part of the time that it is busy with these.
_PARTS_AT_ONCE = 32


def classify_on_ray(
    spec: Spec, address: str, workers: int | None, parts: Iterator[list[str]]
) -> Generator[list[Outcome]]:
    """The outcomes of each part, in order, from so many actors of one CPU each, or as many as the cluster has CPUs.

    `address` is as of `ray.init`: local, auto, or host:port. Every node must have this package, and the bundle at the
    same path. Raises JobError if Ray is not installed or the job fails, ConnectionError if there is no cluster.
    """
    ray = _connect(address, workers)
    try:
        actors = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        while window := [*_put(ray, islice(parts, _PARTS_AT_ONCE * actors))]:
            yield from _classify_window(ray, spec, actors, window)
    except ray.exceptions.RayError as error:
        raise JobError(f"the Ray job failed; give the same command again to go on: {error}") from error
    finally:
        ray.shutdown()


class _Actor:
    """What Ray Data calls with each block."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def __call__(self, block: "pyarrow.Table") -> "pyarrow.Table":
        return to_arrow(classify(self._spec, block.column("text").to_pylist()))


def _connect(address: str, workers: int | None) -> Any:
    """The package, connected."""
    # Before it is loaded, or it would send statistics of its use to its maker.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray.data
    except ImportError as error:
        raise JobError(f"--ray needs Ray ({error}): pip install '.[ray]' in the repository's folder") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    local = {"num_cpus": workers or usable_cores(), "include_dashboard": False}
    own: dict[str, Any] = local if address == "local" else {}
    ray.init(address, **quiet, **own)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    return ray


def _put(ray: Any, parts: Iterator[list[str]]) -> Iterator[tuple[int, Any]]:
    """The number of texts of each part, and a reference to them in the cluster's memory."""
    import pyarrow

    for texts in parts:
        yield len(texts), ray.put(pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())}))


def _classify_window(ray: Any, spec: Spec, actors: int, window: list[tuple[int, Any]]) -> Iterator[list[Outcome]]:
    blocks = ray.data.from_arrow_refs([reference for _, reference in window])
    answers = blocks.map_batches(
        _Actor,
        fn_constructor_args=[spec],
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(window))),
    )
    rows = (row for batch in answers.iter_batches(batch_size=None, batch_format="pyarrow") for row in batch.to_pylist())
    for size, _ in window:
        yield [from_row(row) for row in islice(rows, size)]
