"""Panels that draw series over time, or buckets."""

import math
import time

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from deploy.grafana.lines import COLORS, PALETTE, Line, color_of, defaults_of, overrides_of, text_of
from deploy.grafana.panels import Json
from deploy.grafana.units import write

_TICKS = (60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800)  # seconds from one to the next
_MOST_TICKS = 8
_LETTER, _MARK, _ROW = 0.055, 0.35, 0.14  # inches that a legend takes: a letter, what stands before a name, a row
_BELOW = 0.2  # inches from the axes down to the legend


def time_axis(axes: Axes, start: float, end: float) -> None:
    """Round times below the axes."""
    apart = next(step for step in _TICKS if (end - start) / step <= _MOST_TICKS)
    axes.set_xlim(start, end)
    axes.set_xticks(np.arange(start + -start % apart, end, apart))
    axes.xaxis.set_major_formatter(lambda at, _: time.strftime("%H:%M", time.gmtime(at)))


def timeseries(axes: Axes, panel: Json, lines: list[Line]) -> None:
    """Lines, or layers where they are stacked."""
    base: dict[float, float] = {}
    stacked = "stacking" in defaults_of(panel).get("custom", {})
    for line, color in zip(lines, PALETTE * len(lines), strict=False):
        own = overrides_of(panel, line.name)
        paint = COLORS.get(own.get("color", {}).get("fixedColor", ""), color)
        if stacked and "custom.stacking" not in own:
            _stack(axes, line, paint, base)
        else:
            dashed = "--" if "custom.lineStyle" in own else "-"
            axes.plot(line.times, line.values, dashed, color=paint, linewidth=1.2, label=line.name)
    _scale(axes, panel)
    _legend(axes, [line.name for line in lines])


def _stack(axes: Axes, line: Line, paint: str, base: dict[float, float]) -> None:
    """One layer upon those before it, which `base` has by time."""
    below = [base.get(at, 0.0) for at in line.times]
    above = [low + value for low, value in zip(below, line.values, strict=True)]
    base.update((at, high) for at, high in zip(line.times, above, strict=True) if not math.isnan(high))
    axes.fill_between(line.times, below, above, color=paint, alpha=0.3, linewidth=0)
    axes.plot(line.times, above, color=paint, linewidth=1, label=line.name)


def _scale(axes: Axes, panel: Json) -> None:
    """The vertical axis: its scale, its limits, and lines at the thresholds."""
    defaults, custom = defaults_of(panel), defaults_of(panel).get("custom", {})
    scale = custom.get("scaleDistribution", {}).get("type", "linear")
    axes.set_yscale(scale, **({"linthresh": 1} if scale == "symlog" else {}))
    if scale != "log":
        axes.set_ylim(bottom=defaults.get("min"))
    if "thresholdsStyle" in custom:
        steps, highest = defaults["thresholds"]["steps"][1:], axes.get_ylim()[1]
        for step in steps:
            axes.axhline(step["value"], color=COLORS[step["color"]], linestyle=(0, (6, 4)), linewidth=0.8)
        axes.set_ylim(top=max(highest, 1.05 * steps[0]["value"]))
    if defaults["unit"] == "bytes":
        axes.set_yticks(np.arange(0, axes.get_ylim()[1], 2**28))
    axes.yaxis.set_major_formatter(lambda value, _: write(value, defaults["unit"]))
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.grid(axis="y", color="#eeeeee")


def _legend(axes: Axes, names: list[str]) -> None:
    """Names in as many columns as there is room for; the axes make room for more than one row."""
    figure, box = axes.get_figure(root=True), axes.get_position()
    assert figure is not None
    wide, high = figure.get_size_inches()
    columns = max(1, int(box.width * wide / (_MARK + _LETTER * max(map(len, names)))))
    more = _ROW * (math.ceil(len(names) / columns) - 1) / high
    axes.set_position((box.x0, box.y0 + more, box.width, box.height - more))
    below = _BELOW / (high * (box.height - more))
    axes.legend(
        **{"loc": "upper center", "bbox_to_anchor": (0.5, -below), "ncols": columns, "fontsize": 7, "frameon": False},
        **{"handlelength": 1, "columnspacing": 1.2, "labelspacing": 0.2, "borderpad": 0},
    )


def _counts(lines: list[Line]) -> tuple[list[str], list[float], "np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """The buckets' names in order, the times, and what is in each bucket alone, (bucket, time)."""
    ordered = sorted(lines, key=lambda line: float(line.name))
    times = sorted({at for line in ordered for at in line.times})
    found = [dict(line.series.points) for line in ordered]
    table = np.array([[values.get(at, 0.0) for at in times] for values in found])
    return [line.name for line in ordered], times, np.diff(np.nan_to_num(table), axis=0, prepend=0.0)


def heatmap(axes: Axes, panel: Json, lines: list[Line]) -> None:
    """Buckets over time: those in use and one around them, each named at its upper end."""
    names, times, counts = _counts(lines)
    used = np.flatnonzero(counts.max(axis=1) > 0)
    low, high = max(0, used.min() - 1), min(len(names), used.max() + 2)
    shown = np.where(counts > 1e-9, counts, np.nan)[low:high]
    axes.pcolormesh(times, range(high - low), shown, cmap="Oranges", norm=PowerNorm(0.5), shading="nearest")
    unit, every = panel["options"]["yAxis"]["unit"], 1 + (high - low) // 12
    labels = [name if name == "+Inf" else write(float(name), unit) for name in names[low:high:every]]
    axes.set_yticks(np.arange(0, high - low, every) + 0.5, labels)


def bargauge(axes: Axes, panel: Json, lines: list[Line]) -> None:
    """One bar a bucket."""
    names, _, counts = _counts(lines)
    axes.bar(names, counts[:, -1], width=0.85, color=COLORS[defaults_of(panel)["color"]["fixedColor"]])
    axes.tick_params(axis="x", rotation=60)
    axes.yaxis.set_major_formatter(lambda value, _: write(value, "short"))


def state_timeline(axes: Axes, panel: Json, lines: list[Line]) -> None:
    """One row a series, its colour by its value."""
    back = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.5}
    for row, line in enumerate(lines):
        step = min(np.diff(line.times), default=1.0)
        colors = [color_of(panel, value) for value in line.values]
        axes.barh([row] * len(colors), step, left=line.times, height=0.7, color=colors)
        text = f"{line.name}: {text_of(panel, line.last)}"
        axes.text(0.01, row, text, va="center", fontsize=7, transform=axes.get_yaxis_transform(), bbox=back)
    axes.set_yticks([])
    axes.set_ylim(len(lines) - 0.4, -0.6)
