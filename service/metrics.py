"""Every collector of the service. Base units, few labels, and one registry a server."""

import functools
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from service.errors import Reason

# Seconds, from 0.1 ms to 10 s, about three a factor of ten, finer where a review usually lies.
SECONDS = (
    *(0.0001, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
# Most reviews are tokenized within the first bucket above.
TOKENIZE_SECONDS = (0.00001, 0.00002, 0.00003, 0.00005, 0.000075, *SECONDS)
RATIOS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TOKENS = (5, 10, 20, 50, 100, 150, 200, 250, 300, 350, 400, 450, 499, 500)


class Metrics:
    """The collectors, by the stage of a review's way."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        self.requests = Histogram(
            "sentiment_request_duration_seconds",
            "A request, or one review of a stream, from its arrival to its answer, by method and status code.",
            ["method", "code"],
            buckets=SECONDS,
            registry=registry,
        )
        # Looking a label set up costs more than observing it; there are only a few.
        self.request = functools.cache(self.requests.labels)
        self.in_flight = Gauge(
            "sentiment_requests_in_flight",
            "Requests, or reviews of a stream, being answered.",
            registry=registry,
        )
        self.rejected = Counter("sentiment_rejected", "Requests refused, by reason.", ["reason"], registry=registry)
        for reason in get_args(Reason):  # there from the start, or a rate would miss the first of each
            self.rejected.labels(reason)

        self.tokenize = Histogram(
            "sentiment_tokenize_duration_seconds", "Tokenizing one review.", buckets=TOKENIZE_SECONDS, registry=registry
        )
        self.review_tokens = Histogram(
            "sentiment_review_tokens", "Tokens read of one review.", buckets=TOKENS, registry=registry
        )
        self.unknown_token_ratio = Histogram(
            "sentiment_review_unknown_token_ratio",
            "Share of a review's tokens that the vocabulary lacks.",
            buckets=RATIOS,
            registry=registry,
        )
        self.truncated = Counter(
            "sentiment_reviews_truncated", "Reviews with more tokens than the model reads.", registry=registry
        )

        self.queue = Histogram(
            "sentiment_queue_duration_seconds",
            "One review waiting for its batch to start.",
            buckets=SECONDS,
            registry=registry,
        )
        self.queue_depth = Gauge("sentiment_queue_depth", "Reviews waiting.", registry=registry)
        self.queue_capacity = Gauge("sentiment_queue_capacity", "Most reviews that may wait.", registry=registry)

        self.inference = Histogram(
            "sentiment_inference_duration_seconds", "One batch in the model.", buckets=SECONDS, registry=registry
        )
        self.batch_size = Histogram(
            "sentiment_batch_size",
            "Reviews in one batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self.batch_tokens = Histogram(
            "sentiment_batch_tokens",
            "Tokens in one batch, padding included.",
            buckets=(64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768),
            registry=registry,
        )
        self.padding_ratio = Histogram(
            "sentiment_batch_padding_ratio",
            "Share of a batch's tokens that is padding.",
            buckets=RATIOS,
            registry=registry,
        )
        self.positive_probability = Histogram(
            "sentiment_positive_probability",
            "Probability answered for one review.",
            buckets=tuple(step / 20 for step in range(1, 21)),
            registry=registry,
        )

        self.model_info = Gauge(
            "sentiment_model_info", "1 for the model being served.", ["name", "version", "sha256"], registry=registry
        )
        self.provider_info = Gauge(
            "sentiment_execution_provider_info",
            "1 for where the model runs, and what was asked for.",
            ["requested", "active"],
            registry=registry,
        )
        self.provider_fallback = Gauge(
            "sentiment_execution_provider_fallback",
            "1 if an installed CUDA provider could not be used and the CPU serves instead, else 0.",
            registry=registry,
        )
        self.ready = Gauge("sentiment_ready", "1 while the server takes requests, else 0.", registry=registry)
