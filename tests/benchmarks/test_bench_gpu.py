"""How busy a GPU is, by an nvidia-smi that is not the real one."""

import time
from pathlib import Path

import pytest

from benchmarks.gpu import GpuBusy

# As nvidia-smi with the flags that are given: a line a sample, until it is stopped.
NVIDIA_SMI = """\
#!/bin/sh
echo 40
echo 60
echo '[N/A]'
exec sleep 30
"""


def test_the_mean_is_of_all_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with GpuBusy(watch=True) as busy:
        time.sleep(0.5)
    assert busy.mean == pytest.approx(0.5)


def test_without_a_gpu_nothing_is_watched() -> None:
    with GpuBusy(watch=False) as busy:
        pass
    assert busy.mean is None
