"""The dashboards' panels, and their queries as Grafana sends them to Prometheus."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parent / "dashboards"
ALL = "$__all"  # what a variable's value is while all of its values are chosen

Json = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """One line of an answer: its labels, and (time, value) pairs, NaN among them."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Span:
    """The time that a dashboard shows, in seconds, and how often Prometheus scrapes."""

    start: float
    end: float
    step: float
    scrape_interval: float

    @property
    def variables(self) -> dict[str, str]:
        """Grafana's own variables, by its rule for the rate interval."""
        rate = max(self.step + self.scrape_interval, 4 * self.scrape_interval)
        return {"__rate_interval": f"{rate:.0f}s", "__range": f"{self.end - self.start:.0f}s"}


class QueryError(Exception):
    """Prometheus refuses a query; the message is its own."""


class Prometheus:
    """A running Prometheus, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str, **parameters: str | float) -> Any:
        """The data of an answer. Raises QueryError, or URLError while it is not up."""
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(f"{error.code}: {error.read().decode()}") from None

    def over(self, query: str, span: Span) -> list[Series]:
        """The answer to a range query."""
        data = self.get("query_range", query=query, start=span.start, end=span.end, step=span.step)
        return [Series(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in data["result"]]

    def at(self, query: str, time: float) -> list[Series]:
        """The answer to an instant query."""
        result = self.get("query", query=query, time=time)["result"]
        return [Series(one["metric"], [(one["value"][0], float(one["value"][1]))]) for one in result]

    def label_values(self, query: str, span: Span) -> list[str]:
        """What Grafana's `label_values(selector, label)` lists."""
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert match, f"not understood: {query}"
        values = self.get(f"label/{match[2]}/values", start=span.start, end=span.end, **{"match[]": match[1]})
        return sorted(values)


def read_dashboards() -> dict[str, Json]:
    """The provisioned dashboards, by the name of their file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels_of(dashboard: Json) -> list[Json]:
    """The panels, without the rows between them."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def choices(dashboard: Json, prometheus: Prometheus, span: Span) -> dict[str, list[str]]:
    """The values that each variable offers, "all" first where it has that; each may depend on those before it."""
    offered: dict[str, list[str]] = {}
    for variable in dashboard["templating"]["list"]:
        chosen = {name: values[0] for name, values in offered.items()}
        query = fill(variable["query"]["query"], dashboard, chosen, span)
        everything = [ALL] if variable.get("includeAll") else []
        offered[variable["name"]] = everything + prometheus.label_values(query, span)
    return offered


def fill(query: str, dashboard: Json, chosen: dict[str, str], span: Span) -> str:
    """The query with its variables replaced. KeyError where it has one that the dashboard lacks."""
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    own = {name: _value(variables[name], value) for name, value in chosen.items()}
    known = span.variables | own
    return re.sub(r"\$(\w+)", lambda match: known[match[1]], query)


def _value(variable: Json, chosen: str) -> str:
    if chosen == ALL:
        return str(variable["allValue"])
    # Where several may be chosen the value stands for a regular expression, and that inside a string.
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", chosen) if variable.get("multi") else chosen
