"""A real Prometheus reads the shipped configuration and evaluates its rules over a real service."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.grafana.panels import Prometheus
from service.client import SentimentClient
from service.metrics import Metrics
from tests.deploy.conftest import PATIENCE, running_prometheus
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


def rules_of(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Every rule as Prometheus read it, and how its last evaluation went."""
    return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]


def recorded_by(prometheus: Prometheus) -> set[str]:
    """The names of its recording rules."""
    return {rule["name"] for rule in rules_of(prometheus) if rule["type"] == "recording"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The shipped configuration, only more often, over a service that is asked until everything is recorded."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(CONFIG / "rules", folder / "rules")
    config = re.sub(r"_interval: \d+s", "_interval: 1s", (CONFIG / "prometheus.yml").read_text())
    config, _, _ = config.partition("scrape_configs:")  # there is no DNS here that knows the service
    with serving("--model-version", "all") as server, SentimentClient(server.target) as client:
        (folder / "prometheus.yml").write_text(config + TARGET.format(http_port=server.http_port))
        with running_prometheus(folder) as started:
            deadline = time.monotonic() + PATIENCE
            while not (names := recorded_by(started)) or names - set(started.get("label/__name__/values")):
                assert time.monotonic() < deadline, "not all is recorded"
                client.classify("I loved it.")
                time.sleep(0.1)
            yield started


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z_:][\w:]*", NOT_METRICS.sub(" ", query)))


def scraped_names() -> Iterator[str]:
    for family in Metrics().registry.collect():
        for suffix in SUFFIXES[family.type]:
            yield family.name + suffix


def test_every_rule_evaluates(prometheus: Prometheus) -> None:
    rules = rules_of(prometheus)
    assert len(rules) == len(re.findall(r"- (?:alert|record): ", ALERTS + RECORDING))
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}


def test_every_metric_exists(prometheus: Prometheus) -> None:
    known = {"up", *scraped_names(), *recorded_by(prometheus)}
    for query in [
        *(rule["query"] for rule in rules_of(prometheus)),
        *re.findall(r"```promql\n(.*?)```", RUNBOOK, re.S),
    ]:
        metrics = metrics_in(query)
        assert metrics and metrics <= known, query


def test_every_alert_says_what_to_do(prometheus: Prometheus) -> None:
    for alert in (rule for rule in rules_of(prometheus) if rule["type"] == "alerting"):
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"].keys() == {"summary", "description", "runbook"}
        assert "$value" in alert["annotations"]["description"]


def test_nothing_is_wrong_with_a_healthy_service(prometheus: Prometheus) -> None:
    assert prometheus.get("alerts")["alerts"] == []


def test_alertmanager_is_told(prometheus: Prometheus) -> None:
    (manager,) = prometheus.get("alertmanagers")["activeAlertmanagers"]
    assert manager["url"] == "http://alertmanager:9093/api/v2/alerts"
