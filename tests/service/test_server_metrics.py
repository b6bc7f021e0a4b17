"""What the metrics of the real server say, beside how often."""

import asyncio
import hashlib
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bundle.store import Bundle
from service.pb import sentiment_pb2 as pb
from service.server import Server
from tests.service.conftest import in_flight, until

if TYPE_CHECKING:
    from service.pb import sentiment_pb2_grpc

    Stub = sentiment_pb2_grpc.SentimentServiceAsyncStub


async def test_requests_last_from_their_arrival_to_their_answer(
    server: Server, stub: "Stub", gate: threading.Event
) -> None:
    gate.clear()
    calls = [asyncio.ensure_future(stub.Classify(pb.ClassifyRequest(text="good")))]
    await in_flight(server, 1)
    await until(server, "sentiment_queue_depth", 0)
    calls += [asyncio.ensure_future(stub.Classify(pb.ClassifyRequest(text="bad"))) for _ in range(2)]
    await until(server, "sentiment_queue_depth", 2)
    since = time.monotonic()
    await asyncio.sleep(0.1)
    waited = time.monotonic() - since
    gate.set()
    await asyncio.gather(*calls)
    labels = {"method": "Classify", "code": "OK"}
    lasted = server.metrics.registry.get_sample_value("sentiment_request_duration_seconds_sum", labels)
    assert lasted is not None
    assert lasted >= 3 * waited


async def test_what_is_served_and_what_it_learnt_from_are_told(
    server: Server, shipped: Bundle, shipped_path: Path
) -> None:
    sample = server.metrics.registry.get_sample_value
    manifest, variant = shipped.manifest, shipped.graph_for("cpu").variant
    sha256 = hashlib.sha256((shipped_path / variant.model).read_bytes()).hexdigest()
    labels = {"name": "imdb-lstm", "version": manifest.version, "precision": variant.precision, "sha256": sha256}
    assert sample("sentiment_model_info", labels) == 1
    assert {
        name: sample(f"sentiment_training_{name}")
        for name in ("review_tokens", "truncated_ratio", "unknown_token_ratio", "positive_ratio")
    } == {
        "review_tokens": manifest.profile.token_count_mean,
        "truncated_ratio": manifest.profile.truncated_ratio,
        "unknown_token_ratio": manifest.profile.unknown_token_ratio_mean,
        "positive_ratio": manifest.profile.positive_ratio,
    }
    assert sample("sentiment_queue_capacity") == server.settings.max_queue_size
