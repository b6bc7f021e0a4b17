"""Python's side of tokenizer.c."""

import ctypes
from array import array
from collections.abc import Mapping
from itertools import accumulate

from bundle.native import library

_ID_BYTES = array("i").itemsize
_SLOT_BYTES = 16  # of `struct slot`


class _Vocabulary(ctypes.Structure):
    """`struct vocabulary` of tokenizer.c."""

    _fields_ = [
        ("bytes", ctypes.c_char_p),
        ("ends", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("mask", ctypes.c_uint32),
        ("unk_id", ctypes.c_int32),
    ]


class NativeVocabulary:
    """Splits ASCII texts and looks their tokens up, as `Tokenizer` does."""

    def __init__(self, ids: Mapping[str, int], unk_id: int) -> None:
        """Raises RuntimeError where nothing was compiled."""
        compiled = library()
        if compiled is None:
            raise RuntimeError("bundle.native was not compiled")
        self._encode = compiled.sentiment_encode
        self._encode.restype = ctypes.c_int64
        self._encode.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int, ctypes.c_void_p]
        self._count = compiled.sentiment_count
        self._count.restype = ctypes.c_int64
        self._count.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32]
        # What an ASCII text cannot hold is left out, and so are the ids' gaps: an empty token is never looked up.
        tokens = [b""] * (max(ids.values(), default=-1) + 1)
        for token, token_id in ids.items():
            if token.isascii():
                tokens[token_id] = token.encode()
        ends = array("i", accumulate(map(len, tokens)))
        slot_count = 1 << (2 * len(tokens) + 1).bit_length()  # at most half of them taken
        slots = array("i", bytes(slot_count * _SLOT_BYTES))
        self._arrays = ends, slots  # which the structure points into
        self._vocabulary = _Vocabulary(
            b"".join(tokens), ends.buffer_info()[0], slots.buffer_info()[0], slot_count - 1, unk_id
        )
        self._unk_id = unk_id
        self._address = ctypes.addressof(self._vocabulary)
        fill = compiled.sentiment_vocabulary
        fill.restype, fill.argtypes = None, [ctypes.c_void_p, ctypes.c_int32]
        fill(self._address, len(tokens))

    def encode(self, text: str, markup: bool = True) -> "array[int]":
        """The ids of all tokens of `text`, which is ASCII; with `markup`, of those outside tags.

        Entities are not resolved: a text with "&" must be normalised first.
        """
        ids = array("i", bytes(_ID_BYTES * len(text)))  # a token has a character at least
        count = self._encode(self._address, text.lower().encode(), len(text), markup, ids.buffer_info()[0])
        del ids[count:]
        return ids

    def count_unknown(self, ids: "array[int]") -> int:
        """How many of some ids are the unknown token's."""
        return int(self._count(ids.buffer_info()[0], len(ids), self._unk_id))
