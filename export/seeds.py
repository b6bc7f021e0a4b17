"""The same recipe from several seeds, side by side, one core each: how far its figures are luck."""

import filecmp
import multiprocessing
import os
import shutil
import signal
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

    That one is `run/checkpoint.pt`, too. Whatever ends this ends them all; with `resume` they go on.
    """
    paths = [seed_path(run, seed) for seed in range(1, seeds + 1)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(seeds, cores)
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, spawn, _begin_worker, (max(1, cores // workers),)) as pool:
        try:
            jobs = [
                pool.submit(train, material, path, replace(config, seed=seed), device, resume and _has_begun(path))
                for seed, path in enumerate(paths, start=1)
            ]
            trained = [job.result() for job in jobs]
        except BaseException:
            for worker in multiprocessing.active_children():  # which would go on, and begin the next seed
                worker.terminate()
            raise
    best = min(range(seeds), key=lambda index: trained[index].history[-1]["validation_log_loss"])
    partial = run / "checkpoint.pt.part"
    shutil.copyfile(paths[best], partial)
    os.replace(partial, run / "checkpoint.pt")
    return trained[best]


def _begin_worker(threads: int) -> None:
    """Take so many threads, leave Ctrl-C to the parent, and end with it, even if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    """The checkpoints of every seed that `run/checkpoint.pt` was chosen among; that one alone, if it was not chosen."""
    best, paths = run / "checkpoint.pt", list(run.glob("seed-*/checkpoint.pt"))
    chosen = Checkpoint.load(best)
    if not any(filecmp.cmp(path, best, shallow=False) for path in paths):
        return [chosen]
    seeds = [seed for seed in map(Checkpoint.load, paths) if _same_but_for_seed(seed, chosen)]
    return sorted(seeds, key=lambda seed: seed.train.seed)


def _same_but_for_seed(one: Checkpoint, other: Checkpoint) -> bool:
    same = replace(one.train, seed=other.train.seed) == other.train
    return one.finished and same and one.material_fingerprint == other.material_fingerprint


def _has_begun(path: Path) -> bool:
    return path.with_name(path.name + ".resume").exists()
