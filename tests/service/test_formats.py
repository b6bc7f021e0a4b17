"""Tables in every format: what is read, what is written, and what is refused."""

import csv
import datetime
import decimal
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from service.bulk.errors import JobError, TableError
from service.bulk.formats import choose_column, open_table, open_writer
from service.bulk.outcomes import COLUMNS, Outcome, from_row, refuse, to_row
from service.bulk.parts import PART_ROWS
from service.classification import Classification

GOOD = Classification("positive", 0.1 + 0.2, 3, False, 1 / 3)
ANSWER = {**to_row(GOOD)}
NO_ANSWER = {**dict.fromkeys(COLUMNS), "error": "text is blank"}


def copy(source: Path, target: Path, outcomes: list[Outcome] | None = None) -> Path:
    """Read a table and write it with outcomes, GOOD unless given, through parts in files as a job does."""
    table = open_table(source)
    writer = open_writer(target, table)
    paths = []
    for part in table.parts(choose_column(source, table, None)):
        paths.append(target.with_name(f"{part.number}{target.suffix}"))
        writer.write(part, outcomes or [GOOD] * len(part.cells), paths[-1])
    writer.join(paths, target)
    return target


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, by other code than ours."""
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else [json.loads(line) for line in file]


def write(path: Path, texts: list[str]) -> Path:
    """A table of one column in any format, by other code than ours."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.table({"text": texts}), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
    else:
        lines = texts if path.suffix == ".txt" else [json.dumps({"text": text}) for text in texts]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts_of(path: Path, column: str = "text") -> list[Any]:
    """What our code reads in a column."""
    return [cell for part in open_table(path).parts(column) for cell in part.cells]


@pytest.mark.parametrize("into", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("out_of", ["txt", "csv", "jsonl", "parquet"])
def test_every_format_becomes_every_other(out_of: str, into: str, tmp_path: Path) -> None:
    texts = ["plain", 'a "quote", and a comma', "naïve \u2028 film 🎬", "a lone \r return"]
    target = copy(
        write(tmp_path / f"in.{out_of}", texts), tmp_path / f"out.{into}", [GOOD, GOOD, "text is blank", GOOD]
    )
    answers = [{"text": text} | ANSWER for text in texts]
    answers[2] |= NO_ANSWER
    if into == "csv":
        written = {None: "", True: "true", False: "false"}
        answers = [{name: written.get(value, str(value)) for name, value in row.items()} for row in answers]
    assert rows_of(target) == answers


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "parquet"])
def test_parts_hold_so_many_rows_in_order(kind: str, tmp_path: Path) -> None:
    texts = [f"film {number}" for number in range(2 * PART_ROWS + 5)]
    table = open_table(write(tmp_path / f"in.{kind}", texts))
    parts = list(table.parts("text"))
    assert [(part.number, len(part.cells), len(part.rows)) for part in parts] == [
        (0, PART_ROWS, PART_ROWS),
        (1, PART_ROWS, PART_ROWS),
        (2, 5, 5),
    ]
    assert [cell for part in parts for cell in part.cells] == texts
    assert parts[-1].position == table.total
    joined = copy(table.path, tmp_path / "out.jsonl")  # type: ignore[attr-defined]
    assert [row["text"] for row in rows_of(joined)] == texts


@pytest.mark.parametrize("into", ["csv", "jsonl", "parquet"])
def test_a_table_without_rows_gives_one_without_rows(into: str, tmp_path: Path) -> None:
    target = copy(write(tmp_path / "in.csv", []), tmp_path / f"out.{into}")
    assert rows_of(target) == []
    if into == "csv":
        assert target.read_text().strip() == ",".join(["text", *COLUMNS])


def test_blank_lines_of_text_are_rows_and_line_ends_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n  \ntwo \nthree")
    assert texts_of(path) == ["one", "", "  ", "two ", "three"]


def test_csv_with_any_quoting(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"two\r\nlines, ""one"" review"\r\n\r\n2,plain\r\n"3"\r\n')
    assert texts_of(path) == ['two\r\nlines, "one" review', "plain", None]


def test_a_large_csv_is_never_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", ["a film of a thousand letters " * 35] * 10 * PART_ROWS)
    tracemalloc.start()
    assert sum(len(part.cells) for part in open_table(path).parts("text")) == 10 * PART_ROWS
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < path.stat().st_size / 3  # two parts and some


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "text": pyarrow.array(["good", "bad", "good"]).dictionary_encode(),
            "day": pyarrow.array([datetime.date(2024, 2, 29), None, None]),
            "price": pyarrow.array([decimal.Decimal("1.50"), None, None]),
            "tags": pyarrow.array([["a"], [], None], pyarrow.list_(pyarrow.string())),
            "score": pyarrow.array([float("nan"), 1.5, None], pyarrow.float32()),
        },
        metadata={"origin": "a shop"},
    )
    parquet.write_table(table, source := tmp_path / "in.parquet")
    written = parquet.read_table(copy(source, tmp_path / "out.parquet"))
    assert written.schema.metadata[b"origin"] == b"a shop"
    assert written.select(table.schema.names).cast(table.schema).schema == table.schema
    assert written.select(["text", "day", "price", "tags"]).equals(
        table.drop_columns(["score"]).replace_schema_metadata(written.schema.metadata)
    )
    first = rows_of(copy(source, tmp_path / "out.jsonl"))[0]
    assert first == {"text": "good", "day": "2024-02-29", "price": "1.50", "tags": ["a"], "score": None} | ANSWER


def test_json_lines_with_columns_that_come_and_go(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "one", "n": 1, "half": 1, "flag": True, "mixed": [1]},
        {"text": "two", "n": None, "half": 0.5, "mixed": "word", "late": 2**70},
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("\n\n".join(map(json.dumps, rows)))
    assert rows_of(copy(source, tmp_path / "out.jsonl")) == [row | ANSWER for row in rows]
    written = parquet.read_table(copy(source, tmp_path / "out.parquet")).select(["n", "half", "flag", "mixed", "late"])
    assert [str(kind) for kind in written.schema.types] == ["int64", "double", "bool", "string", "string"]
    assert written.to_pylist() == [
        {"n": 1, "half": 1.0, "flag": True, "mixed": "[1]", "late": None},
        {"n": None, "half": 0.5, "flag": None, "mixed": "word", "late": str(2**70)},
    ]
    assert rows_of(copy(source, tmp_path / "out.csv"))[0]["mixed"] == "[1]"


def test_half_a_surrogate_pair_is_kept_where_it_can_be(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "half \\ud83c"}\n')
    assert refuse(texts_of(source)[0], 100) == "text has half of a surrogate pair, which is no character"
    assert rows_of(copy(source, tmp_path / "out.jsonl"))[0]["text"] == "half \ud83c"
    assert rows_of(copy(source, tmp_path / "out.csv"))[0]["text"] == "half \\ud83c"
    assert rows_of(copy(source, tmp_path / "out.parquet"))[0]["text"] == "half \\ud83c"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("in.xlsx", b"", "has a suffix of no known kind (.xlsx); it must be .txt or .csv or .jsonl or .parquet"),
        ("in", b"", "has a suffix of no known kind (none)"),
        ("in.txt", b"fine\nna\xefve\n", "line 2 has bytes that are not UTF-8 (at byte 3)"),
        ("in.csv", b"", "is empty; the first row must name the columns"),
        ("in.csv", b"text,text\n", "has two columns 'text'"),
        ("in.csv", b"id,text\n1,one\n2,two, three\n", "row 2 has 3 fields, the header 2"),
        ("in.csv", b'text\none\n"two\n', "row 2 cannot be read as CSV (up to line 3): unexpected end of data"),
        ("in.csv", b"text\none\nna\xefve\n", "line 3 has bytes that are not UTF-8"),
        ("in.jsonl", b"", "is empty; each line must be a JSON object"),
        ("in.jsonl", b'{"text": "one"}\n{"text": \n', "line 2 is not JSON: "),
        ("in.jsonl", b'{"text": "one"}\n["two"]\n', "line 2 is no JSON object"),
        ("in.parquet", b"PAR1 and more", "is not Parquet: "),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TableError) as refused:
        texts_of(path)
    assert str(refused.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize("into", ["csv", "jsonl"])
def test_times_that_python_has_not_are_written_as_arrow_writes_them(into: str, tmp_path: Path) -> None:
    times = pyarrow.array([1, 10**18 + 1], pyarrow.timestamp("ns"))
    far = pyarrow.array([2**60, 0], pyarrow.timestamp("ms"))
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "when": times, "far": far}), path := tmp_path / "in.parquet")
    rows = rows_of(copy(path, tmp_path / f"out.{into}"))
    assert [row["when"].replace("T", " ") for row in rows] == [
        "1970-01-01 00:00:00.000000001",
        "2001-09-09 01:46:40.000000001",
    ]
    assert rows[1]["far"].startswith("1970-01-01")


@pytest.mark.parametrize("into", ["csv", "jsonl"])
def test_a_column_beside_the_text_that_is_not_utf_8_is_named(into: str, tmp_path: Path) -> None:
    bad = pyarrow.array([b"na\xefve"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": ["fine"], "title": bad}), path := tmp_path / "in.parquet")
    with pytest.raises(JobError, match=r"column 'title' cannot be written as text \(.*\); write \.parquet"):
        copy(path, tmp_path / f"out.{into}")


def test_a_text_in_parquet_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    bad = pyarrow.array([b"fine", b"na\xefve"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": bad}), path := tmp_path / "in.parquet")
    with pytest.raises(TableError, match="row 2 has bytes that are not UTF-8"):
        texts_of(path)


@pytest.mark.parametrize(
    ("columns", "wanted", "chosen"),
    [
        ({"text": 1, "review": "x"}, None, "text"),
        ({"body": "x", "review": "x"}, None, "review"),
        ({"id": 1, "body": "x"}, None, "body"),
        ({"id": 1, "text": "x"}, "id", "id"),
        (
            {"title": "x", "body": "x"},
            None,
            "does not tell which column has the reviews; give --column, one of 'title', ",
        ),
        ({"id": 1}, None, "does not tell"),
        ({"text": "x"}, "body", "has no column 'body'; it has 'text'"),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_column_of_reviews(
    columns: dict[str, Any], wanted: str | None, chosen: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"in.{kind}"
    if kind == "jsonl":
        path.write_text(json.dumps(columns))
    else:
        parquet.write_table(pyarrow.table({name: [value] for name, value in columns.items()}), path)
    table = open_table(path)
    if chosen in columns:
        assert choose_column(path, table, wanted) == chosen
    else:
        with pytest.raises(TableError, match=chosen):
            choose_column(path, table, wanted)


def test_a_column_with_the_name_of_an_answer_s_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("text,sentiment\n")
    with pytest.raises(TableError, match=r"out\.csv: would have two columns 'sentiment'; rename the input's"):
        open_writer(tmp_path / "out.csv", open_table(path))
    with pytest.raises(TableError, match=r"no known kind \(\.txt\); it must be \.csv or \.jsonl or \.parquet"):
        open_writer(tmp_path / "out.txt", open_table(write(tmp_path / "in.txt", [])))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("fine", None),
        ("é" * 5, None),
        ("é" * 6, "text has 12 bytes of UTF-8; send at most 10"),
        ("", "text is blank; send a text with at least one visible character"),
        (" \n", "text is blank; send a text with at least one visible character"),
        (None, "text is missing"),
        (["a list"], "text is no string but ['a list']"),
    ],
)
def test_cells_that_are_no_text_are_told_apart(cell: object, reason: str | None) -> None:
    assert refuse(cell, 10) == reason


def test_outcomes_survive_as_rows() -> None:
    assert [from_row(to_row(outcome)) for outcome in (GOOD, "text is blank")] == [GOOD, "text is blank"]
