"""The IMDB reviews (Maas et al., 2011): one loader, three sources.

A source is the canonical archive `aclImdb_v1.tar.gz`, an unpacked `aclImdb/` folder, or a folder with
`train.parquet` and `test.parquet`. All three give the same reviews in the same order.
"""

import hashlib
import re
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet
from tqdm import tqdm

ARCHIVE_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
ARCHIVE_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"

SplitName = Literal["train", "test"]

# train/pos/200_8.txt: the split, the label, the id and the rating.
_MEMBER = re.compile(r"(?:^|/)(train|test)/(neg|pos)/(\d+)_\d+\.txt$")


class DataError(Exception):
    """The data set is missing, incomplete or not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Reviews:
    """Labelled reviews, negatives first, each label in the order of its ids; every field has one entry a review."""

    ids: npt.NDArray[np.int64]
    texts: list[str]
    labels: npt.NDArray[np.int64]  # 1 positive, 0 negative

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
    """Reviews of the canonical train or test split. Raises DataError if the source cannot be read."""
    rows = sorted(_rows(source, split))
    labels = np.array([label for label, _, _ in rows], dtype=np.int64)
    if not 0 < labels.sum() < len(labels):
        raise DataError(f"{source} holds no {split} reviews of both labels")
    return Reviews(np.array([number for _, number, _ in rows]), [text for _, _, text in rows], labels)


def hold_out(reviews: Reviews, blocks: int = 10, block_size: int = 50) -> tuple[Reviews, Reviews]:
    """Split train into (fit, validation), one part in `blocks` for validation.

    The archive keeps the reviews of one film (up to 30) next to each other, so whole blocks of ids move together:
    validation then measures new films, as the test split does.
    """
    held_out = (reviews.ids // block_size) % blocks == blocks - 1
    if not held_out.any() or held_out.all():  # fewer reviews than a block
        held_out = np.arange(len(reviews)) % blocks == 0
    return reviews.take(~held_out), reviews.take(held_out)


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
    if (source / split / "pos").is_dir():
        return _from_folder(source / split)
    if source.is_file():
        return _from_archive(source, split)
    raise DataError(
        f"no IMDB reviews at {source}: give --data the archive aclImdb_v1.tar.gz, an unpacked aclImdb folder, "
        f"or a folder with train.parquet and test.parquet; `review-sentiment-export data` downloads the archive"
    )


def _from_parquet(table: Path) -> Iterator[tuple[int, int, str]]:
    columns = parquet.read_table(table, columns=["label", "id", "text"]).to_pydict()
    return zip(columns["label"], columns["id"], columns["text"], strict=True)


def _from_folder(folder: Path) -> Iterator[tuple[int, int, str]]:
    for path in folder.glob("*/*.txt"):
        if match := _MEMBER.search(path.as_posix()):
            yield int(match[2] == "pos"), int(match[3]), path.read_text(encoding="utf-8")


def _from_archive(archive: Path, split: SplitName) -> Iterator[tuple[int, int, str]]:
    try:
        with tarfile.open(archive) as members:
            for member in members:
                match = _MEMBER.search(member.name)
                if match and match[1] == split and (file := members.extractfile(member)):
                    yield int(match[2] == "pos"), int(match[3]), file.read().decode("utf-8")
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{archive} is no complete tar archive: {error}; delete it and download it again") from error
