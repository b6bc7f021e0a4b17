"""The contrast bank: short reviews of our own writing, each with the few words that turn its verdict around.

A line of `bank/*.txt` such as "not {bad|good} at all" is two reviews, the positive and the negative one. Film reviews
teach no refunds, zips and batteries, and hardly a text below fifty tokens; from these lines the model learns to read
both, and that a few words decide.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

BANK = Path(__file__).parent / "bank"

_EDIT = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")


class Pair(NamedTuple):
    """Two reviews that differ in what decides."""

    positive: str
    negative: str


def parse(line: str) -> Pair:
    """Both readings of a line. Raises ValueError if it has no edit, or its braces do not match."""
    pair = Pair(_EDIT.sub(r"\1", line), _EDIT.sub(r"\2", line))
    if not all(side.strip() for side in pair) or pair.positive == pair.negative or re.search(r"[{}|]", "".join(pair)):
        raise ValueError(f"no line of the contrast bank: {line!r}")
    return pair


@cache
def load_bank() -> list[Pair]:
    """Every pair of the bank, in the order of the files' names."""
    lines: Iterable[str] = (line for path in sorted(BANK.glob("*.txt")) for line in path.read_text().splitlines())
    return [parse(line) for line in lines]
