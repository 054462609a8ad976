"""Times of several jobs measured in turn, so that a busy moment meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch


def best_times(
    jobs: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu"
) -> dict[str, float]:
    """Least seconds of each job over `repeats` rounds."""
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, job in jobs.items():
            wait(device)
            started = time.perf_counter()
            job()
            wait(device)
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def wait(device: str) -> None:
    """Until the device has done what it was asked."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
