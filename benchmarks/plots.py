"""A run's pictures, each one question."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, PercentFormatter, StrMethodFormatter

from benchmarks.figures import EngineCell, Served, UnderLoad
from benchmarks.opening import EMPTY, UNARY
from benchmarks.records import Records
from benchmarks.subject import BASELINE, OURS
from export.plots import save

_BLUE, _ORANGE, _GREY, _PALE = "#2f6db3", "#d9822b", "#9a9a9a", "#9dbfe3"
_COLOURS = {OURS: _BLUE, BASELINE: _ORANGE, EMPTY: _GREY}
_LENGTHS = {50: "#bcd3ec", 100: "#7fabd9", 250: "#2f6db3", 500: "#173a61"}
_NARROW, _WIDE = (6.4, 4.2), (10.0, 4.2)  # inches

THROUGHPUT, LATENCY, COST, ENGINE = "throughput.png", "latency.png", "cost.png", "engine.png"


def draw_all(records: Records, folder: Path) -> list[str]:
    """Those that the run has figures for; returns their file names."""
    pictures: list[tuple[str, type, Callable[[Records, Axes], None]]] = [
        (THROUGHPUT, Served, throughput),
        (LATENCY, UnderLoad, latency),
        (COST, Served, cost),
        (ENGINE, EngineCell, engine),
    ]
    wanted = [(name, draw) for name, kind, draw in pictures if records.of(kind)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in wanted:
        save(folder / name, partial(draw, records), _WIDE if name == ENGINE else _NARROW)
    return [name for name, _ in wanted]


def throughput(records: Records, axes: Axes) -> None:
    """Reviews a second against requests in flight, each round a dot."""
    for server in (OURS, BASELINE):
        rounds = [one for one in records.of(Served) if (one.server, one.method) == (server, UNARY)]
        medians = [one for one in rounds if one.round == 0]
        places, rates = [one.in_flight for one in medians], [one.per_second for one in medians]
        axes.plot(places, rates, color=_COLOURS[server], label=server)
        places, rates = [one.in_flight for one in rounds], [one.per_second for one in rounds]
        axes.scatter(places, rates, s=12, color=_COLOURS[server])
    axes.set(xlabel="Classify calls in flight", ylabel="reviews a second", xscale="log", ylim=(0, None))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    _plain_ticks(axes, sorted({one.in_flight for one in records.of(Served) if one.method == UNARY}))
    axes.legend(frameon=False)


def latency(records: Records, axes: Axes) -> None:
    """Latency, from when a request was due, against the load."""
    loads = [one for one in records.of(UnderLoad) if one.share < 1]
    shares = [one.share for one in loads]
    axes.plot(shares, [one.p50_ms for one in loads], color=_BLUE, marker="o", label="p50")
    axes.plot(shares, [one.p99_ms for one in loads], color=_ORANGE, marker="o", label="p99")
    axes.set(xlabel="load, as a share of capacity", ylabel="latency, ms", ylim=(0, None), xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False, loc="upper left")


def cost(records: Records, axes: Axes) -> None:
    """Where a review's CPU microseconds go at 64 in flight."""
    found = (records.served(*case) for case in ((BASELINE, UNARY, 64), (OURS, UNARY, 64), (EMPTY, EMPTY, 64)))
    bars = [one for one in found if one]
    names = [f"{one.server}\n{one.cpu_us:,.0f} us" for one in bars]
    left = [0.0] * len(bars)
    for label, colour, widths in _parts(bars):
        axes.barh(names, widths, left=left, color=colour, label=label, height=0.55)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="CPU microseconds a review, 64 Classify calls in flight")
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=8)


def engine(records: Records, axes: Axes) -> None:
    """Microseconds a review against the batch: a colour for each length, a line style for each engine."""
    cells = [one for one in records.of(EngineCell) if one.length]
    engines = sorted({(one.precision, one.kernel) for one in cells})
    for (precision, kernel), style in zip(engines, ("--", "-", ":", "-."), strict=False):
        for length in sorted({one.length for one in cells if one.length}):
            chosen = [one for one in cells if (one.precision, one.kernel, one.length) == (precision, kernel, length)]
            axes.plot(
                [one.batch for one in chosen],
                [one.review_us for one in chosen],
                color=_LENGTHS.get(length, _GREY),
                linestyle=style,
                label=f"{precision} by {kernel}, {length} tokens",
            )
    axes.set(xlabel="reviews in a batch", ylabel="microseconds a review", xscale="log", yscale="log")
    _plain_ticks(axes, sorted({one.batch for one in cells}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _parts(bars: list[Served]) -> list[tuple[str, str, list[float]]]:
    # Both are of the main thread; time is not quite CPU, so tokenizing could come out as more than there is.
    tokenizing = [min(one.tokenize_us, one.main_us) for one in bars]
    rest = [one.main_us - part for one, part in zip(bars, tokenizing, strict=True)]
    return [
        ("engine", _ORANGE, [one.engine_us for one in bars]),
        ("event loop: tokenizing", _BLUE, tokenizing),
        ("event loop: the rest", _PALE, rest),
        ("gRPC's own threads", _GREY, [one.others_us for one in bars]),
    ]


def _plain_ticks(axes: Axes, ticks: list[int]) -> None:
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.minorticks_off()
