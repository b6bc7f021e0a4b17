"""Where, when and of what a run is."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from benchmarks.errors import Refused
from benchmarks.figures import Conditions
from service.client import ModelInfo
from service.native_lstm import best_instruction_set

_PACKAGES = ("grpcio", "numpy", "onnxruntime", "onnxruntime-gpu", "protobuf", "prometheus-client", "torch")
_ROOT = Path(__file__).parent.parent


def choose_cores() -> tuple[int, int]:
    """One for the server and another for the client. Raises Refused where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Refused("this takes two cores, one for the server and one for the client, and here is only one")
    return cores[0], cores[-1]


def describe(*, model: ModelInfo, reviews: str, lengths: Collection[int], cores: int, quick: bool) -> Conditions:
    """The conditions of a run that begins now."""
    processor = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in processor.splitlines() if line.startswith("model name")]
    return Conditions(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=names[0] if names else platform.machine(),
        cores=cores,
        instructions=native.name if (native := best_instruction_set()) else "none",
        kernel=platform.release(),
        python=platform.python_version(),
        packages=_versions(),
        commit=_git("rev-parse", "--short", "HEAD"),
        changed=bool(_git("status", "--porcelain")),
        model=f"{model.name} {model.version}",
        precision=model.precision,
        device=model.execution_provider,
        reviews=reviews,
        mean_tokens=fmean(lengths),
        quick=quick,
        arguments=sys.argv[1:],
    )


def _versions() -> dict[str, str]:
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _git(*arguments: str) -> str:
    """What git says; nothing where there is no git."""
    try:
        return subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
