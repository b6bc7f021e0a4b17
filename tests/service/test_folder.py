"""What the folder of a job says of the job's output."""

import os
from pathlib import Path

import pytest

from service.bulk.folder import Folder


def test_only_what_this_very_job_has_published_is_taken_for_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "remove", lambda _: None)  # as if stopped before
    output = tmp_path / "out.csv"

    def is_published(text: str, written: int) -> bool:
        output.write_text(text)
        os.utime(output, ns=(written, written))
        return folder.is_published()

    with Folder(output, {"column": "text"}) as folder:
        assert not folder.is_published()
        folder.begin(restart=False)
        assert not is_published("theirs", 0)
        with folder.publishing() as path:
            path.write_text("ours")
        assert folder.is_published()
        assert not Folder(output, {"column": "review"}).is_published()
        written = output.stat().st_mtime_ns
        assert not is_published("theirs", written)
        assert not is_published("mine", written + 10**9)
        assert is_published("ours", written)
        output.unlink()
        assert not folder.is_published()
