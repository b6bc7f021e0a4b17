"""The IMDB reviews (Maas et al., 2011): one loader, three sources.

A source is the canonical archive `aclImdb_v1.tar.gz` or the folder that it is in, an unpacked `aclImdb/` folder, or a
folder with `train.parquet`, `test.parquet` and `unsupervised.parquet`. All give the same reviews in the same order.
"""

import gzip
import hashlib
import re
import sys
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet as parquet
from tqdm import tqdm

from bundle.tokenizer import normalise

ARCHIVE_NAME = "aclImdb_v1.tar.gz"
ARCHIVE_URL = f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVE_NAME}"
ARCHIVE_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"

SplitName = Literal["train", "test", "unsupervised"]

UNLABELLED = -1
BLOCKS = 10
_LABELS = {"neg": 0, "pos": 1, "unsup": UNLABELLED}

# train/pos/200_8.txt: the folder, the label, the id and the rating. The unlabelled reviews are in train/unsup.
_MEMBER = re.compile(r"(?:^|/)(train|test)/(neg|pos|unsup)/(\d+)_\d+\.txt$")


class DataError(Exception):
    """The data set is missing, incomplete or not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Reviews:
    """Reviews, negatives first, each label in the order of its ids; every field has one entry a review."""

    ids: npt.NDArray[np.int64]
    texts: list[str]
    labels: npt.NDArray[np.int64]  # 1 positive, 0 negative, UNLABELLED

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, chosen: npt.NDArray[np.bool_]) -> "Reviews":
        """The reviews where `chosen` (n,) is true."""
        texts = [text for text, keep in zip(self.texts, chosen, strict=True) if keep]
        return Reviews(self.ids[chosen], texts, self.labels[chosen])

    def fingerprint(self) -> str:
        """SHA-256 over labels and texts: the same whichever source they came from."""
        digest = hashlib.sha256()
        for label, text in zip(self.labels, self.texts, strict=True):
            digest.update(b"%d %s\n" % (label, text.encode()))
        return digest.hexdigest()


def load(source: Path, split: SplitName) -> Reviews:
    """Reviews of the canonical train or test split, or the unlabelled ones. Raises DataError if it cannot read them.

    A review without a token, which no model can read, is left out; how many those were is printed.
    """
    every = sorted(_rows(source, split))
    rows = [row for row in every if normalise(row[2]).strip()]
    if len(rows) < len(every):
        print(f"{source}: left out {len(every) - len(rows)} {split} reviews without a token", file=sys.stderr)
    labels = np.array([label for label, _, _ in rows], dtype=np.int64)
    if split == "unsupervised":
        if not rows:
            raise DataError(f"{source} holds no unlabelled reviews")
    elif not 0 < labels.sum() < len(labels):
        raise DataError(f"{source} holds no {split} reviews of both labels")
    return Reviews(np.array([number for _, number, _ in rows]), [text for _, _, text in rows], labels)


def hold_out(reviews: Reviews) -> tuple[Reviews, Reviews]:
    """Split train into (fit, validation), a tenth for validation."""
    held_out = film_blocks(reviews) == BLOCKS - 1
    return reviews.take(~held_out), reviews.take(held_out)


def join(first: Reviews, second: Reviews) -> Reviews:
    """The reviews of both, in order."""
    return Reviews(
        np.concatenate([first.ids, second.ids]),
        first.texts + second.texts,
        np.concatenate([first.labels, second.labels]),
    )


def film_blocks(reviews: Reviews, block_size: int = 50) -> npt.NDArray[np.int64]:
    """A number from 0 to BLOCKS - 1 for each review (n,), the same for nearly all reviews of one film.

    The archive keeps the reviews of one film (up to 30) next to each other, so whole blocks of ids move together:
    what is held out by them measures new films, as the test split does. The last block is the validation part.
    """
    blocks = (reviews.ids // block_size) % BLOCKS
    if len(np.unique(blocks)) < BLOCKS:  # fewer reviews than blocks take
        blocks = BLOCKS - 1 - np.arange(len(reviews)) % BLOCKS
    return blocks


def download(destination: Path, url: str = ARCHIVE_URL, sha256: str = ARCHIVE_SHA256) -> None:
    """Fetch the archive, going on where an earlier try stopped. Nothing but a verified file bears the final name."""
    if destination.is_file() and _file_sha256(destination) == sha256:
        return
    partial = destination.with_name(destination.name + ".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, partial)
    except OSError as error:
        raise DataError(
            f"cannot download {url}: {error}; run it again to go on, or give --data a local copy"
        ) from error
    if (found := _file_sha256(partial)) != sha256:
        partial.unlink()
        raise DataError(f"{url} has SHA-256 {found}, not {sha256}; the download was deleted, run it again")
    partial.replace(destination)


def _fetch(url: str, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing after what is here: the checksum decides
                return
            raise
    with response:
        resumed = response.status == 206
        size = int(response.headers.get("Content-Length", 0))
        start = have if resumed else 0
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(desc=partial.stem, initial=start, total=start + size, unit="B", unit_scale=True, disable=None) as bar,
        ):
            while chunk := response.read(1 << 18):
                bar.update(file.write(chunk))
            if file.tell() < start + size:
                raise OSError(f"the connection closed after {file.tell()} of {start + size} bytes")


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(source: Path, split: SplitName) -> Iterator[tuple[int, int, str]]:
    """(label, id, text) of every review of a split, in no particular order."""
    if (table := source / f"{split}.parquet").is_file():
        return _from_parquet(table)
    if (source / "train" / "pos").is_dir():
        return _from_folder(source, split)
    archive = source / ARCHIVE_NAME if source.is_dir() else source
    if archive.is_file():
        return _from_archive(archive, split)
    if tables := sorted(path.name for path in source.glob("*.parquet")):
        needed = "; the plain recipe does without it: --recipe plain" if split == "unsupervised" else ""
        raise DataError(f"{source} holds {', '.join(tables)}, but no {split}.parquet{needed}")
    raise DataError(
        f"no IMDB reviews at {source}: give --data the archive {ARCHIVE_NAME}, an unpacked aclImdb folder, "
        f"or a folder with train.parquet and test.parquet; `review-sentiment-export data` downloads the archive"
    )


def _from_parquet(table: Path) -> Iterator[tuple[int, int, str]]:
    try:
        columns = parquet.read_table(table).to_pydict()
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{table} is no Parquet file: {error}") from error
    if missing := sorted({"id", "text"} - columns.keys()):
        raise DataError(f"{table} has no column {' and no column '.join(missing)}, only {', '.join(columns)}")
    labels = columns.get("label", [UNLABELLED] * len(columns["id"]))
    return zip(labels, columns["id"], columns["text"], strict=True)


def _from_folder(folder: Path, split: SplitName) -> Iterator[tuple[int, int, str]]:
    for path in folder.glob("*/*/*.txt"):
        if review := _review_of(path.as_posix(), split):
            yield *review, path.read_text(encoding="utf-8")


def _from_archive(archive: Path, split: SplitName) -> Iterator[tuple[int, int, str]]:
    try:
        with tarfile.open(archive) as members:
            for member in members:
                review = _review_of(member.name, split)
                if review and (file := members.extractfile(member)):
                    yield *review, file.read().decode("utf-8")
            assert members.fileobj is not None
            while members.fileobj.read(1 << 20):  # tarfile takes a broken header for the end; gzip's checksum tells
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise DataError(f"{archive} is no complete tar archive: {error}; delete it and download it again") from error


def _review_of(name: str, split: SplitName) -> tuple[int, int] | None:
    """(label, id) of the review that a file of this name holds, if the split has it."""
    match = _MEMBER.search(name)
    if not match:
        return None
    folder, label = match[1], _LABELS[match[2]]
    found = "unsupervised" if label == UNLABELLED else folder
    return (label, int(match[3])) if found == split else None
