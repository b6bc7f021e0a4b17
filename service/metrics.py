"""Every collector of the service. Base units, few labels, and one registry a server."""

import functools
import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.registry import RestrictedRegistry

from service.errors import Reason

# Observations of one series that may be noted and not yet counted.
NOTED = 256

# Seconds, from 0.1 ms to 10 s, about three a factor of ten, finer where a review usually lies.
SECONDS = (
    *(0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
# Most reviews are tokenized within the first bucket above.
TOKENIZE_SECONDS = (0.00001, 0.00002, 0.00003, 0.00005, 0.000075, *SECONDS)
RATIOS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))
REVIEW_TOKENS = (5, 10, 20, 50, 100, 150, 200, 250, 300, 350, 400, 450, 499, 500)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


class NotedHistogram:
    """A histogram that notes what it observes, and counts many at a time, which costs a fraction."""

    def __init__(self, histogram: Histogram, most: int) -> None:
        """`most` observations may be noted and not yet counted."""
        self._histogram = histogram
        self._most = most
        self._noted = deque[float]()
        self._counting = threading.Lock()

    def observe(self, *amounts: float) -> None:
        """Observe each of `amounts`."""
        self._noted.extend(amounts)
        if len(self._noted) > self._most:
            self.count()

    def count(self) -> None:
        """Count what has been noted until now."""
        histogram = self._histogram
        with self._counting:
            amounts = [self._noted.popleft() for _ in range(len(self._noted))]
            histogram._sum.inc(sum(amounts))
            for bucket, count in Counts(bisect_left(histogram._upper_bounds, amount) for amount in amounts).items():
                histogram._buckets[bucket].inc(count)


class _CompleteRegistry(CollectorRegistry):
    """Has everything counted before it tells of anything."""

    def __init__(self, count: Callable[[], None]) -> None:
        super().__init__()
        self._count = count

    def collect(self) -> Iterable[Metric]:
        """All series."""
        self._count()
        return super().collect()

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        """Some series only."""
        self._count()
        return super().restricted_registry(names)


class Metrics:
    """The collectors, by the stage of a review's way."""

    def __init__(self, noted: int = NOTED) -> None:
        """`noted` observations of a series may wait to be counted; 0 where another process reads what is counted."""
        self.registry: CollectorRegistry = _CompleteRegistry(self.count)
        self._most_noted = noted
        self._noted: list[NotedHistogram] = []
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        # The modes say how the gauges of several workers become one; with a single process they mean nothing.
        self._gauge = functools.partial(Gauge, registry=self.registry, multiprocess_mode="livemax")
        self._total = functools.partial(Gauge, registry=self.registry, multiprocess_mode="livesum")
        self._counter = functools.partial(Counter, registry=self.registry)
        self._add_requests()
        self._add_texts()
        self._add_batches()
        self._add_model()
        self._add_server()

    def count(self) -> None:
        """Count what the histograms have noted."""
        for histogram in self._noted:
            histogram.count()

    def _add_requests(self) -> None:
        requests = Histogram(
            "sentiment_request_duration_seconds",
            "A request, or one review of a stream, from its arrival to its answer, by method and status code.",
            ["method", "code"],
            buckets=SECONDS,
            registry=self.registry,
        )
        # Looking a label set up costs more than observing it; there are only a few.
        self.request = functools.cache(lambda method, code: self._note(requests.labels(method, code)))
        in_flight = "sentiment_requests_in_flight"
        self.in_flight = self._total(in_flight, "Requests, or reviews of a stream, being answered.")
        self.rejected = self._counter("sentiment_rejected", "Requests refused, by reason.", ["reason"])
        for reason in get_args(Reason):  # there from the start, or a rate would miss the first of each
            self.rejected.labels(reason)

    def _add_texts(self) -> None:
        tokenize, tokens = "sentiment_tokenize_duration_seconds", "sentiment_review_tokens"
        unknown, truncated = "sentiment_review_unknown_token_ratio", "sentiment_reviews_truncated"
        self.tokenize = self._histogram(tokenize, "Tokenizing one review.", TOKENIZE_SECONDS)
        self.review_tokens = self._histogram(tokens, "Tokens read of one review.", REVIEW_TOKENS)
        self.unknown_token_ratio = self._histogram(unknown, "Share of a review's tokens not in the vocabulary.", RATIOS)
        self.truncated = self._counter(truncated, "Reviews with more tokens than the model reads.")

    def _add_batches(self) -> None:
        self.queue = self._histogram(
            "sentiment_queue_duration_seconds", "One review waiting for its batch to start.", SECONDS
        )
        self.queue_depth = self._total("sentiment_queue_depth", "Reviews waiting.")
        self.queue_capacity = self._total("sentiment_queue_capacity", "Most reviews that may wait.")
        inference, size = "sentiment_inference_duration_seconds", "sentiment_batch_size"
        tokens, padding = "sentiment_batch_tokens", "sentiment_batch_padding_ratio"
        self.inference = self._histogram(inference, "One batch in the model.", SECONDS)
        self.batch_size = self._histogram(size, "Reviews in one batch.", BATCH_SIZES)
        self.batch_tokens = self._histogram(tokens, "Tokens in one batch, padding included.", BATCH_TOKENS)
        self.padding_ratio = self._histogram(padding, "Share of a batch that is padding.", RATIOS)
        probability = "sentiment_positive_probability"
        self.positive_probability = self._histogram(probability, "Answer for one review.", PROBABILITIES)

    def _add_model(self) -> None:
        model, kernel = ["name", "version", "precision", "sha256"], ["version", "kernel"]
        self.model_info = self._gauge("sentiment_model_info", "1 for the model being served.", model)
        self.kernel_info = self._gauge("sentiment_kernel_info", "1 for what runs the model, by version.", kernel)
        self.batch_size_limit = self._gauge(
            "sentiment_batch_size_limit", "Most reviews run together, set or measured, by version.", ["version"]
        )
        # What is served can be compared with what the default model has learnt from.
        tokens, truncated = "sentiment_training_review_tokens", "sentiment_training_truncated_ratio"
        unknown, positive = "sentiment_training_unknown_token_ratio", "sentiment_training_positive_ratio"
        self.training_tokens = self._gauge(tokens, "Tokens read of a training review, mean.")
        self.training_truncated = self._gauge(truncated, "Share of training reviews truncated.")
        self.training_unknown = self._gauge(unknown, "Share of a training review's tokens not in the vocabulary, mean.")
        self.training_positive = self._gauge(positive, "Share of training reviews positive.")

    def _add_server(self) -> None:
        provider = ["requested", "active"]
        self.provider_info = self._gauge(
            "sentiment_execution_provider_info", "1 for where the model runs, and what was asked for.", provider
        )
        self.provider_fallback = self._gauge(
            "sentiment_execution_provider_fallback",
            "1 if an installed CUDA provider could not be used and the CPU serves instead, else 0.",
        )
        self.ready = self._gauge("sentiment_ready", "1 while the server takes requests, else 0.")
        self.workers = self._total("sentiment_workers", "Processes that answer: 1, or as many workers as run.")
        restarts = "sentiment_worker_restarts"
        self.worker_restarts = self._counter(restarts, "Workers replaced because they died or hung.")

    def _histogram(self, name: str, help: str, buckets: Sequence[float]) -> NotedHistogram:
        return self._note(Histogram(name, help, buckets=buckets, registry=self.registry))

    def _note(self, histogram: Histogram) -> NotedHistogram:
        noted = NotedHistogram(histogram, self._most_noted)
        self._noted.append(noted)
        return noted
