import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.registry import RestrictedRegistry

from service.metrics import Metrics, NotedHistogram

BOUNDS = (0.1, 0.5, 1.0)


def noted(most: int) -> tuple[CollectorRegistry, NotedHistogram]:
    registry = CollectorRegistry()
    return registry, NotedHistogram(Histogram("seconds", "Some.", buckets=BOUNDS, registry=registry), most)


def samples(registry: CollectorRegistry | RestrictedRegistry) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 7.0]), max_size=5)), st.integers(0, 4))
def test_what_is_noted_is_counted_as_prometheus_counts_it(observed: list[list[float]], most: int) -> None:
    registry, histogram = noted(most)
    plain_registry = CollectorRegistry()
    plain = Histogram("seconds", "Some.", buckets=BOUNDS, registry=plain_registry)
    for amounts in observed:
        histogram.observe(*amounts)
        for amount in amounts:
            plain.observe(amount)
    histogram.count()
    assert samples(registry) == pytest.approx(samples(plain_registry))


@pytest.mark.parametrize(("most", "counted"), [(0, 3), (2, 3), (3, 0)])
def test_no_more_is_noted_than_may_be(most: int, counted: int) -> None:
    registry, histogram = noted(most)
    histogram.observe(0.1)
    histogram.observe(0.2, 0.3)
    assert registry.get_sample_value("seconds_count") == counted


def test_whoever_asks_is_told_all_of_it() -> None:
    metrics = Metrics()
    metrics.tokenize.observe(0.1)
    metrics.request("Classify", "OK").observe(0.2)
    assert metrics.registry.get_sample_value("sentiment_tokenize_duration_seconds_count") == 1
    labels = {"method": "Classify", "code": "OK"}
    assert metrics.registry.get_sample_value("sentiment_request_duration_seconds_count", labels) == 1


def test_whoever_asks_for_one_series_is_told_all_of_it() -> None:
    metrics = Metrics()
    metrics.tokenize.observe(0.1)
    name = "sentiment_tokenize_duration_seconds_count"
    assert samples(metrics.registry.restricted_registry([name])) == {(name,): 1}


def test_nothing_is_lost_or_counted_twice_while_others_ask() -> None:
    metrics = Metrics(noted=3)
    asking = [threading.Thread(target=lambda: [samples(metrics.registry) for _ in range(20)]) for _ in range(2)]
    for thread in asking:
        thread.start()
    for _ in range(20_000):
        metrics.tokenize.observe(0.001)
    for thread in asking:
        thread.join()
    assert metrics.registry.get_sample_value("sentiment_tokenize_duration_seconds_count") == 20_000
