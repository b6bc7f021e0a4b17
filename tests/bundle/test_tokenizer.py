import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bundle.tokenizer import PAD_TOKEN, UNK_TOKEN, Tokenizer, TokenizerConfig, normalise, split

WORDS = ["a", "fine", "film", ".", "don't", "'", '"', "-", "<", "3", "salt", "&"]
TOKENIZER = Tokenizer([PAD_TOKEN, UNK_TOKEN, *WORDS])

# Any code point at all, lone surrogates included.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANY_TEXT)
@example("\ud800")
@example("a " * 600)
@example("<" * 5_000)
@example("&" * 5_000)
@example("&#" + "9" * 5_000)  # more digits than Python reads
@example("\ufdfa" * 600)  # one character that NFKC makes eighteen of
@example("\u0130")  # lower case is two characters
def test_any_text_gives_at_most_max_length_ids_of_the_vocabulary(text: str) -> None:
    encoding = TOKENIZER.encode(text)
    assert len(encoding.input_ids) <= 500
    assert all(1 <= token_id < len(WORDS) + 2 for token_id in encoding.input_ids)
    assert encoding.unknown_count == encoding.input_ids.count(1)
    assert 0 <= encoding.unknown_token_ratio <= 1
    assert encoding.truncated == (len(split(text)) > 500)


# Marks of several classes, a letter of its own that NFKC makes a mark, and letters that marks go into.
@given(st.text("\u0315\u0300\u0327\u0334\u0345\uff9e\u0929\u00e9\uac00\u1100\u1161a", min_size=60, max_size=300))
@example("e" + "\u0301" * 40 + "\u0327" * 40 + "\u0334" * 40)
def test_any_number_of_marks_upon_a_letter_is_normalised_as_unicode_says(text: str) -> None:
    folded = unicodedata.normalize("NFKC", text).lower()
    assert normalise(text) == folded


@pytest.mark.parametrize("number", ["9" * 599, "9" * 600, "9" * 5_000, "0" * 5_000])
def test_a_number_that_no_character_has_is_a_replacement_character(number: str) -> None:
    assert normalise(f"good &#{number}; film") == "good \ufffd film"


@given(ANY_TEXT)
def test_any_text_with_a_visible_character_has_a_token(text: str) -> None:
    assert bool(split(text)) == bool(normalise(text).strip())


@given(st.lists(st.sampled_from(WORDS), max_size=20))
def test_tokens_joined_by_spaces_come_back(tokens: list[str]) -> None:
    assert split(" ".join(tokens)) == [part for token in tokens for part in split(token)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A fine FILM.", ["a", "fine", "film", "."]),
        ("one<br /><br />two<BR>three", ["one", "two", "three"]),
        ("<i>so</i> <a href='x'>good</a>", ["so", "good"]),
        ("I <3 it, 1 < 2", ["i", "<", "3", "it", ",", "1", "<", "2"]),
        ("salt &amp; pepper &mdash; caf&eacute;", ["salt", "&", "pepper", "-", "caf\u00e9"]),
        ("don't don\u2019t", ["don't", "don't"]),
        ("'quoted' and the boys'", ["'", "quoted", "'", "and", "the", "boys", "'"]),
        ("\u201cyes\u201d", ['"', "yes", '"']),
        ("so_so _very_", ["so", "so", "very"]),
        ("\uff26\uff49\uff4e\uff45 \ufb01lm", ["fine", "film"]),
        ("un\u00adbe\u200bliev\ufeffable", ["unbelievable"]),
        ("8/10!!", ["8", "/", "10", "!", "!"]),
        ("caf\u0065\u0301", ["caf\u00e9"]),
        ("", []),
        (" \u00a0\t\r\n\u200b<br />", []),
    ],
)
def test_split(text: str, tokens: list[str]) -> None:
    assert split(text) == tokens


def test_ids_are_places_in_the_vocabulary() -> None:
    assert TOKENIZER.encode("a fine xyz").input_ids.tolist() == [2, 3, 1]


@pytest.mark.parametrize("special", [PAD_TOKEN, UNK_TOKEN])
def test_a_text_that_spells_a_special_token_does_not_become_it(special: str) -> None:
    assert 0 not in TOKENIZER.encode(special).input_ids


@pytest.mark.parametrize(("side", "kept"), [("right", [2, 3]), ("left", [3, 4])])
def test_truncation_side(side: str, kept: list[int]) -> None:
    config = TokenizerConfig(max_length=2, truncation_side=side)  # type: ignore[arg-type]
    encoding = Tokenizer([PAD_TOKEN, UNK_TOKEN, *WORDS], config).encode("a fine film")
    assert encoding.input_ids.tolist() == kept
    assert encoding.truncated


def test_a_text_that_is_too_long_may_lose_its_middle() -> None:
    words = [f"w{number}" for number in range(20)]
    tokenizer = Tokenizer([PAD_TOKEN, UNK_TOKEN, *words], TokenizerConfig(max_length=8, truncation_side="middle"))
    kept = [words.index(word) + 2 for word in ("w0", "w1", *words[14:])]  # a quarter from the beginning
    assert tokenizer.encode(" ".join(words)).input_ids.tolist() == kept
    assert tokenizer.encode_whole(" ".join(words)).tolist() == list(range(2, 22))


def test_exactly_max_length_is_not_truncated() -> None:
    assert not TOKENIZER.encode("a " * 500).truncated


@pytest.mark.parametrize(
    ("vocabulary", "reason"),
    [
        ([], "must hold '<pad>'"),
        ([PAD_TOKEN, "a"], "must hold '<unk>'"),
        ([PAD_TOKEN, UNK_TOKEN, "a", "a"], "twice"),
    ],
)
def test_a_wrong_vocabulary_is_refused(vocabulary: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Tokenizer(vocabulary)
