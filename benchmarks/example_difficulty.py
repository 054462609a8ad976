"""How hard is the simulated example? MCC of the k-mer baseline on its tasks, over generator seeds.

    python benchmarks/example_difficulty.py [--seeds 1 2 3 4 5]

Prints a markdown table and fails when a binary task leaves the range that makes the example honest:
words alone must get somewhere, and must leave something to learn.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from findna.data.labels import read_labelled
from findna.evaluation.contenders.baselines import kmer_baseline
from findna.metrics import Metric
from findna.sequence.simulate import write_example

TASKS = ("promoters", "coding", "repeats")
BINARY = ("promoters", "coding")
LOWEST, HIGHEST = 0.3, 0.7


def mcc_of(task: Path) -> Metric:
    """Test MCC of the k-mer baseline on a task folder, with its interval."""
    return kmer_baseline(read_labelled(task)).judgement.metrics(seed=0)["mcc"]


def measure(seed: int) -> dict[str, Metric]:
    """MCC by task, on the example of one generator seed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_example(Path(scratch) / "example", seed=seed)
        return {task: mcc_of(folder / task) for task in TASKS}


def main() -> int:
    """Print the table; 1 when a binary task is too easy or too hard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    seeds = parser.parse_args().seeds
    logging.getLogger("findna").setLevel(logging.WARNING)
    print("| generator seed | " + " | ".join(TASKS) + " |")
    print("|---" * (len(TASKS) + 1) + "|")
    outside = 0
    for seed in seeds:
        found = measure(seed)
        print(f"| {seed} | " + " | ".join(str(found[task]) for task in TASKS) + " |", flush=True)
        values = [found[task].value for task in BINARY]
        outside += sum(v is None or not LOWEST <= v <= HIGHEST for v in values)
    print(f"\nbinary tasks outside {LOWEST} to {HIGHEST}: {outside}")
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
