"""Text to token ids, by the very same code in training and in serving.

    text -> normalise -> split -> look up -> truncate -> input_ids

Pure and deterministic: any `str` is accepted, lone surrogates included, and nothing here raises on one.
Changing what a text turns into means raising `TOKENIZER_VERSION`: a bundle refuses code of another version.
"""

import html
import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

from bundle.native import library
from bundle.native.tokenize import NativeVocabulary

TOKENIZER_VERSION = 1

PAD_TOKEN = "<pad>"
UNK_TOKEN = "<unk>"

# Markup in reviews is line breaks, and now and then <i> or <b>. A lone "<" (as in "<3") is kept.
_TAG = re.compile(r"</?[a-z][^<>]{0,100}>", re.IGNORECASE)

# A reference to a character by a number that no character has, and that Python refuses to read for its length.
_ENDLESS = re.compile(r"&#[0-9]{600,};?")
_REPLACEMENT = "\ufffd"  # what html.unescape makes of other numbers that no character has

# Longer than a letter and the marks upon it ever are.
_LONG_RUN = re.compile(r"[^\x00-\x7f]{64,}")

# Of a run of what is not white, the part from its first character beyond ASCII.
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]\S*")

# Bytes of UTF-8 a character, up to which it is faster to encode the ASCII parts of a text on their own.
_MOSTLY_ASCII = 1.02

# A word with an inner apostrophe ("don't", "film's"), or one sign of punctuation.
_TOKEN = re.compile(r"\w+(?:'\w+)?|\S")

# Typographers' quotes and dashes to their ASCII forms; characters that print nothing vanish.
_FOLDED = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4\u0060", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f", ""),
}
# Of the tokens that stay when a text is too long, the share that are its first; the others are its last.
_HEAD = {"right": 1.0, "left": 0.0, "middle": 0.25}


@dataclass(frozen=True)
class TokenizerConfig:
    """Everything beside the vocabulary that decides which ids a text becomes."""

    version: int = TOKENIZER_VERSION
    max_length: int = 500
    truncation_side: Literal["right", "left", "middle"] = "right"  # where a text that is too long loses tokens
    pad_id: int = 0
    unk_id: int = 1


class Encoding(NamedTuple):
    """What the model reads of one text.

    `input_ids`, int32, holds 0 to `max_length` ids and never the pad id; it is empty only for a text without a visible
    character. `truncated` says that the text had more tokens, `unknown_count` how many of the ids are `unk_id`.
    """

    input_ids: "array[int]"
    truncated: bool
    unknown_count: int

    @property
    def unknown_token_ratio(self) -> float:
        """Share of `input_ids` that the vocabulary lacks, 0 to 1."""
        return self.unknown_count / max(len(self.input_ids), 1)


def normalise(text: str) -> str:
    """Drop markup, resolve entities, fold Unicode's variants of one character, and lower the case."""
    if "&" in text:
        text = _unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = _fold(unicodedata.normalize("NFKC", _LONG_RUN.sub(_with_sorted_marks, text)))
    if "_" in text:  # marks emphasis, as in "_never_"; the pattern would take it for a letter
        text = text.replace("_", " ")
    return text.lower()


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:
        return html.unescape(_ENDLESS.sub(_REPLACEMENT, text))


def _with_sorted_marks(run: re.Match[str]) -> str:
    """Decomposed, and the marks of each letter in order, which NFKC would do, too, but in quadratic time."""
    if unicodedata.is_normalized("NFKC", run[0]):  # as most long runs are, of Chinese say
        return run[0]
    decomposed = "".join([unicodedata.normalize("NFKD", character) for character in run[0]])
    parts = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join(["".join(sorted(part, key=unicodedata.combining)) for _, part in parts])


def _fold(text: str) -> str:
    for character, folded in _FOLDED.items():  # faster than str.translate: few texts have one of them
        if character in text:
            text = text.replace(character, folded)
    return text


def split(text: str) -> list[str]:
    """Words and signs of punctuation of a text, in order, not truncated."""
    return _TOKEN.findall(normalise(text))


class Tokenizer:
    """Looks tokens up in a vocabulary, a list whose index is the id."""

    def __init__(self, vocabulary: Sequence[str], config: TokenizerConfig | None = None, native: bool = True) -> None:
        """`native` takes the compiled loop, which gives the same ids, where there is one.

        Raises ValueError if the vocabulary holds a token twice, or lacks the special ones.
        """
        self.config = config or TokenizerConfig()
        specials = {self.config.pad_id: PAD_TOKEN, self.config.unk_id: UNK_TOKEN}
        for token_id, token in specials.items():
            if not 0 <= token_id < len(vocabulary) or vocabulary[token_id] != token:
                raise ValueError(f"the vocabulary must hold {token!r} at index {token_id}")
        self.vocabulary_size = len(vocabulary)
        self._ids = {token: token_id for token_id, token in enumerate(vocabulary) if token_id not in specials}
        if len(self._ids) + len(specials) != len(vocabulary):
            raise ValueError("the vocabulary holds a token twice")
        compiled = library() is not None and native
        self._native = NativeVocabulary(self._ids, self.config.unk_id) if compiled else None

    def encode(self, text: str) -> Encoding:
        """Token ids of a text, at most `max_length` of them."""
        input_ids = self.encode_whole(text)
        surplus = len(input_ids) - self.config.max_length
        if surplus > 0:
            head = int(_HEAD[self.config.truncation_side] * self.config.max_length)
            del input_ids[head : head + surplus]
        unknown = self._native.count_unknown(input_ids) if self._native else input_ids.count(self.config.unk_id)
        return Encoding(input_ids, surplus > 0, unknown)

    def encode_whole(self, text: str) -> "array[int]":
        """Token ids of a text, however long it is: for training, which reads parts of it."""
        if not self._native:
            return self._look_up(split(text))
        if text.isascii() and "&" not in text:
            return self._native.encode(text)
        text = normalise(text)
        if len(text.encode(errors="surrogatepass")) > _MOSTLY_ASCII * len(text):
            return self._look_up(_TOKEN.findall(text))
        return self._encode_parts(self._native, text)

    def _encode_parts(self, native: NativeVocabulary, text: str) -> "array[int]":
        """What is beyond ASCII by Python, and what lies between by the compiled loop; no token holds a space."""
        input_ids, done = array("i"), 0
        for found in _BEYOND_ASCII.finditer(text):
            start = max(done, text.rfind(" ", done, found.start()) + 1)
            input_ids += native.encode(text[done:start], markup=False)
            input_ids += self._look_up(_TOKEN.findall(text[start : found.end()]))
            done = found.end()
        return input_ids + native.encode(text[done:], markup=False)

    def _look_up(self, tokens: list[str]) -> "array[int]":
        look_up, unk_id = self._ids.get, self.config.unk_id
        return array("i", [look_up(token, unk_id) for token in tokens])
