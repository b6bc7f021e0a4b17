import asyncio
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from bundle.tokenizer import Encoding
from service.batcher import Batcher
from service.errors import InferenceError
from service.metrics import Metrics
from service.request_queue import Choice, Entry, RequestQueue
from tests.service.fake_engine import FakeEngine


class Bench:
    """A batcher at work on a fake engine."""

    def __init__(self, engine: FakeEngine, max_batch_size: int = 4, max_batch_tokens: int = 1000) -> None:
        self.engine = engine
        self.metrics = Metrics()
        self.queue = RequestQueue(100)
        self.batcher = Batcher(self.queue, engine, self.metrics, max_batch_size, max_batch_tokens)

    def put(self, *first_ids: int) -> list[asyncio.Future[float]]:
        """Queue a review of two ids for each number."""
        encodings = [Encoding(array("i", [number, 1]), False, 0) for number in first_ids]
        entries = [Entry(encoding, None, asyncio.get_running_loop().create_future()) for encoding in encodings]
        self.queue.put(entries)
        return [entry.future for entry in entries]

    async def hold(self) -> list[asyncio.Future[float]]:
        """Close the gate with one review in the engine."""
        self.engine.gate.clear()
        held = self.put(50)
        await asyncio.to_thread(self.engine.started.wait, 10)
        return held

    def sample(self, name: str) -> float:
        """The value of a metric."""
        value = self.metrics.registry.get_sample_value(name)
        assert value is not None
        return value


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.create_task(bench.batcher.run())
    try:
        yield bench
    finally:
        bench.engine.gate.set()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_lone_review_runs_at_once() -> None:
    async with running(Bench(FakeEngine())) as bench:
        (future,) = bench.put(42)
        assert await future == 0.42
        assert bench.engine.batches == [[[42, 1]]]


async def test_reviews_gather_while_the_engine_is_busy() -> None:
    async with running(Bench(FakeEngine())) as bench:
        held = await bench.hold()
        futures = bench.put(1, 2, 3, 4, 5)
        bench.engine.gate.set()
        assert await asyncio.gather(*held, *futures) == [0.5, 0.01, 0.02, 0.03, 0.04, 0.05]
        assert [len(batch) for batch in bench.engine.batches] == [1, 4, 1]


async def test_fixed_padding_counts_the_whole_length_towards_the_tokens() -> None:
    async with running(Bench(FakeEngine(pad_to=500), max_batch_size=8, max_batch_tokens=1000)) as bench:
        held = await bench.hold()
        futures = bench.put(1, 2, 3)
        bench.engine.gate.set()
        await asyncio.gather(*held, *futures)
        assert [len(batch) for batch in bench.engine.batches] == [1, 2, 1]
        assert bench.sample("sentiment_batch_tokens_sum") == 4 * 500


async def test_a_review_cancelled_while_it_waits_never_runs() -> None:
    async with running(Bench(FakeEngine())) as bench:
        held = await bench.hold()
        gone, stays = bench.put(1, 2)
        gone.cancel()
        bench.engine.gate.set()
        assert await asyncio.gather(*held, stays) == [0.5, 0.02]
        assert bench.engine.batches[1:] == [[[2, 1]]]


async def test_a_review_cancelled_while_it_runs_leaves_its_neighbours_alone() -> None:
    async with running(Bench(FakeEngine())) as bench:
        bench.engine.gate.clear()
        gone, stays = bench.put(1, 2)
        await asyncio.to_thread(bench.engine.started.wait, 10)
        gone.cancel()
        bench.engine.gate.set()
        assert await stays == 0.02
        assert bench.engine.batches == [[[1, 1], [2, 1]]]


async def test_a_failing_batch_fails_its_own_reviews_only(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Bench(FakeEngine(poison=13))) as bench:
        held = await bench.hold()
        doomed, good = bench.put(13, 2, 3, 4), bench.put(5)
        bench.engine.gate.set()
        answers = await asyncio.gather(*held, *doomed, *good, return_exceptions=True)
        assert [type(answer) for answer in answers] == [float, *[InferenceError] * 4, float]
    assert [record.message for record in caplog.records if record.name == "service.batcher"] == [
        "the engine failed on a batch of 4 reviews"
    ]


async def test_an_engine_that_loses_answers_fails_the_batch() -> None:
    class Forgetful(FakeEngine):
        def run(self, sequences: object) -> list[float]:
            return []

    async with running(Bench(Forgetful())) as bench:
        (future,) = bench.put(1)
        with pytest.raises(InferenceError):
            await future


async def test_what_ran_is_measured() -> None:
    async with running(Bench(FakeEngine())) as bench:
        held = await bench.hold()
        encoding = Encoding(array("i", [9] * 6), truncated=True, unknown_count=3)
        long = Entry(encoding, None, asyncio.get_running_loop().create_future())
        futures = bench.put(1)
        bench.queue.put([long])
        since = time.monotonic()
        await asyncio.sleep(0.1)
        waited = time.monotonic() - since
        bench.engine.gate.set()
        await asyncio.gather(*held, *futures, long.future)
        assert bench.sample("sentiment_batch_size_count") == 2
        assert bench.sample("sentiment_batch_size_sum") == 3
        assert bench.sample("sentiment_batch_tokens_sum") == 2 + 12
        assert bench.sample("sentiment_batch_padding_ratio_sum") == pytest.approx(4 / 12)
        assert bench.sample("sentiment_queue_duration_seconds_count") == 3
        assert bench.sample("sentiment_queue_duration_seconds_sum") >= 2 * waited
        assert bench.sample("sentiment_inference_duration_seconds_count") == 2
        assert bench.sample("sentiment_inference_duration_seconds_sum") >= waited
        assert bench.sample("sentiment_review_tokens_sum") == 2 + 2 + 6
        assert bench.sample("sentiment_review_unknown_token_ratio_sum") == 3 / 6
        assert bench.sample("sentiment_reviews_truncated_total") == 1
        assert bench.sample("sentiment_positive_probability_count") == 3
        assert bench.sample("sentiment_positive_probability_sum") == pytest.approx(0.5 + 0.01 + 0.09)


async def test_what_a_review_takes_is_measured_for_those_who_find_no_room() -> None:
    async with running(Bench(FakeEngine())) as bench:
        before = bench.queue.seconds_per_review
        await asyncio.gather(*bench.put(1, 2, 3, 4))
        each = bench.sample("sentiment_inference_duration_seconds_sum") / 4
        assert bench.queue.seconds_per_review == pytest.approx(0.9 * before + 0.1 * each)


async def test_a_fault_in_the_engine_s_thread_ends_the_batcher() -> None:
    class Broken(RequestQueue):
        def take(self, choose: Choice) -> tuple[list[Entry], list[Entry]] | None:
            raise LookupError("a fault of ours")

    batcher = Batcher(Broken(100), FakeEngine(), Metrics(), 4, 1000)
    async with asyncio.timeout(10):
        with pytest.raises(LookupError, match="a fault of ours"):
            await batcher.run()
