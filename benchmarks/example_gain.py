"""What pretraining adds on the simulated example, over generator seeds.

    python benchmarks/example_gain.py [--seeds 1 2 3 4 5] [--steps 280] [-o build/gain]

Each seed is one run of the demo (about five minutes on two cores), with a number of pretraining
steps instead of its two minutes, so that the result does not depend on how busy the machine is; a
seed whose table is there is not run again. Prints test MCC of the k-mer baseline, random weights
and the pretrained model, and the paired gain with its 95 % interval; exit code 1 unless the mean
gain over seeds is at least 0.05 on every task with an interval (t, over seeds) above 0.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import stats

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo.py"
TASKS = ("promoters", "coding")
WANTED = 0.05


def run_demo(seed: int, steps: int, folder: Path) -> str:
    """The demo's printed output for a generator seed, kept in `folder`."""
    kept = folder / f"{seed}.txt"
    if not kept.exists():
        command = [sys.executable, str(DEMO), str(folder / str(seed)), "--seed", str(seed)]
        command += ["--steps", str(steps)]
        done = subprocess.run(
            [*command, "--overwrite"], stdout=subprocess.PIPE, text=True, check=True
        )
        kept.write_text(done.stdout)
    return kept.read_text()


def gain_of(output: str, task: str) -> float:
    """The gain that stands in the task's line: the last number in front of the last interval."""
    line = next(row for row in output.splitlines() if row.startswith(f"{task} "))
    return float(line.rsplit("[", 1)[0].split()[-1])


def main() -> int:
    """Print every seed's lines and the mean gain by task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    # What two minutes are on two idle cores.
    parser.add_argument("--steps", type=int, default=280)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gain"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    outputs = [run_demo(seed, given.steps, given.output) for seed in given.seeds]
    missed = 0
    for task in TASKS:
        gains = np.array([gain_of(output, task) for output in outputs])
        half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains) if len(gains) > 1 else np.inf
        print(f"{task}: gains {gains.round(3).tolist()}, mean {gains.mean():.3f} ± {half:.3f}")
        missed += gains.mean() < WANTED or gains.mean() - half <= 0
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
