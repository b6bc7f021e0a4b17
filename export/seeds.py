"""The same recipe from several seeds, side by side, one core each: how far its figures are luck."""

import multiprocessing
import os
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from export.checkpoint import Checkpoint
from export.lessons import Material
from export.recipes import TrainConfig
from export.train import Device, train


def train_seeds(
    material: Material, run: Path, config: TrainConfig, seeds: int, device: Device = "auto", resume: bool = False
) -> Checkpoint:
    """Train seeds 1 to `seeds` into `run/seed-N/`; returns the one with the least log loss on validation.

    That one is `run/checkpoint.pt`, too.
    """
    paths = [seed_path(run, seed) for seed in range(1, seeds + 1)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(seeds, cores)
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, spawn, _begin_worker, (max(1, cores // workers),)) as pool:
        jobs = [
            pool.submit(train, material, path, replace(config, seed=seed), device, resume and _has_begun(path))
            for seed, path in enumerate(paths, start=1)
        ]
        trained = [job.result() for job in jobs]
    best = min(range(seeds), key=lambda index: trained[index].history[-1]["validation_log_loss"])
    shutil.copyfile(paths[best], run / "checkpoint.pt")
    return trained[best]


def _begin_worker(threads: int) -> None:
    """Take so many threads, and end with the parent, even if that is killed."""
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def seed_path(run: Path, seed: int) -> Path:
    """The checkpoint of one seed."""
    return run / f"seed-{seed}" / "checkpoint.pt"


def load_seeds(run: Path) -> list[Checkpoint]:
    """The checkpoints of every seed of a run; of the one there is, if seeds were not asked for."""
    paths = sorted(run.glob("seed-*/checkpoint.pt")) or [run / "checkpoint.pt"]
    return [Checkpoint.load(path) for path in paths]


def _has_begun(path: Path) -> bool:
    return path.with_name(path.name + ".resume").exists()
