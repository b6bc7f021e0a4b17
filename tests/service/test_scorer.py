import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import groupby

import pytest

from bundle.tokenizer import PAD_TOKEN, UNK_TOKEN, Encoding, Tokenizer
from service.batcher import Batcher
from service.errors import Draining, Expired, InvalidRequest, QueueFull
from service.metrics import Metrics
from service.request_queue import RequestQueue
from service.scorer import Limits, Scorer
from tests.service.fake_engine import FakeEngine


class Bench:
    """A scorer of 20-byte texts, 3 a request and 5 waiting, over a fake engine."""

    def __init__(self) -> None:
        self.engine, self.metrics, self.queue = FakeEngine(), Metrics(), RequestQueue(5)
        self.batcher = Batcher(self.queue, self.engine, self.metrics, 4, 1000)
        limits = Limits(max_text_bytes=20, max_texts=3)
        tokenizer = Tokenizer([PAD_TOKEN, UNK_TOKEN, "the", ".", ","])
        # The fake engine makes probabilities of ids, so they are below this threshold or not.
        self.scorer = Scorer(tokenizer, 0.03, self.queue, limits, self.metrics)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    task = asyncio.create_task(made.batcher.run())
    yield made
    made.engine.gate.set()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_answer_says_what_was_read(bench: Bench) -> None:
    answer = await bench.scorer.classify("the xqzv")  # "the" has id 2
    assert answer.sentiment == "negative"
    assert answer.positive_probability == 0.02
    assert answer.token_count == 2
    assert answer.unknown_token_ratio == 0.5
    assert not answer.truncated
    assert (await bench.scorer.classify(", the")).sentiment == "positive"


async def test_ids_are_answered_as_the_text_is(bench: Bench) -> None:
    padded = [[2, 1, 0, 0], [4, 2, 0, 0]]
    assert await bench.scorer.classify_ids(padded) == await bench.scorer.classify_many(["the xqzv", ", the"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[2], [0, 0]], r"input_ids\[1\] holds nothing but padding"),
        ([[2], []], r"input_ids\[1\] holds nothing but padding"),
        ([[2, 0, 2]], r"input_ids\[0\] has padding \(0\) before its end"),
        ([[2, 5]], r"input_ids\[0\] has ids that are not in the vocabulary, 0 to 4"),
        ([[-1, 2]], r"input_ids\[0\] has ids that are not in the vocabulary"),
        ([[2, 2**40]], r"input_ids\[0\] has ids that are not in the vocabulary"),
        ([[2] * 501], r"input_ids\[0\] has 501 ids for a text; send at most 500"),
        ([[2]] * 4, "input_ids has 4 texts; send at most 3"),
    ],
)
async def test_ids_that_the_model_cannot_read_are_refused(bench: Bench, ids: list[list[int]], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await bench.scorer.classify_ids(ids)


async def test_symbols_that_the_vocabulary_lacks_are_answered(bench: Bench) -> None:
    assert (await bench.scorer.classify("\U0001f600\U0001f44d")).unknown_token_ratio == 1


async def test_answers_come_in_the_order_asked(bench: Bench) -> None:
    answers = await bench.scorer.classify_many(["the", ".", ","])
    assert [answer.positive_probability for answer in answers] == [0.02, 0.03, 0.04]
    assert await bench.scorer.classify_many([]) == []


@pytest.mark.parametrize(
    ("texts", "reason", "field"),
    [
        (["fine", "  \n"], "blank_text", "texts[1]"),
        (["<br />"], "blank_text", "texts[0]"),
        (["\u200b"], "blank_text", "texts[0]"),
        (["a" * 21], "text_too_long", "texts[0]"),
        (["\u00e9" * 11], "text_too_long", "texts[0]"),
        (["a"] * 4, "too_many_texts", "texts"),
    ],
)
async def test_one_refused_text_refuses_the_whole(bench: Bench, texts: list[str], reason: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await bench.scorer.classify_many(texts)
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert bench.engine.batches == []


async def test_a_full_queue_refuses_at_once_and_takes_again_later(bench: Bench) -> None:
    bench.engine.gate.clear()
    running = asyncio.create_task(bench.scorer.classify("the"))
    await asyncio.to_thread(bench.engine.started.wait, 10)
    waiting = [asyncio.create_task(bench.scorer.classify("the")) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await bench.scorer.classify("the")
    waiting.pop().cancel()
    await asyncio.sleep(0.01)
    waiting.append(asyncio.create_task(bench.scorer.classify("the")))
    await asyncio.sleep(0)
    bench.engine.gate.set()
    answers = await asyncio.gather(running, *waiting)
    assert [answer.positive_probability for answer in answers] == [0.02] * 6


async def test_a_deadline_that_passes_in_the_queue_is_told(bench: Bench) -> None:
    bench.engine.gate.clear()
    running = asyncio.create_task(bench.scorer.classify("the"))
    await asyncio.to_thread(bench.engine.started.wait, 10)
    late = asyncio.create_task(bench.scorer.classify(".", deadline=time.monotonic() + 0.01))
    await asyncio.sleep(0.05)
    bench.engine.gate.set()
    await running
    with pytest.raises(Expired):
        await late
    assert len(bench.engine.batches) == 1


async def test_closed_it_refuses_new_texts_and_answers_those_accepted(bench: Bench) -> None:
    bench.engine.gate.clear()
    accepted = asyncio.create_task(bench.scorer.classify("the"))
    await asyncio.to_thread(bench.engine.started.wait, 10)
    bench.scorer.close()
    with pytest.raises(Draining):
        await bench.scorer.classify("the")
    bench.engine.gate.set()
    assert (await accepted).positive_probability == 0.02


async def test_texts_that_take_long_give_others_their_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, encode = list[str](), Tokenizer.encode

    def slowly(self: Tokenizer, text: str) -> Encoding:
        turns.append(text)
        until = time.monotonic() + 0.01
        while time.monotonic() < until:
            pass
        return encode(self, text)

    async def others() -> None:
        while True:
            turns.append("others")
            await asyncio.sleep(0)

    monkeypatch.setattr(Tokenizer, "encode", slowly)
    interested = asyncio.create_task(others())
    await bench.scorer.classify_many(["the", ".", ","])
    interested.cancel()
    in_turn = [turn for turn, _ in groupby(turns)]
    assert in_turn[in_turn.index("the") :][:5] == ["the", "others", ".", "others", ","]
