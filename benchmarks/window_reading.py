"""Windows from the memory map of a genome against a plain numpy gather of the same bytes, warm.

    python benchmarks/window_reading.py

The gather is `bases[starts[:, None] + steps]` on an array in memory: it does nothing about runs,
ends, case or tensors. Prints one line of JSON and one for people; exit code 1 above the limit.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from findna.data.sampling import SamplingSettings, usable_runs
from findna.data.windows import WindowSampler
from findna.sequence.genome import Genome

LIMIT = 3.0
_MARGIN = 20


def simulated(bases: int, folder: Path) -> Genome:
    """A genome of four chromosomes of random letters, a third of them lower case."""
    rng = np.random.default_rng(0)
    path = folder / "genome.fa"
    with open(path, "wb") as file:
        for chrom in range(4):
            letters = rng.choice(np.frombuffer(b"ACGT", np.uint8), bases // 4)
            letters[: bases // 12] |= 0x20
            file.write(b">chr%d\n" % (chrom + 1) + letters.tobytes() + b"\n")
    return Genome.open(path, cache=folder)


def measure(
    sampler: WindowSampler, memory: NDArray[np.uint8], starts: NDArray[np.int64], length: int
) -> tuple[float, float]:
    """Seconds of one reading through the sampler and of one plain gather."""
    started = time.perf_counter()
    sampler.read(starts, length, _MARGIN)
    between = time.perf_counter()
    memory[starts[:, None] + np.arange(length + _MARGIN)]
    return between - started, time.perf_counter() - between


def main() -> int:
    """Measure both in turn on the same windows, several times, and compare the best of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", type=int, default=1 << 26, help="size of the genome")
    parser.add_argument("--windows", type=int, default=4096, help="windows in a reading")
    parser.add_argument("--length", type=int, default=512, help="window length in bp")
    parser.add_argument("--repeats", type=int, default=15, help="measurements of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        genome = simulated(options.bases, Path(folder))
        settings = SamplingSettings(window=options.length, one_length=True)
        sampler = WindowSampler(genome, usable_runs(genome, settings), settings, seed=0)
        ids = np.arange(options.windows, dtype=np.int64)
        starts = sampler.draw(0, ids, options.length)
        starts = np.minimum(starts, genome.total - options.length - _MARGIN)
        memory = np.array(genome.store)
        pairs = [measure(sampler, memory, starts, options.length) for _ in range(options.repeats)]
    ours, plain = (min(times) for times in zip(*pairs, strict=True))
    ratio = ours / plain
    result = {
        "benchmark": "window_reading",
        "genome_bases": options.bases,
        "windows": options.windows,
        "length": options.length,
        "read_s": round(ours, 5),
        "gather_s": round(plain, 5),
        "ratio": round(ratio, 3),
        "limit": LIMIT,
    }
    print(json.dumps(result))
    print(
        f"window reading: {options.windows / ours:,.0f} windows of {options.length} bp a second, "
        f"{ratio:.2f} times a plain numpy gather (limit {LIMIT:g})"
    )
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
