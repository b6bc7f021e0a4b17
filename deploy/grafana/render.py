"""The dashboards as pictures, from a running Prometheus, for docs/dashboards.md.

python deploy/grafana/render.py --prometheus http://localhost:9090 --out docs/dashboards --minutes 5
"""

import argparse
import time
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deploy.grafana.draw import draw
from deploy.grafana.lines import Line, name_of
from deploy.grafana.panels import Json, Prometheus, Series, Span, choices, fill, read_dashboards

WIDTH, HEIGHT = 0.72, 0.36  # inches of one step of the grid
POINTS = 240  # of a line
# Steps of the grid that are left free for the scale on the left, and for times and legend below.
_MARGINS = {"timeseries": (1.1, 1.7), "heatmap": (1.1, 0.9), "bargauge": (1.1, 1.3)}
SCRAPE_INTERVAL = 5  # seconds, as in deploy/prometheus/prometheus.yml


def render(name: str, dashboard: Json, prometheus: Prometheus, span: Span, out: Path) -> Path:
    """Draw one dashboard; returns the picture's path."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) + 1
    figure = Figure(figsize=(24 * WIDTH, rows * HEIGHT), facecolor="#f4f5f5")
    figure.text(0.01, 1 - 0.5 / rows, dashboard["title"], fontsize=16, va="center", weight="bold")
    chosen = {name: values[0] for name, values in choices(dashboard, prometheus, span).items()}
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            _row(figure, panel, rows)
        else:
            axes = _place(figure, panel, rows)
            draw(axes, panel, _lines(panel, dashboard, prometheus, chosen, span), span.start, span.end)
    path = out / f"{name}.png"
    figure.savefig(path, dpi=90, metadata={"Software": None})
    return path


def _lines(panel: Json, dashboard: Json, prometheus: Prometheus, chosen: dict[str, str], span: Span) -> list[Line]:
    """What the panel's queries answer."""
    lines = []
    for target in panel["targets"]:
        query = fill(target["expr"], dashboard, chosen, span)
        found: list[Series] = prometheus.at(query, span.end) if target["instant"] else prometheus.over(query, span)
        lines += [Line(name_of(series, target.get("legendFormat", "")), series) for series in found]
    return lines


def _row(figure: Figure, row: Json, rows: int) -> None:
    figure.text(0.01, 1 - (row["gridPos"]["y"] + 1.6) / rows, row["title"], fontsize=11, va="center")


def _place(figure: Figure, panel: Json, rows: int) -> Axes:
    """Axes within the panel's part of the grid, with room for its title, scale and legend."""
    place = panel["gridPos"]
    left, top, width, height = place["x"] / 24, (place["y"] + 1) / rows, place["w"] / 24, place["h"] / rows
    gap = 0.003
    back = figure.add_axes((left + gap, 1 - top - height + gap, width - 2 * gap, height - 2 * gap), facecolor="white")
    back.set(xticks=[], yticks=[])
    for side in back.spines.values():
        side.set_color("#dddddd")
    back.text(0.08 / place["w"], 1 - 0.6 / place["h"], panel["title"], fontsize=9, weight="bold", va="center")
    scale, bottom = _MARGINS.get(panel["type"], (0.2, 0.7))
    head = 1.2 / rows
    inside = (
        left + scale / 24,
        1 - top - height + bottom / rows,
        width - (scale + 0.25) / 24,
        height - bottom / rows - head,
    )
    return figure.add_axes(inside)


def main() -> None:
    """Draw every dashboard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://localhost:9090", help="its URL (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/dashboards"), help="folder (%(default)s)")
    parser.add_argument("--minutes", type=float, default=5, help="time to show (%(default)s)")
    parser.add_argument("--end", type=float, default=time.time(), help="the last second to show, in Unix time (now)")
    arguments = parser.parse_args()
    end = arguments.end
    step = max(SCRAPE_INTERVAL, 60 * arguments.minutes / POINTS)
    span = Span(end - 60 * arguments.minutes, end, step, SCRAPE_INTERVAL)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, dashboard in read_dashboards().items():
        print(render(name, dashboard, Prometheus(arguments.prometheus), span, arguments.out))


if __name__ == "__main__":
    main()
