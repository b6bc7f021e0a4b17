"""The contrast bank: short reviews of our own writing, each with the few words that turn its verdict around.

A line of `bank/*.txt` such as "not {bad|good} at all" is two reviews, the positive and the negative one. "~" stands
between words that may take each other's place, in "{superb~a joy|dire}" on their own side, in "[The bed~My room]" on
both. Film reviews teach no refunds, zips and batteries, and hardly a text below fifty tokens; from these lines the
model learns to read both, and that a few words decide.
"""

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

BANK = Path(__file__).parent / "bank"

_PART = re.compile(r"\{([^{}|\[\]]*)\|([^{}|\[\]]*)\}|\[([^{}|\[\]]*)\]")
_SENTENCE = re.compile(r"[^.!?]+[.!?]+")
HELD_OUT = 36  # a thousand lines
_SHORTEST_ASIDE = 12  # characters

Alternatives = list[str]


class Pair(NamedTuple):
    """Two reviews that differ in what decides."""

    positive: str
    negative: str


@dataclass(frozen=True)
class Line:
    """One line of the bank: words that are there in any case, and between them places with alternatives.

    A place has those of the positive and those of the negative reading, or the same list for both.
    """

    literals: tuple[str, ...]  # one more than places
    places: tuple[tuple[Alternatives, Alternatives], ...]

    @property
    def length(self) -> int:
        """Characters of its longer reading, by its first alternatives."""
        return max(map(len, self._fill([Pair(positive[0], negative[0]) for positive, negative in self.places])))

    def draw(self, rng: random.Random) -> Pair:
        """One of its pairs: both sides have the same choice where the alternatives are neutral."""
        return self._fill([_choose(place, rng) for place in self.places])

    def pairs(self) -> Iterator[Pair]:
        """Every text of each side at least once."""
        for chosen in itertools.product(*(_choices(place) for place in self.places)):
            yield self._fill(chosen)

    def texts(self) -> Iterator[str]:
        """All words of the line, those of the alternatives once each: what a vocabulary has to know."""
        yield from self.literals
        for positive, negative in self.places:
            yield from positive
            yield from negative if negative is not positive else ()

    def asides(self) -> list[str]:
        """Whole sentences of the line in which nothing is decided."""
        sentences = (found.strip() for literal in self.literals for found in _SENTENCE.findall(literal)[1:])
        return [sentence for sentence in sentences if len(sentence) >= _SHORTEST_ASIDE]

    def _fill(self, chosen: "list[Pair] | tuple[Pair, ...]") -> Pair:
        sides = ([self.literals[0]], [self.literals[0]])
        for pair, literal in zip(chosen, self.literals[1:], strict=True):
            for words, choice in zip(sides, pair, strict=True):
                words += choice, literal
        return Pair(*("".join(words).strip() for words in sides))


def parse(line: str) -> Line:
    """A line as its parts. Raises ValueError if it has no edit, or its marks do not match."""
    literals, places, start = list[str](), list[tuple[Alternatives, Alternatives]](), 0
    for match in _PART.finditer(line):
        literals.append(line[start : match.start()])
        start = match.end()
        if match[3] is None:
            places.append((match[1].split("~"), match[2].split("~")))
        else:
            neutral = match[3].split("~")
            places.append((neutral, neutral))
    literals.append(line[start:])
    parsed = Line(tuple(literals), tuple(places))
    if re.search(r"[{}|\[\]~]", "".join(literals)) or any(
        not all(pair) or pair[0] == pair[1] for pair in parsed.pairs()
    ):
        raise ValueError(f"no line of the contrast bank: {line!r}")
    return parsed


def hold_out_lines(bank: list[Line]) -> tuple[list[Line], list[Pair]]:
    """Lines to learn from, and a pair of each HELD_OUT-th line, which tells how unseen ones are read."""
    rng = random.Random(0)
    return (
        [line for number, line in enumerate(bank) if number % HELD_OUT],
        [line.draw(rng) for line in bank[::HELD_OUT]],
    )


def _choices(place: tuple[Alternatives, Alternatives]) -> list[Pair]:
    positive, negative = place
    if positive is negative:
        return [Pair(word, word) for word in positive]
    longest = max(len(positive), len(negative))
    return [Pair(positive[index % len(positive)], negative[index % len(negative)]) for index in range(longest)]


def _choose(place: tuple[Alternatives, Alternatives], rng: random.Random) -> Pair:
    positive, negative = place
    word = rng.choice(positive)
    return Pair(word, word if positive is negative else rng.choice(negative))


@cache
def load_bank() -> list[Line]:
    """Every line of the bank, in the order of the files' names."""
    return [parse(line) for file in sorted(BANK.glob("*.txt")) for line in file.read_text().splitlines()]
