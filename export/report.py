"""What was measured, for people: one HTML page, its pictures, and the tables that the model card repeats."""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bundle.manifest import BundleError
from bundle.store import load_bundle
from bundle.tokenizer import split
from export import behaviour, plots
from export.assemble import GRAPHS
from export.behaviour import Behaviour
from export.checkpoint import Checkpoint
from export.data import Reviews
from export.metrics import classification_metrics
from export.predict import predict
from export.seeds import load_seeds
from export.verify import OnnxModel, Probabilities, Verification

MISTAKES = 20
WIDE = (7.2, 5.6)  # inches


@dataclass(frozen=True)
class Table:
    """A title, a row of headings and rows of cells."""

    title: str
    headings: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """A section with the table."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        return "\n".join([f"## {self.title}", "", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"

    def to_html(self) -> str:
        """The same."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.headings)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        return f"<h2>{html.escape(self.title)}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>"


def write_report(
    run: Path,
    verifications: list[Verification],
    probabilities: Probabilities,
    test: Reviews,
    baseline: Path,
    teachers: Path,
) -> Path:
    """Write `run/report/`: index.html, its PNG files and tables.md; returns the page's path.

    `probabilities` (reviews,) are the fp32 graph's of the test reviews; `baseline` is a bundle to compare with, and
    `teachers` what the teachers left: both may be missing.
    """
    folder = run / "report"
    folder.mkdir(parents=True, exist_ok=True)
    seeds = load_seeds(run)
    baseline_rows, behaviours = _baseline(baseline, test)
    behaviours |= {f"student, {each.precision}": each.behaviour for each in verifications}
    comparison = Table(
        "Side by side, on the canonical test reviews",
        ["model", "accuracy", "log loss", "calibration", "short texts", "pairs: both, each", "bytes", "us a review"],
        [*_teachers(teachers), *baseline_rows, *(_student(run, each) for each in verifications)],
    )
    tables = [comparison, _seeds(seeds, test), _suite(behaviours)]
    (folder / "tables.md").write_text("\n".join(table.to_markdown() for table in tables))
    pictures = _draw(folder, probabilities, test, seeds, behaviours)
    page = folder / "index.html"
    page.write_text(_page(tables, pictures, _mistakes(probabilities, test)))
    return page


def _teachers(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    return [
        _row(one["name"], one["test_metrics"], None, one["bytes"], one["microseconds"])
        for one in json.loads(path.read_text())
    ]


def _baseline(path: Path, test: Reviews) -> tuple[list[list[str]], dict[str, Behaviour]]:
    try:
        bundle = load_bundle(path)
    except BundleError:
        return [], {}
    graph = bundle.graph("fp32")
    model = OnnxModel(graph.path, bundle.tokenizer)
    found, microseconds = model.timed([bundle.tokenizer.encode(text).input_ids for text in test.texts])
    suite = behaviour.measure(model.score)
    name = f"plain recipe (version {bundle.manifest.version}), fp32"
    metrics = classification_metrics(found, test.labels)
    return [_row(name, metrics, suite, graph.path.stat().st_size, microseconds)], {name: suite}


def _student(run: Path, verification: Verification) -> list[str]:
    size = (run / GRAPHS[verification.precision]).stat().st_size
    name = f"student, {verification.precision}"
    return _row(name, verification.metrics, verification.behaviour, size, verification.microseconds)


def _row(name: str, metrics: dict[str, float], suite: Behaviour | None, size: int, microseconds: float) -> list[str]:
    return [
        name,
        f"{metrics['accuracy']:.2%}",
        f"{metrics['log_loss']:.4f}",
        f"{metrics['expected_calibration_error']:.4f}",
        f"{suite.short_texts:.1%}" if suite else "-",
        f"{suite.pairs:.1%}, {suite.pair_members:.1%}" if suite else "-",
        f"{size:,}",
        f"{microseconds:.0f}",
    ]


def _seeds(seeds: list[Checkpoint], test: Reviews) -> Table:
    """Every seed's test figures, through torch, and their mean and spread."""
    figures = []
    for seed in seeds:
        encode = seed.build_tokenizer().encode
        found = predict(seed.build(), [encode(text).input_ids for text in test.texts], seed.model.pad_id)
        metrics = classification_metrics(found, test.labels)
        figures.append([seed.validation_accuracy, metrics["accuracy"], metrics["expected_calibration_error"]])
    rows = [
        [str(seed.train.seed), f"{validation:.2%}", f"{accuracy:.2%}", f"{calibration:.4f}"]
        for seed, (validation, accuracy, calibration) in zip(seeds, figures, strict=True)
    ]
    if len(seeds) > 1:
        mean, spread = np.mean(figures, axis=0), np.std(figures, axis=0, ddof=1)
        cells = zip(mean, spread, ("{:.2%} ± {:.2%}", "{:.2%} ± {:.2%}", "{:.4f} ± {:.4f}"), strict=True)
        rows.append(["mean ± standard deviation", *(form.format(*pair) for *pair, form in cells)])
    return Table("The student from several seeds", ["seed", "validation", "test", "calibration error"], rows)


def _suite(behaviours: dict[str, Behaviour]) -> Table:
    first = next(iter(behaviours.values()))
    rows = [
        [
            f"short texts: {group.replace('_', ' ')}",
            *(f"{one.short_texts_by_group[group]:.0%}" for one in behaviours.values()),
        ]
        for group in first.short_texts_by_group
    ]
    rows += [["short texts: all", *(f"{one.short_texts:.1%}" for one in behaviours.values())]]
    rows += [
        [f"pairs: {group.replace('_', ' ')}", *(f"{one.pairs_by_group[group]:.0%}" for one in behaviours.values())]
        for group in first.pairs_by_group
    ]
    rows += [["pairs: all, both texts right", *(f"{one.pairs:.1%}" for one in behaviours.values())]]
    rows += [["pairs: all, single texts right", *(f"{one.pair_members:.1%}" for one in behaviours.values())]]
    return Table("The behavioural suite", ["group", *behaviours], rows)


def _draw(
    folder: Path, probabilities: Probabilities, test: Reviews, seeds: list[Checkpoint], behaviours: dict[str, Behaviour]
) -> list[tuple[str, str]]:
    """(file name, caption) of every picture."""
    labels = test.labels
    tokens = np.array([len(split(text)) for text in test.texts])
    pictures: list[tuple[str, str, Callable[[Axes], None]]] = [
        ("roc", "Receiver operating characteristic", lambda axes: plots.roc(axes, probabilities, labels)),
        (
            "reliability",
            "Reliability: is a probability what it says?",
            lambda axes: plots.reliability(axes, probabilities, labels),
        ),
        (
            "length",
            "Accuracy by length; the number in a bar counts its reviews, the whisker is a standard error",
            lambda axes: plots.accuracy_by_length(axes, probabilities, labels, tokens),
        ),
        ("learning", "Learning curves", lambda axes: plots.learning_curves(axes, seeds)),
        ("histogram", "How sure the model is", lambda axes: plots.probability_histogram(axes, probabilities, labels)),
        ("confusion", "Confusion at the threshold of 0.5", lambda axes: plots.confusion(axes, probabilities, labels)),
        ("suite", "The behavioural suite by group", lambda axes: plots.suite(axes, behaviours)),
    ]
    for name, _, draw in pictures:
        plots.save(folder / f"{name}.png", draw, WIDE if name == "suite" else plots.SIZE)
    return [(f"{name}.png", caption) for name, caption, _ in pictures]


def _mistakes(probabilities: Probabilities, test: Reviews) -> Table:
    wrong = np.flatnonzero((probabilities >= 0.5) != test.labels)
    surest = wrong[np.argsort(-np.abs(probabilities[wrong] - 0.5), kind="stable")][:MISTAKES]
    rows = [
        [str(test.ids[row]), "positive" if test.labels[row] else "negative", f"{probabilities[row]:.4f}"]
        for row in surest
    ]
    return Table("The surest mistakes", ["id in the test split", "is", "probability of being positive"], rows)


def _page(tables: list[Table], pictures: list[tuple[str, str]], mistakes: Table) -> str:
    figures = "\n".join(
        f'<figure><img src="{name}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        for name, caption in pictures
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Review sentiment: what was measured</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #222; }}
table {{ border-collapse: collapse; margin: 1em 0; }}
td, th {{ padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: left; }}
td:not(:first-child) {{ font-variant-numeric: tabular-nums; }}
.pictures {{ display: flex; flex-wrap: wrap; gap: 1em; }}
figure {{ margin: 0; max-width: 100%; }}
figure img {{ max-width: 100%; }}
figcaption {{ color: #555; font-size: .9em; max-width: 36em; }}
</style>
</head>
<body>
<h1>Review sentiment: what was measured</h1>
{"".join(table.to_html() for table in tables)}
<h2>Pictures</h2>
<div class="pictures">
{figures}
</div>
{mistakes.to_html()}
</body>
</html>
"""
