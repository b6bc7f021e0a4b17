"""What a panel draws: its series with their names, its colours, and its values as text."""

import re
from dataclasses import dataclass

from deploy.grafana.panels import Json, Series
from deploy.grafana.units import write

# Grafana's names of colours, and the order in which it gives them to series.
COLORS = {
    **{"green": "#56a64b", "red": "#e02f44", "orange": "#ff780a", "yellow": "#e0b400", "blue": "#3274d9"},
    **{"text": "#52545c"},
}
PALETTE = ("#56a64b", "#e0b400", "#3274d9", "#ff780a", "#e02f44", "#8f3bb8", "#1f9ea5", "#a16a3c")


@dataclass(frozen=True)
class Line:
    """One series and its name in the legend."""

    name: str
    series: Series

    @property
    def last(self) -> float:
        """The newest value."""
        return self.series.points[-1][1]

    @property
    def times(self) -> list[float]:
        """When each value was."""
        return [at for at, _ in self.series.points]

    @property
    def values(self) -> list[float]:
        """The values."""
        return [value for _, value in self.series.points]


def name_of(series: Series, legend: str) -> str:
    """A legend's format filled in with labels, as `{{code}}`."""
    return re.sub(r"{{(\w+)}}", lambda match: series.labels.get(match[1], ""), legend)


def defaults_of(panel: Json) -> Json:
    """The panel's settings for all of its series."""
    defaults: Json = panel["fieldConfig"]["defaults"]
    return defaults


def overrides_of(panel: Json, name: str) -> Json:
    """The panel's settings for one series alone."""
    found: Json = {}
    for override in panel["fieldConfig"]["overrides"]:
        if re.fullmatch(override["matcher"]["options"], name):
            found |= {setting["id"]: setting["value"] for setting in override["properties"]}
    return found


def text_of(panel: Json, value: float) -> str:
    """A value as the panel writes it, by its mappings and its unit."""
    defaults = defaults_of(panel)
    for mapping in defaults.get("mappings", ()):
        if mapping["type"] == "value" and f"{value:g}" in mapping["options"]:
            return str(mapping["options"][f"{value:g}"]["text"])
        if mapping["type"] == "special" and value != value:
            return str(mapping["options"]["result"]["text"])
    return write(value, defaults["unit"], defaults.get("decimals"))


def color_of(panel: Json, value: float) -> str:
    """The colour of the highest threshold that a value has reached."""
    steps = defaults_of(panel)["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLORS[reached[-1] if value == value else "text"]
