import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batcher import next_batch
from service.errors import Expired, QueueFull
from service.request_queue import Entry, RequestQueue


def entry(length: int = 1, deadline: float | None = None) -> Entry:
    return Entry([7] * length, deadline, asyncio.get_running_loop().create_future())


async def test_entries_of_one_length_leave_in_the_order_of_arrival() -> None:
    queue, entries = RequestQueue(10), [entry() for _ in range(5)]
    queue.put(entries[:2])
    queue.put(entries[2:])
    assert await next_batch(queue, 3, 100) == entries[:3]
    assert await next_batch(queue, 3, 100) == entries[3:]
    assert len(queue) == 0


async def test_a_batch_waits_for_an_arrival() -> None:
    queue, late = RequestQueue(1), entry()
    taking = asyncio.create_task(next_batch(queue, 1, 100))
    await asyncio.sleep(0.01)
    assert not taking.done()
    queue.put([late])
    assert await taking == [late]


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
    assert len(await next_batch(queue, 10, max_tokens)) == taken


async def test_the_oldest_goes_with_those_nearest_in_length() -> None:
    queue = RequestQueue(10)
    long, short, longish, middling = (entry(length) for length in (100, 5, 90, 50))
    queue.put([long, short, longish, middling])
    assert await next_batch(queue, 2, 1000) == [long, longish]
    assert await next_batch(queue, 2, 1000) == [short, middling]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=50), st.integers(1, 8), st.integers(1, 4000))
def test_a_review_waits_for_no_more_batches_than_reviews_before_it(
    lengths: list[int], max_size: int, max_tokens: int
) -> None:
    async def batches() -> list[list[Entry]]:
        queue = RequestQueue(1000)
        entries = [entry(length) for length in lengths]
        queue.put(entries)
        taken = []
        for number, expected_by_now in enumerate(entries):
            if not expected_by_now.future.done():
                queue.put([entry(length) for length in lengths[:2]])  # others keep coming
                taken.append(await next_batch(queue, max_size, max_tokens))
                for leaving in taken[-1]:
                    leaving.future.set_result(0.5)
            assert expected_by_now.future.done(), f"number {number} is still waiting"
        return taken

    for batch in asyncio.run(batches()):
        padded = len(batch) * max(len(taken.input_ids) for taken in batch)
        assert 1 <= len(batch) <= max_size
        assert len(batch) == 1 or padded <= max_tokens


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
    assert await next_batch(queue, 5, 100) == [second, third]


async def test_discarding_leaves_an_answer_alone() -> None:
    queue, answered = RequestQueue(1), entry()
    answered.future.set_result(0.5)
    queue.discard([answered])
    assert answered.future.result() == 0.5


async def test_expired_and_cancelled_entries_never_reach_a_batch() -> None:
    queue = RequestQueue(5)
    expired, cancelled, good = entry(deadline=time.monotonic() - 1), entry(), entry(deadline=time.monotonic() + 60)
    queue.put([expired, cancelled, good])
    cancelled.future.cancel()
    assert await next_batch(queue, 5, 100) == [good]
    with pytest.raises(Expired):
        expired.future.result()
