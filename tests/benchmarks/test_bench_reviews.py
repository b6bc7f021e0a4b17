"""What is sent where no reviews are given."""

import json
import statistics

import pytest

from benchmarks.plain import PlainModel
from benchmarks.reviews import choose_reviews, synthetic_reviews
from bundle.store import VOCABULARY, Bundle


@pytest.fixture(scope="module")
def lengths(shipped: Bundle) -> list[int]:
    """Tokens that the model reads of synthetic reviews."""
    reviews = choose_reviews(None, shipped, 3_000)
    return [len(shipped.tokenizer.encode(text).input_ids) for text in reviews.texts]


def test_synthetic_reviews_have_the_lengths_of_film_reviews(lengths: list[int]) -> None:
    assert statistics.fmean(lengths) == pytest.approx(235, rel=0.05)
    assert statistics.median(lengths) == pytest.approx(201, rel=0.05)
    assert sum(length == 500 for length in lengths) / len(lengths) == pytest.approx(0.1, abs=0.02)


def test_synthetic_reviews_are_of_known_words_and_always_the_same(shipped: Bundle) -> None:
    vocabulary = json.loads((shipped.path / VOCABULARY).read_text())
    reviews = synthetic_reviews(vocabulary, 20)
    assert all(shipped.tokenizer.encode(text).unknown_count == 0 for text in reviews)
    assert reviews == synthetic_reviews(vocabulary, 20)


def test_the_plain_way_reads_and_answers_as_the_golden_answers_say(shipped: Bundle) -> None:
    model = PlainModel(shipped, "fp32")
    golden = shipped.graph("fp32").golden
    assert model.tokenizer._native is None  # Python, all of it
    assert [model.tokenizer.encode(one.text).input_ids.tolist() for one in golden] == [one.input_ids for one in golden]
    expected = [one.positive_probability for one in golden]
    assert model.classify([one.text for one in golden]) == pytest.approx(expected, abs=1e-5)
    alone = model.run([golden[0].input_ids], model.pad_to)
    assert alone == pytest.approx(expected[:1], abs=1e-5)
