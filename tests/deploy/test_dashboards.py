"""The dashboard asks for what the service has, and says what it shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.metrics import Metrics

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "sentiment.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = DASHBOARD["templating"]["list"]

# What one metric of a type is called once it is scraped.
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}

# What is no metric in a query: labels and what is grouped by them, durations, strings, functions and operators.
NOT_METRICS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\w+ (?:by|without) \([^)]*\)|\b(?:by|without) \([^)]*\)|\w+\(|\b(?:and|or|unless)\b'
)

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def queries(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z_:][\w:]*", NOT_METRICS.sub(" ", query)))


def scraped_names() -> Iterator[str]:
    for family in Metrics().registry.collect():
        for suffix in SUFFIXES[family.type]:
            yield family.name + suffix


@each_panel
def test_every_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert queries(panel)
    if panel["options"].get("textMode") != "name":  # such a panel shows labels, no value
        assert panel["fieldConfig"]["defaults"]["unit"]


@each_panel
def test_every_metric_exists(panel: dict[str, Any]) -> None:
    for query in queries(panel):
        metrics = metrics_in(query)
        assert metrics, f"no metric found in {query}"
        assert metrics <= set(scraped_names())


@each_panel
def test_rates_follow_the_scrape_interval(panel: dict[str, Any]) -> None:
    for query in queries(panel):
        assert set(re.findall(r"\[(.*?)\]", query)) <= {"$__rate_interval"}


def test_every_metric_of_the_service_is_shown() -> None:
    shown = {metric for panel in PANELS for query in queries(panel) for metric in metrics_in(query)}
    for family in Metrics().registry.collect():
        if family.name.startswith("sentiment_"):
            assert shown & {family.name + suffix for suffix in SUFFIXES[family.type]}, f"{family.name} is not shown"


def test_variables_exist() -> None:
    used = {name for panel in PANELS for query in queries(panel) for name in re.findall(r"\$(\w+)", query)}
    assert used - {"__rate_interval"} == {variable["name"] for variable in VARIABLES}


def test_the_data_source_is_the_provisioned_one() -> None:
    provisioned = (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    uids = {source["datasource"]["uid"] for source in [*PANELS, *VARIABLES]}
    assert uids == set(re.findall(r"^ +uid: (\S+)", provisioned, re.MULTILINE))


def test_ids_are_unique() -> None:  # Grafana would number the panels anew, and links to them would break
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
