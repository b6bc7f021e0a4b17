from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import numpy_helper

import bundle.tokenizer
from bundle.native import library
from bundle.onnx_weights import read_weights
from bundle.store import Bundle
from bundle.tokenizer import PAD_TOKEN, UNK_TOKEN, Tokenizer, split

needs_compiled = pytest.mark.skipif(library() is None, reason="bundle/native was not compiled: no C compiler")

# What a text may hold that one of the two ways could take for something else.
PIECES = ("<", ">", "/", "<br />", "<b", "</i>", "&", "&lt;", "&amp;", "'", "don't", "_", "\x00", "\x1c", "\x85", "\t")
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map("".join)
ASCII_TEXTS = st.lists(st.sampled_from(PIECES[:10]) | st.text(st.characters(max_codepoint=127)), max_size=12).map(
    "".join
)
WORDS = ["a", "b", "br", "don't", "it's", "good", "<", ">", "'", "&", "/", ".", "café", "ﬁ", "İ", "x" * 40]


def in_both_ways(text: str, words: list[str]) -> tuple[list[int], list[int]]:
    vocabulary = [PAD_TOKEN, UNK_TOKEN, *words]
    compiled, plain = Tokenizer(vocabulary), Tokenizer(vocabulary, native=False)
    assert compiled.encode(text).unknown_count == plain.encode(text).unknown_count
    return compiled.encode_whole(text).tolist(), plain.encode_whole(text).tolist()


@needs_compiled
@given(TEXTS | ASCII_TEXTS)
@example("<b" + "x" * 100 + ">and one more<b" + "x" * 101 + ">")
@example("&lt;b&gt;is no tag, <<b>b> leaves none behind")
@example("it's 'quoted' don't' o''clock '")
@example("Many of them, known and unknown. " * 100)
@example("crème brûlée, “good”\u200b and ASCII\x1fagain")
def test_the_compiled_tokenizer_gives_what_pythons_gives(text: str) -> None:
    words = dict.fromkeys([*split(text)[::2], *WORDS])  # so that half of the tokens are known
    compiled, plain = in_both_ways(text, list(words))
    assert compiled == plain


@needs_compiled
@given(st.sets(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=3), max_size=300))
def test_every_word_of_a_vocabulary_is_found_by_its_own_id(words: set[str]) -> None:
    known = [word for word in sorted(words) if split(word) == [word]]
    compiled, plain = in_both_ways(" ".join(known), known)
    assert compiled == plain == list(range(2, 2 + len(known)))


def test_python_tokenizes_where_nothing_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle.tokenizer, "library", lambda: None)
    assert Tokenizer([PAD_TOKEN, UNK_TOKEN, "good"]).encode("Good &amp; new").input_ids.tolist() == [2, 1, 1]


def test_weights_are_read_as_onnx_reads_them(shipped: Bundle) -> None:
    for graph in shipped.graphs:
        expected = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(graph.path).graph.initializer}
        found = read_weights(graph.path)
        assert found.keys() == expected.keys()
        for name, weights in expected.items():
            assert found[name].dtype == weights.dtype
            np.testing.assert_array_equal(found[name], weights)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\x03\x2a\x01\x0a", b"\x3a\x05\x2a\x03\x08\x04\x10"])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.onnx is not an ONNX file"):
        read_weights(path)
