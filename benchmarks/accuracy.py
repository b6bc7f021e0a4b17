"""Sends the canonical test reviews through a running server and compares the accuracy with the bundle's own.

    make serve &
    .venv/bin/python -m benchmarks.accuracy --data path/to/imdb

Every review goes once by Classify and once by ClassifyBatch. Fails on any error, on an accuracy other than the
manifest's, and if the request histogram did not count exactly what was sent.
"""

import argparse
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from tqdm import tqdm

from export.data import Reviews, load
from service.classification import Classification
from service.client import DEFAULT_TARGET, SentimentClient
from service.client.batches import TEXTS_PER_CALL

CONCURRENCY = 64
EXPECTED_DIGITS = 1e-9  # the manifest's accuracy is a count over 25,000


def counted(metrics_url: str) -> dict[tuple[str, str], float]:
    """The request histogram's counts by (method, code)."""
    with urllib.request.urlopen(metrics_url, timeout=10) as response:
        text = response.read().decode()
    return {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "sentiment_request_duration_seconds_count"
    }


def by_classify(client: SentimentClient, texts: Sequence[str]) -> Iterator[Classification]:
    """One call a review, CONCURRENCY of them at a time."""
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        yield from threads.map(client.classify, texts)


def measure(name: str, answers: Iterator[Classification], reviews: Reviews) -> float:
    """The accuracy of the answers."""
    started = time.perf_counter()
    said = [answer.sentiment == "positive" for answer in tqdm(answers, desc=name, total=len(reviews), disable=None)]
    seconds = time.perf_counter() - started
    accuracy = float(np.mean(np.array(said) == reviews.labels))
    print(f"{name}: accuracy {accuracy:.5f}, {len(reviews) / seconds:,.0f} reviews a second")
    return accuracy


def main() -> None:
    """Run both ways and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="IMDB: archive, folder or Parquet")
    parser.add_argument("--target", default=DEFAULT_TARGET, help="(%(default)s)")
    parser.add_argument("--metrics", default="http://localhost:8080/metrics", help="(%(default)s)")
    arguments = parser.parse_args()
    reviews = load(arguments.data, "test")
    before = counted(arguments.metrics)
    with SentimentClient(arguments.target, timeout=60) as client:
        expected = client.model().test_accuracy
        accuracies = [
            measure("Classify", by_classify(client, reviews.texts), reviews),
            measure("ClassifyBatch", client.classify_many(reviews.texts), reviews),
        ]
    after = counted(arguments.metrics)
    batches = -(-len(reviews) // TEXTS_PER_CALL)
    sent = {("Classify", "OK"): len(reviews), ("ClassifyBatch", "OK"): batches, ("GetModel", "OK"): 1}
    found = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    print(f"manifest: accuracy {expected:.5f}; histogram counted {found}")
    if any(abs(accuracy - expected) > EXPECTED_DIGITS for accuracy in accuracies):
        sys.exit("the accuracy is not the manifest's")
    if found != sent:
        sys.exit(f"the histogram should have counted {sent}")


if __name__ == "__main__":
    main()
