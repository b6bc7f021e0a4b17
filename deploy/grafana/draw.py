"""One panel on one pair of axes: the kinds of panel that the dashboards have."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from deploy.grafana.charts import bargauge, heatmap, state_timeline, time_axis, timeseries
from deploy.grafana.lines import COLORS, Line, color_of, defaults_of, text_of
from deploy.grafana.panels import Json

_TABLE_ROW = 0.22  # inches


def draw(axes: Axes, panel: Json, lines: list[Line], start: float, end: float) -> None:
    """Draw a panel over a time."""
    if lines:
        _KINDS[panel["type"]](axes, panel, lines)
    else:
        _write(axes, defaults_of(panel).get("noValue", "No data"), COLORS["text"], 12)
    if lines and panel["type"] in ("timeseries", "heatmap", "state-timeline"):
        time_axis(axes, start, end)
    axes.tick_params(labelsize=7, length=2, colors=COLORS["text"])
    for side in axes.spines.values():
        side.set_visible(False)


def _write(axes: Axes, text: str, color: str, size: float) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", color=color, fontsize=size, transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def _stat(axes: Axes, panel: Json, lines: list[Line]) -> None:
    color = color_of(panel, lines[0].last)
    _write(axes, text_of(panel, lines[0].last), color, 22)
    if panel["options"]["graphMode"] == "area":
        below = axes.inset_axes((0.0, 0.0, 1.0, 0.25))
        below.fill_between(lines[0].times, lines[0].values, alpha=0.25, color=color)
        below.axis("off")


def _gauge(axes: Axes, panel: Json, lines: list[Line]) -> None:
    value, color = lines[0].last, color_of(panel, lines[0].last)
    share = min(max(value, 0.0), 1.0) if value == value else 0.0
    for end, paint in ((1.0, "#e6e6e6"), (share, color)):
        angles = np.linspace(np.pi, np.pi * (1 - end), 90)
        axes.plot(np.cos(angles), np.sin(angles), color=paint, linewidth=9, solid_capstyle="butt")
    axes.set(aspect="equal", xlim=(-1.3, 1.3), ylim=(-0.1, 1.2))
    axes.text(0, 0.15, text_of(panel, value), ha="center", va="center", color=color, fontsize=14)
    axes.set(xticks=[], yticks=[])


def _table(axes: Axes, panel: Json, lines: list[Line]) -> None:
    options = panel["transformations"][0]["options"]
    columns = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
    cells = [[line.series.labels.get(name) or text_of(panel, line.last) for name in columns] for line in lines]
    header = [options["renameByName"].get(name, name) for name in columns]
    widths = [max(len(row[column]) + 4 for row in [header, *cells]) for column in range(len(header))]
    figure = axes.get_figure(root=True)
    assert figure is not None
    high = _TABLE_ROW * (len(cells) + 1) / (axes.get_position().height * figure.get_size_inches()[1])
    shares = [width / sum(widths) for width in widths]
    place = Bbox.from_bounds(0, 1 - high, 1, high)
    drawn = axes.table(
        cells, cellLoc="left", colLabels=header, colLoc="left", colWidths=shares, bbox=place, edges="horizontal"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    axes.set(xticks=[], yticks=[])


_KINDS: dict[str, Callable[[Axes, Json, list[Line]], None]] = {
    "stat": _stat,
    "gauge": _gauge,
    "table": _table,
    "timeseries": timeseries,
    "heatmap": heatmap,
    "bargauge": bargauge,
    "state-timeline": state_timeline,
}
