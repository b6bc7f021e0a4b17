import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from bundle.tokenizer import split as tokens
from export.data import UNLABELLED, DataError, Reviews, SplitName, download, hold_out, load
from tests.export.reviews import as_archive, as_folder, as_parquet, rows

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Source(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, breaking off after `cut` bytes; keeps the ranges that were asked for."""

    cut: int | None = None
    ranged = True
    asked: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Range"))
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if self.ranged else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.cut])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[tuple[type[Source], str]]:
    handler = type("Handler", (Source,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}/archive"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("split", ["train", "test"])
def test_three_sources_give_the_same_reviews(tmp_path: Path, split: SplitName) -> None:
    first, *others = (load(write(rows(), tmp_path), split) for write in (as_archive, as_folder, as_parquet))
    assert len(first) == 80
    assert first.labels.tolist() == [0] * 40 + [1] * 40
    for other in others:
        assert other.texts == first.texts
        assert other.ids.tolist() == first.ids.tolist()
        assert other.fingerprint() == first.fingerprint()


def test_three_sources_give_the_same_unlabelled_reviews(tmp_path: Path) -> None:
    writers = (as_archive, as_folder, as_parquet)
    first, *others = (load(write(rows(), tmp_path), "unsupervised") for write in writers)
    assert len(first) == 80
    assert set(first.labels) == {UNLABELLED}
    assert all(other.texts == first.texts and other.ids.tolist() == first.ids.tolist() for other in others)


def test_a_source_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give --data the archive"):
        load(tmp_path / "nothing", "train")


def test_half_an_archive_is_refused(tmp_path: Path) -> None:
    path = as_archive(rows(), tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"is no complete tar archive.*download it again"):
        load(path, "train")


@pytest.mark.parametrize("part", [b"aclImdb/train/pos", b"It was"], ids=["a header", "a review"])
def test_an_archive_with_a_wrong_byte_is_refused(tmp_path: Path, part: bytes) -> None:
    path = as_archive(rows(), tmp_path)
    stored = bytearray(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0))
    stored[stored.rindex(part)] ^= 1
    path.write_bytes(stored)
    with pytest.raises(DataError, match=r"is no complete tar archive: CRC.*; delete it and download it again"):
        load(path, "train")


def test_the_folder_of_the_archive_will_do(tmp_path: Path) -> None:
    path = as_archive(rows(), tmp_path)
    assert load(tmp_path, "train").texts == load(path, "train").texts


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    (as_parquet(rows(), tmp_path) / "unsupervised.parquet").unlink()
    assert len(load(tmp_path, "train")) == 80
    with pytest.raises(DataError, match=r"holds test\.parquet, train\.parquet, but no unsupervised\.parquet; .*plain"):
        load(tmp_path, "unsupervised")


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("id,text")
    with pytest.raises(DataError, match=r"train\.parquet is no Parquet file"):
        load(tmp_path, "train")


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"id": [1], "review": ["good"]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet has no column text, only id, review"):
        load(tmp_path, "train")


@pytest.mark.parametrize("split", ["train", "test", "unsupervised"])
def test_reviews_without_a_token_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: SplitName
) -> None:
    folder, label = ("train", "unsup") if split == "unsupervised" else (split, "pos")
    nothing = [(folder, label, 1000 + number, 9, text) for number, text in enumerate(("<br />", " \u200b&nbsp;_ ", ""))]
    reviews = load(as_parquet([*rows(), *nothing], tmp_path), split)
    assert len(reviews) == len(reviews.ids) == len(reviews.labels) == 80
    assert all(tokens(text) for text in reviews.texts)
    assert f"left out 3 {split} reviews without a token" in capsys.readouterr().err


def test_held_out_reviews_move_in_blocks_of_ids() -> None:
    ids = np.tile(np.arange(1000), 2)
    reviews = Reviews(ids, [f"{number}" for number in range(2000)], np.repeat([0, 1], 1000))
    fit, validation = hold_out(reviews)
    assert sorted([*fit.texts, *validation.texts], key=int) == reviews.texts
    assert len(validation) == 200
    assert set(validation.ids // 50) == {9, 19}
    assert validation.labels.mean() == 0.5


def test_a_download_is_verified_and_not_repeated(source: tuple[type[Source], str], tmp_path: Path) -> None:
    handler, url = source
    destination = tmp_path / "data" / "archive"
    for _ in range(2):
        download(destination, url, SHA256)
    assert destination.read_bytes() == CONTENT
    assert handler.asked == [None]
    assert list(destination.parent.iterdir()) == [destination]


@pytest.mark.parametrize("ranged", [True, False], ids=["resumes", "starts again where it cannot"])
def test_a_broken_download_goes_on(source: tuple[type[Source], str], tmp_path: Path, ranged: bool) -> None:
    handler, url = source
    destination = tmp_path / "archive"
    handler.cut, handler.ranged = 300_000, ranged
    with pytest.raises(DataError, match="run it again to go on"):
        download(destination, url, SHA256)
    assert not destination.exists()
    handler.cut = None
    download(destination, url, SHA256)
    assert destination.read_bytes() == CONTENT
    assert handler.asked == [None, "bytes=300000-"]


def test_a_complete_part_needs_only_its_name(source: tuple[type[Source], str], tmp_path: Path) -> None:
    (tmp_path / "archive.part").write_bytes(CONTENT)
    download(tmp_path / "archive", source[1], SHA256)
    assert (tmp_path / "archive").read_bytes() == CONTENT


def test_another_file_than_expected_is_deleted(source: tuple[type[Source], str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has SHA-256 .*, not 000; the download was deleted"):
        download(tmp_path / "archive", source[1], "000")
    assert list(tmp_path.iterdir()) == []
