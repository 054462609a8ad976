"""Does pretraining's memory grow with the genome or with the number of windows?

    python benchmarks/memory.py [--megabases 4 64] [--steps 40 160]

Each run is a process of its own on a random genome; what counts is its own memory (anonymous
pages), since pages of the mapped genome belong to the system and go when it wants them back. The
limit: neither 16 times the genome nor 4 times the steps may take more than a fifth more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

LIMIT = 1.2

CHILD = """
import logging, sys
from findna.training.pretrain import pretrain
logging.getLogger("findna").setLevel(logging.ERROR)
pretrain(sys.argv[1], sys.argv[2], {
    "steps": int(sys.argv[3]), "sampling": {"batch_bases": 8192, "window": 256},
    "validation": {"bases": 8192, "final_bases": 8192, "checks": 1},
}, device="cpu")
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(fields["RssAnon"].split()[0]) / 1024)
"""


def write_genome(file: Path, megabases: int) -> None:
    """Eight chromosomes of random letters, about ``megabases`` Mb together."""
    rng = np.random.default_rng(0)
    with file.open("wb") as out:
        for number in range(8):
            out.write(b">chr%d\n" % (number + 1))
            letters = np.frombuffer(b"ACGT", np.uint8)[
                rng.integers(4, size=megabases * 125_000, dtype=np.uint8)
            ]
            out.write(letters.tobytes() + b"\n")


def memory(folder: Path, megabases: int, steps: int) -> float:
    """Anonymous memory in MiB at the end of a run."""
    genome = folder / f"{megabases}.fa"
    if not genome.exists():
        write_genome(genome, megabases)
    run = folder / f"{megabases}-{steps}"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(genome), str(run), str(steps)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    """Print both ratios; 1 when one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabases", type=int, nargs=2, default=[4, 64])
    parser.add_argument("--steps", type=int, nargs=2, default=[40, 160])
    parser.add_argument("--device", help="ignored: this is about the CPU")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base = memory(folder, given.megabases[0], given.steps[0])
        larger = memory(folder, given.megabases[1], given.steps[0])
        longer = memory(folder, given.megabases[0], given.steps[1])
    found = {
        "benchmark": "memory",
        "mib": base,
        "genome_ratio": larger / base,
        "steps_ratio": longer / base,
        "limit": LIMIT,
    }
    print(json.dumps(found))
    genomes, steps = (more / less for less, more in (given.megabases, given.steps))
    print(
        f"own memory {base:.0f} MiB; {found['genome_ratio']:.2f} x with {genomes:g} times the"
        f" genome, {found['steps_ratio']:.2f} x with {steps:g} times the steps (limit {LIMIT})"
    )
    return int(max(larger, longer) / base > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
