"""How a server is reached: address, TLS, token, keepalive, and turns among several addresses."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

DEFAULT_TARGET = "localhost:50051"
TIMEOUT = 10.0  # seconds

# A name with several addresses, such as a headless Service of Kubernetes: calls go to each in turn.
_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.enable_retries", 0),  # by gRPC itself: ours know what the server's answers mean
    ("grpc.max_receive_message_length", -1),
    # A connection that has silently died under a call is noticed; the server allows pings this often.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


@dataclass(frozen=True)
class Tls:
    """Encrypt, and prove the server by the system's authorities, or by those in `ca_file` (PEM).

    `certificate_file` and `key_file` (PEM, both or neither) prove the client to a server that wants that.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC. Raises OSError if a file cannot be read."""
        files = (self.ca_file, self.key_file, self.certificate_file)
        return grpc.ssl_channel_credentials(*(file.read_bytes() if file else None for file in files))


def channel_credentials(tls: Tls | None, token: str | None) -> grpc.ChannelCredentials | None:
    """What a channel needs for TLS and a bearer token; None for neither. Raises ValueError for a token without TLS."""
    if token and not tls:
        raise ValueError("a token needs TLS, or everybody on the way could read it")
    if not tls:
        return None
    credentials = tls.credentials()
    if token:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    return credentials
