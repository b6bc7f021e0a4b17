"""A real Prometheus that scrapes a real service, often, with the shipped rules."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.grafana.panels import Prometheus, QueryError, Span
from tests.deploy.mixed_load import mixed_load
from tests.service.running import serving

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
SCRAPE_INTERVAL = 2  # seconds
LOAD, RATE = 16.0, 40.0  # seconds: twice the rate interval, which is 4 times the scrape interval; calls a second
PATIENCE = 60.0  # seconds for a machine that is busy with something else
CONFIG = """\
global: {{scrape_interval: {interval}s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: sentiment
    static_configs: [{{targets: ["127.0.0.1:{http_port}"]}}]
"""


@dataclass(frozen=True)
class Scraped:
    """A running Prometheus, and the time for which it has seen a load."""

    prometheus: Prometheus
    span: Span


@pytest.fixture(scope="session")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Prometheus after a load with something of everything on all versions."""
    if shutil.which("prometheus") is None:
        if "CI" in os.environ:
            pytest.fail("CI must have the program prometheus; .ci/run installs it")
        pytest.skip("needs the program prometheus (Debian: apt install prometheus)")
    folder = tmp_path_factory.mktemp("scraped")
    limits = ("--max-queue-size", "128", "--max-texts", "128")
    with serving("--model-version", "all", *limits) as server:
        config = CONFIG.format(interval=SCRAPE_INTERVAL, rules=RULES, http_port=server.http_port)
        (folder / "prometheus.yml").write_text(config)
        with running_prometheus(folder) as prometheus:
            yield Scraped(prometheus, watched_load(prometheus, server.target))


def watched_load(prometheus: Prometheus, target: str) -> Span:
    """Put the load on a server, again if Prometheus missed a scrape at its end; returns the time that it has seen."""
    deadline = time.monotonic() + PATIENCE
    while True:
        start = time.time()
        asyncio.run(mixed_load(target, LOAD, RATE))
        span = Span(start, time.time(), step=1, scrape_interval=SCRAPE_INTERVAL)
        if prometheus.at(f"min_over_time(up[{4 * SCRAPE_INTERVAL}s]) == 1", span.end):
            return span
        assert time.monotonic() < deadline, "Prometheus cannot scrape the service in time"


@contextmanager
def running_prometheus(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus with the configuration in a folder, up; it is gone afterwards."""
    address = f"127.0.0.1:{free_port()}"
    files = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command = ["prometheus", *files, f"--web.listen-address={address}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            prometheus = Prometheus(f"http://{address}")
            deadline = time.monotonic() + 30
            while not scrapes(prometheus):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield prometheus
        finally:
            process.terminate()


def scrapes(prometheus: Prometheus) -> bool:
    """Whether it is up and has reached the service."""
    try:
        return bool(prometheus.at("up == 1", time.time()))
    except (urllib.error.URLError, QueryError):  # not listening yet, or not ready to answer
        return False


def free_port() -> int:
    """A port that was free a moment ago: Prometheus cannot choose one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
