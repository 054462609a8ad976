"""What pretraining adds on the simulated example, over generator seeds.

    python benchmarks/example_gain.py [--seeds 1 2 3 4 5] [--finetunings 3] [-o build/gain]

Each generator seed is one run of the demo (about five minutes on two cores), with a number of
pretraining steps instead of its two minutes, so that the result does not depend on how busy the
machine is. Its fine-tuning is then repeated with other seeds, from the same pretrained model and
from other random weights: one fine-tuning from random weights moves by more than what is measured.
What is there is not run again. Prints the gain in test MCC of every generator seed, its mean over
them and the 95 % interval (t); exit code 1 unless the mean is at least 0.05 on every task with an
interval above 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import stats

import findna
from findna.training.finetune import FinetuneSettings

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo.py"
# How the demo reads the strands of each task, and for how long.
TASKS = {"promoters": "forward", "coding": "both"}
EPOCHS = 8
WANTED = 0.05


def run_demo(seed: int, steps: int, folder: Path) -> Path:
    """The folder of the demo of a generator seed, made if it is not there."""
    place, kept = folder / str(seed), folder / f"{seed}.txt"
    if not kept.exists():
        command = [sys.executable, str(DEMO), str(place), "--seed", str(seed)]
        command += ["--steps", str(steps), "--epochs", str(EPOCHS), "--overwrite"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        kept.write_text(done.stdout)
    return place


def mcc(place: Path, task: str, start: str, seed: int) -> float:
    """Test MCC of a fine-tuning; seed 0 is the demo's own."""
    run = place / (f"{task}-{start}" if seed == 0 else f"{task}-{start}-{seed}")
    if not (run / "metrics.json").exists():
        settings = FinetuneSettings(epochs=EPOCHS, strand=TASKS[task], seed=seed, train="full")
        model = place / "pretrained" if start == "pretrained" else "tiny"
        data = place / "example" / task
        findna.finetune(data, run, model=model, settings=settings, overwrite=True)
    return float(json.loads((run / "metrics.json").read_text())["metrics"]["mcc"]["value"])


def gain(place: Path, task: str, finetunings: int) -> float:
    """Mean over fine-tuning seeds of pretrained minus random."""
    each = [
        mcc(place, task, "pretrained", seed) - mcc(place, task, "random", seed)
        for seed in range(finetunings)
    ]
    return float(np.mean(each))


def main() -> int:
    """Print every seed's gain and the mean by task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--finetunings", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    # What two minutes are on two idle cores.
    parser.add_argument("--steps", type=int, default=1120)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gain"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    places = [run_demo(seed, given.steps, given.output) for seed in given.seeds]
    missed = 0
    for task in given.tasks:
        gains = np.array([gain(place, task, given.finetunings) for place in places])
        half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains) if len(gains) > 1 else np.inf
        print(f"{task}: gains {gains.round(3).tolist()}, mean {gains.mean():.3f} ± {half:.3f}")
        missed += gains.mean() < WANTED or gains.mean() - half <= 0
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
