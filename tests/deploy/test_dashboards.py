"""The dashboards ask for what there is, and say what they show. test_panels.py asks a real Prometheus."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from urllib.parse import urlparse

import pytest

from deploy.grafana.panels import Json, panels_of, read_dashboards
from service.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
COMPOSE = (DEPLOY.parent / "docker-compose.yml").read_text()
DASHBOARDS = read_dashboards()
PANELS = [panel for dashboard in DASHBOARDS.values() for panel in panels_of(dashboard)]
BY_UID = {dashboard["uid"]: dashboard for dashboard in DASHBOARDS.values()}

# What one metric of a type is called once it is scraped.
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
# Of Prometheus itself: whether a scrape went well, and which alerts there are.
OF_PROMETHEUS = {"up", "ALERTS"}

# What is no metric in a query: labels and what is grouped by them, durations, strings, functions and operators.
NOT_METRICS = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\w+ (?:by|without) \([^)]*\)|\b(?:by|without|on|ignoring|group_left) \([^)]*\)|\w+\(|'
    r"\b(?:and|or|unless)\b"
)

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def queries(panel: Json) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z_:][\w:]*", NOT_METRICS.sub(" ", query)))


def scraped_names() -> Iterator[str]:
    for family in Metrics().registry.collect():
        for suffix in SUFFIXES[family.type]:
            yield family.name + suffix


def recorded_names() -> set[str]:
    rules = "".join(path.read_text() for path in (DEPLOY / "prometheus" / "rules").glob("*.yml"))
    return set(re.findall(r"- record: (\S+)", rules))


@each_panel
def test_every_panel_says_what_it_shows(panel: Json) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert queries(panel)
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    values = [step["value"] for step in defaults["thresholds"]["steps"]]
    assert values[0] is None  # from there down; Grafana colours nothing without it
    assert values[1:] == sorted(values[1:])


@each_panel
def test_every_metric_exists(panel: Json) -> None:
    for query in queries(panel):
        metrics = metrics_in(query)
        assert metrics, f"no metric found in {query}"
        assert metrics <= {*OF_PROMETHEUS, *scraped_names(), *recorded_names()}


@each_panel
def test_rates_follow_the_scrape_interval(panel: Json) -> None:
    for query in queries(panel):
        for function, metric, window in re.findall(r"(\w+)\(([\w:]+)\{[^}]*\}\[(.*?)\]\)", query):
            if function == "sum_over_time":  # of what rules have recorded, over the time of the objectives
                assert metric in recorded_names() and window == "30d"
            else:
                assert window == ("$__range" if panel["type"] == "bargauge" else "$__rate_interval")
        assert len(re.findall(r"\[", query)) == len(re.findall(r"\w\([\w:]+\{[^}]*\}\[", query))  # none overlooked


@each_panel
def test_every_panel_shows_the_job_that_was_chosen(panel: Json) -> None:
    for query in queries(panel):
        selectors = re.findall(r"\{([^}]*)\}", query)
        assert selectors and all('job="$job"' in selector for selector in selectors), query


@each_panel
def test_histograms_are_told_apart_from_lines(panel: Json) -> None:
    """Grafana takes a histogram's cumulated buckets apart only where the format says so."""
    buckets = panel["type"] in ("heatmap", "bargauge")
    for target in panel["targets"]:
        assert (target.get("format") == "heatmap") == buckets
        assert (target.get("legendFormat") == "{{le}}") == buckets
        assert target["instant"] != target["range"]


def test_every_metric_of_the_service_is_shown() -> None:
    shown = {metric for panel in PANELS for query in queries(panel) for metric in metrics_in(query)}
    for family in Metrics().registry.collect():
        if family.name.startswith("sentiment_"):
            assert shown & {family.name + suffix for suffix in SUFFIXES[family.type]}, f"{family.name} is not shown"


def test_nothing_is_shown_twice() -> None:
    shown = [(panel["type"], *queries(panel)) for panel in PANELS]
    assert len(shown) == len(set(shown))
    assert len({panel["title"] for panel in PANELS}) == len({panel["description"] for panel in PANELS}) == len(PANELS)


@each_dashboard
def test_variables_exist(dashboard: Json) -> None:
    variables = dashboard["templating"]["list"]
    asked = [query for panel in panels_of(dashboard) for query in queries(panel)]
    asked += [variable["query"]["query"] for variable in variables]
    used = {name for query in asked for name in re.findall(r"\$(\w+)", query)}
    assert used - {"__rate_interval", "__range"} == {variable["name"] for variable in variables}
    for variable in variables:
        assert variable["definition"] == variable["query"]["query"]  # Grafana shows one and asks the other


@each_dashboard
def test_the_data_source_is_the_provisioned_one(dashboard: Json) -> None:
    provisioned = (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    uids = {source["datasource"]["uid"] for source in [*panels_of(dashboard), *dashboard["templating"]["list"]]}
    assert uids == set(re.findall(r"^ +uid: (\S+)", provisioned, re.MULTILINE))


@each_dashboard
def test_ids_are_unique(dashboard: Json) -> None:  # Grafana would number the panels anew, and links would break
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert len(BY_UID) == len(DASHBOARDS)
    assert "id" not in dashboard  # that of a database, not of a file


@each_dashboard
def test_panels_do_not_overlap(dashboard: Json) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = [one[at] + one[size] <= other[at] or other[at] + other[size] <= one[at] for at, size in ("xw", "yh")]
        assert any(apart), (one, other)


@each_dashboard
def test_it_links_to_the_others(dashboard: Json) -> None:
    linked = {urlparse(link["url"]).path.removeprefix("/d/"): link for link in dashboard["links"]}
    assert linked.keys() == BY_UID.keys() - {dashboard["uid"]}
    for uid, link in linked.items():
        assert link["title"] == BY_UID[uid]["title"]
        assert link["includeVars"] and link["keepTime"]


def test_the_first_is_the_home_dashboard() -> None:
    (home,) = re.findall(r"HOME_DASHBOARD_PATH: /etc/grafana/dashboards/(\S+)", COMPOSE)
    assert json.loads((GRAFANA / "dashboards" / home).read_text())["uid"] == "sentiment-health"


@each_dashboard
def test_the_page_of_the_docs_shows_it(dashboard: Json) -> None:
    page = (DEPLOY.parent / "docs" / "dashboards.md").read_text()
    assert f"## {dashboard['title']}" in page
    (name,) = [name for name, one in DASHBOARDS.items() if one is dashboard]
    assert f"(dashboards/{name}.png)" in page
    assert (DEPLOY.parent / "docs" / "dashboards" / f"{name}.png").exists()
