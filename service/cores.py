"""The processor cores that this process may use."""

import os
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Those that it may be scheduled on, or as many as its cgroup's quota is worth where that is less; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([allowed, *_quotas(root)])))


def _quotas(root: Path) -> list[float]:
    """What cgroup v2 grants, in cores: this process's own group and every group above it may set a limit."""
    mounted = root / "sys/fs/cgroup"
    own = mounted / _own_group(root / "proc/self/cgroup")
    folders = [folder for folder in (own, *own.parents) if folder.is_relative_to(mounted)]
    return [float(quota) / float(period) for quota, period in map(_limit, folders) if quota != "max"]


def _own_group(path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")), "")


def _limit(folder: Path) -> tuple[str, str]:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):  # the root has none, nor has cgroup v1
        return "max", "1"
    return quota, period
