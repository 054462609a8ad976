"""Freed memory kept, or given back to the system: what does it do to a pass on a CPU?

    python benchmarks/allocation.py [--preset tiny] [--threads 2] [--rounds 2]

Embeddings of 300 sequences of 100 to 900 bp, and training steps of 32 rows of 300 bp, in processes
of their own, in turn with and without `findna.allocation.keep_freed_memory`, which cannot be
undone; best of all rounds. Prints a line of JSON and one for people; exit code 1 above a limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import numpy as np
import torch
from finetune import drawn, steps
from timing import best_times

from findna.allocation import keep_freed_memory
from findna.inference.embed import embeddings
from findna.model.model import new_model
from findna.training.finetune_settings import LAYERED

LIMIT, MEMORY_LIMIT = 1.0, 1.25
SEQUENCES, LENGTHS = 300, (100, 901)
JOBS = ("embed", "train")


def measure(preset: str, threads: int, job: str, kept: bool) -> dict[str, float]:
    """Seconds of a job in this process, and the most memory it held in MiB."""
    if kept and not keep_freed_memory():
        raise SystemExit("no glibc here, or the environment tunes it")
    torch.set_num_threads(threads)
    model, run = new_model(preset, 0), steps(preset, drawn("equal"), LAYERED, "fp32")
    if job == "embed":
        random = np.random.default_rng(0)
        lengths = random.integers(*LENGTHS, SEQUENCES)
        sequences = [random.integers(0, 4, n, dtype=np.uint8) for n in lengths]
        run = lambda: embeddings(model, sequences)  # noqa: E731
    best_times({job: run}, 1)
    seconds = best_times({job: run}, 3)[job]
    return {"seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> int:
    """Measure both ways in turn, print, and fail above a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--alone", nargs=2, metavar=("JOB", "HOW"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        job, how = given.alone
        print(json.dumps(measure(given.preset, given.threads, job, how == "kept")))
        return 0
    ratios = {}
    for job in JOBS:
        found: dict[str, list[dict[str, float]]] = {"kept": [], "given-back": []}
        for _ in range(given.rounds):
            for how, rounds in found.items():
                command = [sys.executable, __file__, "--alone", job, how]
                command += ["--preset", given.preset, "--threads", str(given.threads)]
                told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                rounds.append(json.loads(told))
        for what in ("seconds", "mib"):
            kept, back = (min(one[what] for one in rounds) for rounds in found.values())
            ratios[f"{job} {what}"] = round(kept / back, 3)
    print(json.dumps({"benchmark": "allocation", "threads": given.threads, **ratios}))
    time = [ratios[f"{job} seconds"] for job in JOBS]
    memory = max(ratios[f"{job} mib"] for job in JOBS)
    print(
        f"{given.preset}, freed memory kept over given back: embedding {time[0]:.2f} and training"
        f" {time[1]:.2f} of the time (limit {LIMIT}), {memory:.2f} of the memory (limit"
        f" {MEMORY_LIMIT})"
    )
    return int(max(time) > LIMIT or memory > MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
