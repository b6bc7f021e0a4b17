"""The balancer's health check, whose bytes HAProxy's configuration holds, asked of real servers."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.service.running import serving

HAPROXY = (Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg").read_text()
SENT = bytes.fromhex("".join(re.findall(r"tcp-check send-binary (\w+)", HAPROXY)))
(EXPECTED,) = (bytes.fromhex(digits) for digits in re.findall(r"tcp-check expect binary (\w+)", HAPROXY))
TRAILER = b"grpc-status"  # what an answer ends with


def passes(port: int) -> bool:
    """Whether HAProxy would find what it expects before the answer ends."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(SENT)
        while EXPECTED not in received and TRAILER not in received and (more := connection.recv(4096)):
            received += more
    return EXPECTED in received


def test_a_server_that_serves_passes() -> None:
    with serving() as server:
        assert passes(server.grpc_port)


@pytest.mark.parametrize("status", ["SERVING", "NOT_SERVING", "UNKNOWN"])
def test_only_serving_passes(status: str) -> None:
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        assert passes(port) == (status == "SERVING")
        server.stop(None).wait()
