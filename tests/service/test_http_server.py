"""What the real server says by HTTP."""

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.pb import sentiment_pb2 as pb
from service.server import Server
from tests.service.conftest import fetch

if TYPE_CHECKING:
    from service.pb import sentiment_pb2_grpc

    Stub = sentiment_pb2_grpc.SentimentServiceAsyncStub


async def test_http_tells_liveness_readiness_and_metrics(server: Server, stub: "Stub") -> None:
    await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=["good", "bad film"]))
    assert await asyncio.to_thread(fetch, server, "/livez") == (200, "ok\n")
    assert await asyncio.to_thread(fetch, server, "/readyz") == (200, "ok\n")
    assert (await asyncio.to_thread(fetch, server, "/other"))[0] == 404
    status, text = await asyncio.to_thread(fetch, server, "/metrics")
    assert status == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["sentiment_request_duration_seconds_count", "ClassifyBatch", "OK"] == 1
    assert samples["sentiment_review_tokens_sum",] == 3
    assert samples["sentiment_execution_provider_info", "auto", "cpu"] == 1
    assert samples["sentiment_ready",] == 1
    assert ("process_resident_memory_bytes",) in samples


async def test_a_blocked_event_loop_is_not_live(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http_server.LOOP_LIVES_WITHIN", 0.1)
    monkeypatch.setattr(server, "_loop", asyncio.new_event_loop())  # one that never runs
    assert await asyncio.to_thread(fetch, server, "/livez") == (503, "no\n")
    server._loop.close()


async def test_a_connection_that_says_nothing_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("service.http_server._QuietHandler.timeout", 0.05)

    def read() -> bytes:
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=10) as silent:
            return silent.recv(1)

    assert await asyncio.to_thread(read) == b""
    assert await asyncio.to_thread(fetch, server, "/livez") == (200, "ok\n")
    assert "Traceback" not in capfd.readouterr().err
