"""A real Prometheus scrapes a real service and answers for every stage."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import SentimentClient
from tests.service.running import serving

PROMETHEUS = shutil.which("prometheus")
STAGES = ("request", "tokenize", "queue", "inference")

CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: sentiment
    static_configs: [{{targets: ["127.0.0.1:{http_port}"]}}]
"""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    def query(self, expression: str) -> list[float]:
        """The values of an instant query, NaN left out; empty while it is not up."""
        url = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                result = json.load(response)["data"]["result"]
        except urllib.error.URLError:
            return []
        return [value for sample in result if (value := float(sample["value"][1])) == value]


def free_port() -> int:
    """A port that was free a moment ago: Prometheus cannot choose one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """Scrapes a service that is being asked all the while."""
    if PROMETHEUS is None:
        if "CI" in os.environ:
            pytest.fail("CI must have the program prometheus; .ci/run installs it")
        pytest.skip("needs the program prometheus (Debian: apt install prometheus)")
    with serving() as server, SentimentClient(server.target) as client:
        (tmp_path / "prometheus.yml").write_text(CONFIG.format(http_port=server.http_port))
        address = f"127.0.0.1:{free_port()}"
        command = [
            PROMETHEUS,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            started = Prometheus(address)
            deadline = time.monotonic() + 60
            while len(started.query("increase(sentiment_request_duration_seconds_count[1m]) > 10")) < 2:
                assert process.poll() is None and time.monotonic() < deadline
                list(client.classify_many(f"film number {number} was good" for number in range(64)))
                client.classify("I loved it.")
                time.sleep(0.1)
            yield started
            process.terminate()


def test_prometheus_answers_percentiles_of_every_stage(prometheus: Prometheus) -> None:
    assert prometheus.query('up{job="sentiment"}') == [1]
    for stage in STAGES:
        for quantile in (0.5, 0.99):
            buckets = f"sum by (le) (rate(sentiment_{stage}_duration_seconds_bucket[1m]))"
            (seconds,) = prometheus.query(f"histogram_quantile({quantile}, {buckets})")
            assert 0 < seconds < 10
