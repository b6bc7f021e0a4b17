"""The report's pictures, each one question."""

import itertools
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from export.behaviour import Behaviour
from export.checkpoint import Checkpoint

matplotlib.use("Agg")  # no screen needed

Probabilities = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_BLUE, _ORANGE, _GREY = "#2f6db3", "#d9822b", "#9a9a9a"
SIZE = (5.2, 4.2)  # inches
LENGTH_EDGES = (0, 100, 150, 200, 250, 300, 400, 500, 10_000)  # tokens of the whole review


def save(path: Path, draw: Callable[[Axes], None], size: tuple[float, float] = SIZE) -> None:
    """Draw on fresh axes and write a PNG."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    figure.savefig(path, dpi=110)


def roc(axes: Axes, probabilities: Probabilities, labels: Labels) -> None:
    """True against false positives at every threshold, with the area under the curve."""
    order = np.argsort(-probabilities, kind="stable")
    hits = np.append(0, np.cumsum(labels[order])) / labels.sum()
    false_alarms = np.append(0, np.cumsum(1 - labels[order])) / (1 - labels).sum()
    axes.plot(false_alarms, hits, color=_BLUE, label=f"area under the curve {np.trapezoid(hits, false_alarms):.4f}")
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="chance")
    axes.set(xlabel="share of negative reviews called positive", ylabel="share of positive reviews found")
    axes.legend(loc="lower right", frameon=False)


def reliability(axes: Axes, probabilities: Probabilities, labels: Labels, bins: int = 15) -> None:
    """Observed share of positives against the predicted one, by bins of equal width; dots are as large as their bin."""
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    held = counts > 0
    predicted = np.bincount(which, probabilities, minlength=bins)[held] / counts[held]
    observed = np.bincount(which, labels, minlength=bins)[held] / counts[held]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="perfectly calibrated")
    axes.plot(predicted, observed, color=_BLUE, linewidth=1)
    axes.scatter(predicted, observed, s=12 + 400 * counts[held] / counts.max(), color=_BLUE, alpha=0.6)
    axes.set(xlabel="predicted probability of being positive", ylabel="observed share of positive reviews")
    axes.legend(loc="upper left", frameon=False)


def accuracy_by_length(axes: Axes, probabilities: Probabilities, labels: Labels, tokens: Labels) -> None:
    """Bars with a binomial standard error, and how many reviews each stands for."""
    right = (probabilities >= 0.5) == labels
    which = np.digitize(tokens, LENGTH_EDGES) - 1
    for place in range(len(LENGTH_EDGES) - 1):
        chosen = right[which == place]
        if len(chosen):
            share = chosen.mean()
            error = np.sqrt(share * (1 - share) / len(chosen))
            axes.bar(place, share, yerr=error, color=_BLUE, alpha=0.8, ecolor="black")
            axes.text(place, 0.805, f"{len(chosen):,}", ha="center", fontsize=7, color="white")
    names = [f"{low}-{high}" for low, high in itertools.pairwise(LENGTH_EDGES)]
    names[0], names[-1] = f"< {LENGTH_EDGES[1]}", f"> {LENGTH_EDGES[-2]}"
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.set(xlabel="tokens of the review", ylabel="accuracy", ylim=(0.8, 1.0))


def learning_curves(axes: Axes, seeds: list[Checkpoint]) -> None:
    """Validation accuracy after each pass, one line a seed."""
    for seed in seeds:
        accuracies = [entry["validation_accuracy"] for entry in seed.history]
        axes.plot([entry["epoch"] for entry in seed.history], accuracies, marker="o", label=f"seed {seed.train.seed}")
    axes.set(xlabel="pass", ylabel="accuracy on held-out films")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def probability_histogram(axes: Axes, probabilities: Probabilities, labels: Labels) -> None:
    """How sure the model is, of positive and of negative reviews."""
    edges = np.linspace(0, 1, 41).tolist()
    axes.hist(probabilities[labels == 1], edges, color=_BLUE, alpha=0.6, label="positive reviews")
    axes.hist(probabilities[labels == 0], edges, color=_ORANGE, alpha=0.6, label="negative reviews")
    axes.set(xlabel="predicted probability of being positive", ylabel="reviews", yscale="log")
    axes.legend(frameon=False)


def confusion(axes: Axes, probabilities: Probabilities, labels: Labels) -> None:
    """Reviews by what they are and what the model says."""
    counts = np.bincount(2 * labels + (probabilities >= 0.5), minlength=4).reshape(2, 2)  # (is, called)
    axes.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(2, 2):
        colour = "white" if row == column else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=14)
    axes.set_xticks([0, 1], ["negative", "positive"])
    axes.set_yticks([0, 1], ["negative", "positive"])
    axes.set(xlabel="the model says", ylabel="the review is")


def suite(axes: Axes, behaviours: dict[str, Behaviour]) -> None:
    """Share of the suite that each model gets right, by group: short texts above, pairs below."""
    names, first = list(behaviours), next(iter(behaviours.values()))
    groups = [f"{group.replace('_', ' ')}, short" for group in first.short_texts_by_group]
    groups += [f"{group.replace('_', ' ')}, pairs" for group in first.pairs_by_group]
    height = 0.8 / len(names)
    for place, (name, colour) in enumerate(zip(names, (_GREY, _BLUE, _ORANGE), strict=False)):
        one = behaviours[name]
        shares = [*one.short_texts_by_group.values(), *one.pairs_by_group.values()]
        axes.barh(np.arange(len(groups)) + place * height, shares, height, color=colour, label=name)
    axes.set_yticks(np.arange(len(groups)) + 0.4 - height / 2, groups, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="share right", xlim=(0, 1))
    axes.legend(frameon=False, loc="lower right", fontsize=8)
