"""The behavioural suite: short and tricky texts of our own writing, reported by group as a checklist.

After Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (2020), and Gardner et al.,
Evaluating Models' Local Decision Boundaries via Contrast Sets (2020). Nothing of it is in the contrast bank, and only
its development part was looked at while choosing how to train.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from export.contrast import Pair

SUITE = Path(__file__).parent / "suite"

Part = Literal["final", "development"]
Score = Callable[[list[str]], npt.NDArray[np.float64]]  # texts to probabilities of being positive


@dataclass(frozen=True)
class Behaviour:
    """Shares that a model gets right, 0 to 1, over all groups and by group.

    A pair is right when both of its texts are: always saying positive gets half of the short texts and no pair.
    """

    short_texts: float
    pairs: float
    pair_members: float  # of the single texts of the pairs
    short_texts_by_group: dict[str, float]
    pairs_by_group: dict[str, float]


@cache
def short_texts(part: Part = "final") -> list[tuple[str, str, bool]]:
    """(group, text, whether it is positive)."""
    rows = _rows("short_texts.jsonl", part)
    return [(row["group"], row["text"], row["label"] == "positive") for row in rows]


@cache
def pairs(part: Part = "final") -> list[tuple[str, Pair]]:
    """(group, the two texts)."""
    return [(row["group"], Pair(row["positive"], row["negative"])) for row in _rows("pairs.jsonl", part)]


def measure(score: Score, part: Part = "final") -> Behaviour:
    """What a model gets right of the suite."""
    short = short_texts(part)
    scores = score([text for _, text, _ in short])  # (texts,)
    positive = np.array([is_positive for *_, is_positive in short])
    right = np.where(positive, scores >= 0.5, scores < 0.5)
    pair_rows = pairs(part)
    members = right_sides(score, [pair for _, pair in pair_rows])
    both = np.asarray(members.all(axis=1))
    return Behaviour(
        short_texts=float(right.mean()),
        pairs=float(both.mean()),
        pair_members=float(members.mean()),
        short_texts_by_group=_by_group([group for group, *_ in short], right),
        pairs_by_group=_by_group([group for group, _ in pair_rows], both),
    )


def right_sides(score: Score, chosen: list[Pair]) -> npt.NDArray[np.bool_]:
    """Whether each pair's positive and negative text are right (pairs, 2)."""
    scores = score([text for pair in chosen for text in pair]).reshape(-1, 2)
    return np.stack([scores[:, 0] >= 0.5, scores[:, 1] < 0.5], axis=1)


def _by_group(groups: list[str], right: npt.NDArray[np.bool_]) -> dict[str, float]:
    names = np.array(groups)
    return {group: float(right[names == group].mean()) for group in dict.fromkeys(groups)}


def _rows(name: str, part: Part) -> list[dict[str, str]]:
    path = SUITE / (name if part == "final" else f"{part}_{name}")
    return [json.loads(line) for line in path.read_text().splitlines()]
