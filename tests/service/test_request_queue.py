import asyncio
import threading
import time
from array import array
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.tokenizer import Encoding
from service.batcher import alike, in_turn
from service.errors import QueueFull
from service.request_queue import WINDOW, Entry, RequestQueue


def entry(length: int = 1, deadline: float | None = None) -> Entry:
    encoding = Encoding(array("i", [7] * length), False, 0)
    return Entry(encoding, deadline, asyncio.get_running_loop().create_future())


def take(queue: RequestQueue, max_size: int, max_tokens: int, ragged: bool = False) -> list[Entry]:
    taken = queue.take(partial(in_turn if ragged else alike, max_size=max_size, max_tokens=max_tokens))
    assert taken
    batch, late = taken
    assert not late
    return batch


@pytest.mark.parametrize("ragged", [False, True])
async def test_entries_of_one_length_leave_in_the_order_of_arrival(ragged: bool) -> None:
    queue, entries = RequestQueue(10), [entry() for _ in range(5)]
    queue.put(entries[:2])
    queue.put(entries[2:])
    assert take(queue, 3, 100, ragged) == entries[:3]
    assert take(queue, 3, 100, ragged) == entries[3:]
    assert len(queue) == 0


async def test_a_batch_waits_for_an_arrival_and_for_no_more() -> None:
    queue, late, batches = RequestQueue(1), entry(), list[list[Entry]]()
    taking = threading.Thread(target=lambda: batches.append(take(queue, 2, 100)))
    taking.start()
    taking.join(0.05)
    assert taking.is_alive()
    queue.put([late])
    await asyncio.to_thread(taking.join, 10)
    assert batches == [[late]]


async def test_closing_ends_the_waiting() -> None:
    queue, taken = RequestQueue(1), list[object]()
    taking = threading.Thread(target=lambda: taken.append(queue.take(lambda waiting: waiting)))
    taking.start()
    queue.close()
    await asyncio.to_thread(taking.join, 10)
    assert taken == [None]


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "taken"),
    [
        ([10, 10, 10], 30, 3),
        ([10, 10, 10], 29, 2),
        ([10, 20, 5], 40, 2),  # two padded to 20 fit, three do not
        ([5, 5, 20], 40, 2),  # the third would pad the others to 20
        ([20, 20, 5], 40, 2),
        ([50, 1], 10, 1),  # one always goes, however long
    ],
)
async def test_a_batch_keeps_within_its_tokens_padding_included(
    lengths: list[int], max_tokens: int, taken: int
) -> None:
    queue = RequestQueue(10)
    queue.put([entry(length) for length in lengths])
    assert len(take(queue, 10, max_tokens)) == taken


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "taken"), [([10, 20, 5], 35, 3), ([10, 20, 5], 34, 2), ([50, 1], 10, 1)]
)
async def test_a_ragged_batch_counts_the_tokens_there_are(lengths: list[int], max_tokens: int, taken: int) -> None:
    queue = RequestQueue(10)
    queue.put([entry(length) for length in lengths])
    assert len(take(queue, 10, max_tokens, ragged=True)) == taken


async def test_the_oldest_goes_with_those_nearest_in_length() -> None:
    queue = RequestQueue(10)
    long, short, longish, middling = (entry(length) for length in (100, 5, 90, 50))
    queue.put([long, short, longish, middling])
    assert take(queue, 2, 1000) == [long, longish]
    assert take(queue, 2, 1000) == [short, middling]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=50), st.integers(1, 8), st.integers(1, 4000), st.booleans())
def test_a_review_waits_for_no_more_batches_than_reviews_before_it(
    lengths: list[int], max_size: int, max_tokens: int, ragged: bool
) -> None:
    async def batches() -> list[list[Entry]]:
        queue = RequestQueue(1000)
        entries = [entry(length) for length in lengths]
        queue.put(entries)
        taken = []
        for number, expected_by_now in enumerate(entries):
            if not expected_by_now.future.done():
                queue.put([entry(length) for length in lengths[:2]])  # others keep coming
                taken.append(take(queue, max_size, max_tokens, ragged))
                for leaving in taken[-1]:
                    leaving.future.set_result(0.5)
            assert expected_by_now.future.done(), f"number {number} is still waiting"
        return taken

    for batch in asyncio.run(batches()):
        tokens = [taken.length for taken in batch]
        assert 1 <= len(batch) <= max_size
        assert len(batch) == 1 or (sum(tokens) if ragged else len(batch) * max(tokens)) <= max_tokens


async def test_all_entries_fit_or_none_is_added() -> None:
    queue = RequestQueue(3)
    queue.seconds_per_review = 0.5
    queue.put([entry(), entry()])
    with pytest.raises(QueueFull) as refused:
        queue.put([entry(), entry()])
    assert refused.value.retry_after == pytest.approx(1.0)
    assert len(queue) == 2
    queue.put([entry()])


async def test_discarded_entries_free_their_places_at_once() -> None:
    queue, first, second = RequestQueue(2), entry(), entry()
    queue.put([first, second])
    queue.discard([first])
    assert first.future.cancelled()
    assert len(queue) == 1
    third = entry()
    queue.put([third])
    assert take(queue, 5, 100) == [second, third]


async def test_discarding_leaves_an_answer_alone() -> None:
    queue, answered = RequestQueue(1), entry()
    answered.future.set_result(0.5)
    queue.discard([answered])
    assert answered.future.result() == 0.5


async def test_reviews_behind_many_cancelled_ones_are_found() -> None:
    queue, good = RequestQueue(1000), entry()
    cancelled = [entry() for _ in range(2 * WINDOW + 1)]
    queue.put([*cancelled, good])
    for gone in cancelled:  # and not discarded yet: their callers have not had their turn
        gone.future.cancel()
    assert take(queue, 5, 100) == [good]


async def test_late_and_cancelled_entries_never_reach_a_batch() -> None:
    queue = RequestQueue(5)
    late, cancelled, good = entry(deadline=time.monotonic() - 1), entry(), entry(deadline=time.monotonic() + 60)
    queue.put([late, cancelled, good])
    cancelled.future.cancel()
    assert queue.take(lambda waiting: waiting) == ([good], [late])
    queue.put([late])
    assert queue.take(lambda waiting: waiting) == ([], [late])
    assert len(queue) == 0
