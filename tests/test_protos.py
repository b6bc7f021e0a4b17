"""The proto lint finds what it is for, and what would break callers."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).parent.parent / "protos"

BAD = """\
syntax = "proto3";
package reviews;

enum Mood { GOOD = 0; MOOD_BAD = 1; }
message answer { string Text = 1; }
// Documented.
service Reviews { rpc Judge(answer) returns (answer); }
"""


def lint(*arguments: str | Path, protos: Path = PROTOS) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, protos / "lint.py", *arguments], capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Our protos in a place where they may be changed."""
    return Path(shutil.copytree(PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("__pycache__")))


def take_a_field_out(protos: Path) -> None:
    file = protos / "sentiment/v1/sentiment.proto"
    before = file.read_text()
    file.write_text(before.replace("  bool truncated = 4;\n", ""))
    assert file.read_text() != before


def test_our_protos_are_clean() -> None:
    done = lint("--against", PROTOS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_breaks_a_rule_is_named(tmp_path: Path) -> None:
    (tmp_path / "Bad.proto").write_text(BAD)
    done = lint(tmp_path)
    assert done.returncode == 1
    for words in (
        'package "reviews" must be within a directory',
        'Message name "answer" should be PascalCase',
        'Message "answer" should have a non-empty comment',
        'RPC request type "answer" should be named "JudgeRequest"',
    ):
        assert words in done.stdout


def test_a_change_that_breaks_clients_is_found(copy: Path) -> None:
    take_a_field_out(copy)
    done = lint(copy, "--against", PROTOS)
    assert done.returncode == 1
    assert 'Previously present field "4" with name "truncated" on message "Classification" was deleted' in done.stdout


def test_the_last_tag_is_what_must_not_be_broken(copy: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=copy.parent, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    assert "no tag has protos" in lint(protos=copy).stdout
    git("tag", "v1")
    assert lint(protos=copy).returncode == 0
    take_a_field_out(copy)
    assert lint(protos=copy).returncode == 1
