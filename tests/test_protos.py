"""The proto lint finds what it is for."""

import subprocess
import sys
from pathlib import Path

LINT = Path(__file__).parent.parent / "protos" / "lint.py"

BAD = """\
syntax = "proto3";
package reviews;

enum Mood { GOOD = 0; MOOD_BAD = 1; }
message answer { string Text = 1; }
// Documented.
service Reviews { rpc Judge(answer) returns (answer); }
"""


def lint(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(LINT), *arguments], capture_output=True, text=True)


def test_our_protos_are_clean() -> None:
    done = lint()
    assert (done.returncode, done.stderr) == (0, "")


def test_what_breaks_a_rule_is_named(tmp_path: Path) -> None:
    (tmp_path / "Bad.proto").write_text(BAD)
    done = lint(str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Bad.proto: {problem}"
        for problem in (
            "PACKAGE_DIRECTORY_MATCH reviews",
            "PACKAGE_VERSION_SUFFIX reviews",
            "FILE_LOWER_SNAKE_CASE Bad.proto",
            "MESSAGE_PASCAL_CASE answer",
            "COMMENT_MESSAGE answer",
            "FIELD_LOWER_SNAKE_CASE answer.Text",
            "COMMENT_FIELD answer.Text",
            "COMMENT_ENUM Mood",
            "ENUM_ZERO_VALUE_SUFFIX GOOD",
            "ENUM_VALUE_PREFIX GOOD",
            "COMMENT_ENUM_VALUE GOOD",
            "COMMENT_ENUM_VALUE MOOD_BAD",
            "SERVICE_SUFFIX Reviews",
            "COMMENT_RPC Judge",
            "RPC_REQUEST_STANDARD_NAME Judge: .reviews.answer",
            "RPC_RESPONSE_STANDARD_NAME Judge: .reviews.answer",
        )
    ]
