"""A small data set of our own writing, in the three forms that the loader reads."""

import io
import random
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet

Row = tuple[str, str, int, int, str]  # folder, label, id, rating, text; unlabelled ones are in train/unsup

_GOOD = ("wonderful", "moving", "funny", "a joy", "brilliant", "charming")
_BAD = ("dull", "a mess", "lazy", "boring", "painful", "clumsy")
_FILLER = "I saw the film with my sister on a rainy evening and we talked about it on the way home .".split()


def rows(count: int = 80, seed: int = 0) -> list[Row]:
    """`count` reviews of each split, half of them positive, whose sentiment one phrase gives away."""
    rng = random.Random(seed)
    made: list[Row] = []
    labelled = (("neg", _BAD, 2), ("pos", _GOOD, 9))
    for split, kinds in (("train", labelled), ("test", labelled), ("train", (("unsup", _BAD + _GOOD, 0),))):
        for number in range(count // len(kinds)):
            for label, words, rating in kinds:
                words_of_filler = rng.choices(_FILLER, k=rng.randrange(3, 30))
                text = f"{' '.join(words_of_filler)}<br /><br />It was {rng.choice(words)}. \u00c9t\u00e9 {number}"
                made.append((split, label, number, rating, text))
    return made


def as_folder(reviews: list[Row], folder: Path) -> Path:
    """An unpacked aclImdb folder."""
    for split, label, number, rating, text in reviews:
        path = folder / "aclImdb" / split / label / f"{number}_{rating}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "aclImdb"


def as_archive(reviews: list[Row], folder: Path) -> Path:
    """The tar archive, its members in an order of its own."""
    path = folder / "aclImdb_v1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for split, label, number, rating, text in reversed(reviews):
            member = tarfile.TarInfo(f"aclImdb/{split}/{label}/{number}_{rating}.txt")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def as_parquet(reviews: list[Row], folder: Path) -> Path:
    """train.parquet, test.parquet and unsupervised.parquet, which has neither rating nor label."""
    for wanted in ("train", "test", "unsupervised"):
        chosen = [row for row in reviews if wanted == ("unsupervised" if row[1] == "unsup" else row[0])]
        columns: dict[str, list[int] | list[str]] = {
            "id": [number for _, _, number, _, _ in chosen],
            "text": [text for *_, text in chosen],
        }
        if wanted != "unsupervised":
            columns["rating"] = [rating for _, _, _, rating, _ in chosen]
            columns["label"] = [int(label == "pos") for _, label, *_ in chosen]
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"{wanted}.parquet")
    return folder
