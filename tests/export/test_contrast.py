import random

import numpy as np
import pytest

from bundle.tokenizer import split
from export import behaviour
from export.contrast import Pair, hold_out_lines, load_bank, parse
from export.rules import NEGATIVE, POSITIVE, RulePairs


def pairs_of(line: str) -> list[Pair]:
    return list(parse(line).pairs())


def test_a_line_is_two_reviews() -> None:
    assert pairs_of("not {bad|good} at all") == [Pair("not bad at all", "not good at all")]
    assert pairs_of("{Never|} late{|, as ever}.") == [Pair("Never late.", "late, as ever.")]


def test_alternatives_of_one_side_and_of_both() -> None:
    assert pairs_of("[Bed~Room] {fine~good|bad}") == [
        Pair("Bed fine", "Bed bad"),
        Pair("Bed good", "Bed bad"),
        Pair("Room fine", "Room bad"),
        Pair("Room good", "Room bad"),
    ]
    rng = random.Random(0)
    drawn = {parse("[Bed~Room] {fine|bad~poor}").draw(rng) for _ in range(100)}
    assert drawn == {Pair(f"{it} fine", f"{it} {bad}") for it in ("Bed", "Room") for bad in ("bad", "poor")}


def test_all_words_of_a_line_are_for_the_vocabulary() -> None:
    words = " ".join(parse("[Bed~Room] was {fine|bad~poor}.").texts()).split()
    assert sorted(words) == [".", "Bed", "Room", "bad", "fine", "poor", "was"]


def test_asides_are_whole_sentences_that_decide_nothing() -> None:
    line = "We came by train. It {was|wasn't} fun. The hills are near. We had two rooms. Breakfast is at {8|6}."
    assert parse(line).asides() == ["The hills are near.", "We had two rooms."]


@pytest.mark.parametrize(
    "line",
    [
        "no edit",
        "[a~b] film",
        "{a|a} film",
        "{a~b|c~b}",
        "{good|bad",
        "{a|b|c}",
        "a } film {good|bad}",
        "{a|}",
        "a~b {c|d}",
    ],
)
def test_a_line_that_is_no_pair_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no line of the contrast bank"):
        parse(line)


def test_the_bank_and_the_suite_share_no_text() -> None:
    bank = {" ".join(split(text)) for line in load_bank() for pair in line.pairs() for text in pair}
    assert len(load_bank()) > 30_000
    suite = [text for part in ("final", "development") for _, text, _ in behaviour.short_texts(part)]
    suite += [text for part in ("final", "development") for _, pair in behaviour.pairs(part) for text in pair]
    assert not bank & {" ".join(split(text)) for text in suite}


def test_held_out_lines_are_not_learnt_from() -> None:
    bank = load_bank()
    learnt, unseen = hold_out_lines(bank)
    assert len(learnt) + len(unseen) == len(bank)
    assert len(unseen) > 800
    assert hold_out_lines(bank) == (learnt, unseen)
    assert hold_out_lines([]) == ([], [])


def test_the_suite_is_as_large_and_balanced_as_it_says() -> None:
    short, pairs = behaviour.short_texts(), behaviour.pairs()
    assert len(short) >= 300 and len(pairs) >= 300
    assert len({text for _, text, _ in short}) == len(short)
    groups = {"negation", "contrast", "intensifiers", "comparatives", "mixed", "products_and_services", "irony"}
    assert {group for group, *_ in short} == {group for group, _ in pairs} == groups
    assert abs(sum(positive for *_, positive in short) / len(short) - 0.5) < 0.02


def test_measuring_counts_texts_pairs_and_groups() -> None:
    right = {text: float(positive) for _, text, positive in behaviour.short_texts()}
    right |= {text: 1.0 - side for _, pair in behaviour.pairs() for side, text in enumerate(pair)}
    perfect = behaviour.measure(lambda texts: np.array([right[text] for text in texts]))
    assert (perfect.short_texts, perfect.pairs, perfect.pair_members) == (1, 1, 1)
    assert set(perfect.pairs_by_group.values()) == {1}
    yes = behaviour.measure(lambda texts: np.ones(len(texts)))
    assert (yes.pairs, yes.pair_members) == (0, 0.5)


def test_rules_turn_a_sentence_around() -> None:
    rules, rng = RulePairs(["The acting was superb. It was not good. A dull, dull story."]), random.Random(0)
    assert rules._sentences == [("the acting was ", "superb", "")]
    drawn = {rules.draw(rng) for _ in range(400)}
    assert Pair("the acting was superb", "the acting was not superb") in drawn
    assert any(pair.positive == "the acting was superb" and pair.negative.split()[-1] in NEGATIVE for pair in drawn)
    assert all(pair.positive != pair.negative for pair in drawn)
    assert not POSITIVE & NEGATIVE


def test_rules_without_reviews_still_draw() -> None:
    assert RulePairs([]).draw(random.Random(0))
