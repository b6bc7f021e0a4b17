"""The servers that are measured, each a process of its own."""

import asyncio
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.answers import TOLERANCE, Answers
from benchmarks.errors import Refused
from benchmarks.processes import ProcessTree, on_cores
from benchmarks.scrape import Inside, Scrape, scrape
from service.client import AsyncSentimentClient, ModelInfo
from tests.service.running import SERVE, Running, serving

OURS, BASELINE = "ours", "baseline"

_PYTHON = (sys.executable, "-m", "benchmarks.named_threads")
_COMMANDS = {OURS: (*_PYTHON, *SERVE[2:]), BASELINE: (*_PYTHON, "benchmarks.baseline_server")}


@dataclass(frozen=True)
class Subject:
    """A server that runs, and what it must answer to each review."""

    running: Running
    tree: ProcessTree
    expected: Sequence[float]
    tolerance: float
    on_gpu: bool
    known: Inside | None  # of a server without metrics

    @property
    def target(self) -> str:
        """Its gRPC address."""
        return self.running.target

    def scrape(self) -> Scrape | None:
        """Its metrics, if it has any."""
        return None if self.known else scrape(self.running.http_port)

    def inside_since(self, before: Scrape | None) -> Inside:
        """What went on since an earlier scrape."""
        if self.known:
            return self.known
        assert before is not None
        return scrape(self.running.http_port).since(before)


@contextmanager
def launch(cores: Collection[int], flags: Sequence[str] = (), command: Sequence[str] = SERVE) -> Iterator[Running]:
    """A server process on some cores; it is gone afterwards. Raises Refused if it does not start."""
    with ExitStack() as cleanup:
        try:
            with on_cores(cores):
                running = cleanup.enter_context(serving(*flags, command=command))
        except AssertionError as error:
            raise Refused(str(error)) from error
        yield running


@contextmanager
def start(name: str, answers: Answers, cores: Collection[int], flags: Sequence[str] = ()) -> Iterator[Subject]:
    """Start OURS or BASELINE on some cores; it is gone afterwards. Raises Refused if it runs another model."""
    with launch(cores, flags, _COMMANDS[name]) as running:
        tree = ProcessTree(running.process.pid)
        if name == BASELINE:
            yield Subject(running, tree, answers.of("fp32"), TOLERANCE, on_gpu=False, known=answers.plain)
        else:
            model = ask_model(running.target)
            on_gpu = model.execution_provider == "cuda"
            yield Subject(running, tree, _expected(model, answers), _tolerance(model, answers), on_gpu, known=None)


def ask_model(target: str) -> ModelInfo:
    """What a server of ours says that it runs."""

    async def ask() -> ModelInfo:
        async with AsyncSentimentClient(target) as client:
            return await client.model()

    return asyncio.run(ask())


def _expected(model: ModelInfo, answers: Answers) -> list[float]:
    held = answers.bundle.manifest.version
    if model.version != held:
        raise Refused(f"the server answers by version {model.version}, and version {held} is what was asked for")
    return answers.of(model.precision)


def _tolerance(model: ModelInfo, answers: Answers) -> float:
    """CUDA adds in another order, so there it is what the bundle allows."""
    variants = answers.bundle.manifest.variants
    allowed = next(one.golden_tolerance for one in variants if one.precision == model.precision)
    return TOLERANCE if model.execution_provider == "cpu" else allowed
