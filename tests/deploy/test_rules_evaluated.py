"""A real Prometheus reads the shipped configuration and evaluates its rules over a real service."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from service.client import SentimentClient
from service.metrics import Metrics
from tests.deploy.test_rules import ALERTS, CONFIG, RECORDING, RUNBOOK
from tests.service.running import serving

# What one metric of a type is called once it is scraped.
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
# What is no metric in a query: labels and what is grouped by them, strings, durations, functions, operators, numbers.
NOT_METRICS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|(?:\w+ by|on|group_left) \([^)]*\)|\w+ ?\(|\b(?:and|or)\b|(?<![\w:])[\d.]+'
)

TARGET = """\
scrape_configs:
  - job_name: sentiment
    static_configs: [{{targets: ["127.0.0.1:{http_port}"]}}]
"""

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None and "CI" not in os.environ,
    reason="needs the program prometheus (Debian: apt install prometheus)",
)


class Prometheus:
    """A running Prometheus, asked through its API."""

    def __init__(self, port: int) -> None:
        self._api = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer."""
        with urllib.request.urlopen(f"{self._api}/{path}?{urllib.parse.urlencode(parameters)}", timeout=5) as response:
            return json.load(response)["data"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as Prometheus read it, and how its last evaluation went; none while it is not up."""
        try:
            return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]
        except urllib.error.URLError:
            return []

    def recorded(self) -> set[str]:
        """The names of its recording rules."""
        return {rule["name"] for rule in self.rules() if rule["type"] == "recording"}


def free_port() -> int:
    """A port that was free a moment ago: Prometheus cannot choose one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The shipped configuration, only more often, over a service that is asked until everything is recorded."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(CONFIG / "rules", folder / "rules")
    config = re.sub(r"_interval: \d+s", "_interval: 1s", (CONFIG / "prometheus.yml").read_text())
    config, _, _ = config.partition("scrape_configs:")  # there is no DNS here that knows the service
    port = free_port()
    files = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command = ["prometheus", *files, f"--web.listen-address=127.0.0.1:{port}"]
    with serving("--model-version", "all") as server, SentimentClient(server.target) as client:
        (folder / "prometheus.yml").write_text(config + TARGET.format(http_port=server.http_port))
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                started = Prometheus(port)
                deadline = time.monotonic() + 60
                while not (names := started.recorded()) or names - set(started.get("label/__name__/values")):
                    assert process.poll() is None and time.monotonic() < deadline, "not all is recorded"
                    client.classify("I loved it.")
                    time.sleep(0.1)
                yield started
            finally:
                process.terminate()


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z_:][\w:]*", NOT_METRICS.sub(" ", query)))


def scraped_names() -> Iterator[str]:
    for family in Metrics().registry.collect():
        for suffix in SUFFIXES[family.type]:
            yield family.name + suffix


def test_every_rule_evaluates(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    assert len(rules) == len(re.findall(r"- (?:alert|record): ", ALERTS + RECORDING))
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}


def test_every_metric_exists(prometheus: Prometheus) -> None:
    known = {"up", *scraped_names(), *prometheus.recorded()}
    for query in [*(rule["query"] for rule in prometheus.rules()), *re.findall(r"```promql\n(.*?)```", RUNBOOK, re.S)]:
        metrics = metrics_in(query)
        assert metrics and metrics <= known, query


def test_every_alert_says_what_to_do(prometheus: Prometheus) -> None:
    for alert in (rule for rule in prometheus.rules() if rule["type"] == "alerting"):
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"].keys() == {"summary", "description", "runbook"}
        assert "$value" in alert["annotations"]["description"]


def test_nothing_is_wrong_with_a_healthy_service(prometheus: Prometheus) -> None:
    assert prometheus.get("alerts")["alerts"] == []


def test_alertmanager_is_told(prometheus: Prometheus) -> None:
    (manager,) = prometheus.get("alertmanagers")["activeAlertmanagers"]
    assert manager["url"] == "http://alertmanager:9093/api/v2/alerts"
