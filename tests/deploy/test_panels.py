"""Every query of every panel, as Grafana sends it, answered by a real Prometheus that has watched a real service."""

import math
import re

import pytest

from deploy.grafana.panels import Json, Series, choices, fill, panels_of, read_dashboards
from tests.deploy.conftest import Scraped

Offered = dict[str, dict[str, list[str]]]  # by dashboard and variable

DASHBOARDS = read_dashboards()
TARGETS = [
    pytest.param(dashboard, target | {"panel": panel["title"]}, id=f"{name}, {panel['title']}, {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in panels_of(dashboard)
    for target in panel["targets"]
]
# Rightly empty where one method alone is chosen: a code that none of its requests ended with has no series.
EMPTY_FOR_ONE = {("Failed", "B")}
# Of each variable, all values and the first one alone.
each_choice = pytest.mark.parametrize("index", [0, 1], ids=["all", "one"])


@pytest.fixture(scope="module")
def offered(scraped: Scraped) -> Offered:
    """The values that the variables offer, by dashboard."""
    return {one["uid"]: choices(one, scraped.prometheus, scraped.span) for one in DASHBOARDS.values()}


def choose(offered: dict[str, list[str]], index: int) -> dict[str, str]:
    return {name: values[min(index, len(values) - 1)] for name, values in offered.items()}


def has_value(found: list[Series]) -> bool:
    return any(math.isfinite(value) for series in found for _, value in series.points)


@each_choice
@pytest.mark.parametrize(("dashboard", "target"), TARGETS)
def test_every_query_is_answered(dashboard: Json, target: Json, index: int, scraped: Scraped, offered: Offered) -> None:
    query = fill(target["expr"], dashboard, choose(offered[dashboard["uid"]], index), scraped.span)
    found = scraped.prometheus.over(query, scraped.span)
    assert has_value(found) or (index and (target["panel"], target["refId"]) in EMPTY_FOR_ONE), query
    if target["instant"]:
        assert has_value(scraped.prometheus.at(query, scraped.span.end)), query


@pytest.mark.parametrize(("dashboard", "target"), TARGETS)
def test_every_series_has_a_name_of_its_own(dashboard: Json, target: Json, scraped: Scraped, offered: Offered) -> None:
    query = fill(target["expr"], dashboard, choose(offered[dashboard["uid"]], 0), scraped.span)
    labels = re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))
    found = scraped.prometheus.over(query, scraped.span)
    if target.get("format") != "table":
        names = [tuple(series.labels[label] for label in labels) for series in found]
        assert len(names) == len(set(names)), names


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_variables_offer_what_there_is(dashboard: Json, offered: Offered) -> None:
    found = offered[dashboard["uid"]]
    assert found["job"] == ["sentiment"]
    assert len(found["instance"]) == 2
    if "method" in found:
        assert {"Classify", "ClassifyBatch", "ClassifyStream", "ModelInfer"} <= set(found["method"])
    if "version" in found:
        assert {"1", "2"} <= set(found["version"])
