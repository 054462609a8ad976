"""How much of scoring a VCF is not the model, and does its memory grow with the VCF?

    python benchmarks/variants.py [--variants 600] [--memory-variants 2000 16000]

SNVs of a random genome go from VCF to `.vcf.gz` with percentiles, with `tiny` at 512 bp. Time is
processor time of one thread; what is spent in the model's passes is taken out of the same run, and
reading, windowing, ranking and writing are the rest: at most 15 %. Memory is measured in processes
of their own with a small network, anonymous pages at the end: 8 times the variants may take a fifth
more. `--variants 100000` is the whole claim, about 80 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from findna.inference.score_variants import score_variants
from findna.inference.variants import background, strata
from findna.model.model import Model, new_model
from findna.sequence.genome import Genome

SHARE_LIMIT, MEMORY_LIMIT = 0.15, 1.2
CHROMS, CHROM_BASES = 4, 1_000_000

CHILD = """
import logging, sys
import torch
from findna.inference.score_variants import score_variants
from findna.model.model import ModelConfig, new_model
logging.getLogger("findna").setLevel(logging.ERROR)
torch.set_num_threads(1)
shape = {"width": 16, "hidden": 16, "track_size": 8, "depth": 1, "summary_tokens": 1}
model = new_model(ModelConfig.parse({"backbone": shape}, source="benchmark"), seed=0)
vcf, genome, output = sys.argv[1:]
score_variants(vcf, genome, model, output, window=32, percentiles=False, device="cpu")
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(fields["RssAnon"].split()[0]) / 1024)
"""


def write_genome(file: Path) -> list[str]:
    """Chromosomes of random letters; returns them."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)
    chroms = [letters[rng.integers(4, size=CHROM_BASES)].tobytes().decode() for _ in range(CHROMS)]
    file.write_text("".join(f">chr{i + 1}\n{chrom}\n" for i, chrom in enumerate(chroms)))
    return chroms


def write_vcf(file: Path, chroms: list[str], variants: int) -> None:
    """Sorted SNVs at random places, one ALT each."""
    rng = np.random.default_rng(1)
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for number, chrom in enumerate(chroms):
        for place in np.sort(rng.integers(CHROM_BASES, size=variants // CHROMS)).tolist():
            ref = chrom[place]
            alt = "ACGT"["ACGT".index(ref) - int(rng.integers(1, 4))]
            lines.append(f"chr{number + 1}\t{place + 1}\t.\t{ref}\t{alt}\t.\t.\t.")
    file.write_text("\n".join(lines) + "\n")


class PassTimer:
    """Counts the processor time that a model spends in its passes."""

    def __init__(self, model: Model) -> None:
        self.seconds, self.bases = 0.0, 0
        self._encode, self._head = model.encode, model.base_logits
        model.encode = self._timed(self._encode)  # type: ignore[method-assign]
        model.base_logits = self._timed(self._head)  # type: ignore[method-assign]

    def _timed(self, call: Any) -> Any:
        def timed(codes: torch.Tensor, *rest: Any, **how: Any) -> Any:
            began = time.process_time()
            answer = call(codes, *rest, **how)
            self.seconds += time.process_time() - began
            self.bases += codes.numel() if codes.dtype == torch.int64 else 0
            return answer

        return timed


def time_share(folder: Path, genome: Path, chroms: list[str], variants: int) -> dict[str, float]:
    """Seconds in all and in the model's passes, and the share of what is neither."""
    # The background is made once a genome: what counts here is ranking against it.
    strata.SUBSTITUTIONS = background._FEWEST
    few, vcf = folder / "few.vcf", folder / "all.vcf"
    write_vcf(few, chroms, 40 * CHROMS)
    write_vcf(vcf, chroms, variants)
    opened, model = Genome.open(genome), new_model("tiny", seed=0).eval()
    score_variants(few, opened, model, folder / "few.vcf.gz", device="cpu")
    timer = PassTimer(model)
    began = time.process_time()
    score_variants(vcf, opened, model, folder / "all.vcf.gz", device="cpu")
    seconds = time.process_time() - began
    return {
        "variants": variants,
        "seconds": seconds,
        "passes": timer.seconds,
        "bases": timer.bases,
        "share": 1 - timer.seconds / seconds,
    }


def memory(folder: Path, genome: Path, chroms: list[str], variants: int) -> float:
    """Anonymous memory in MiB at the end of scoring."""
    vcf = folder / f"{variants}.vcf"
    write_vcf(vcf, chroms, variants)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(vcf), str(genome), str(folder / f"{variants}.vcf.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    """Print the share and the growth of memory; 1 when one is over its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=600)
    parser.add_argument("--memory-variants", type=int, nargs=2, default=[2000, 16_000])
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["FINDNA_CACHE"] = str(folder / "cache")
        genome = folder / "genome.fa"
        chroms = write_genome(genome)
        less, more = (memory(folder, genome, chroms, n) for n in given.memory_variants)
        found = time_share(folder, genome, chroms, given.variants)
    found |= {"mib": more, "memory_ratio": more / less}
    limits = {"share_limit": SHARE_LIMIT, "memory_limit": MEMORY_LIMIT}
    print(json.dumps({"benchmark": "variants", **found, **limits}))
    print(
        f"{given.variants:,} SNVs: {found['share']:.1%} of the time is not the model's (limit"
        f" {SHARE_LIMIT:.0%}); {found['variants'] / found['seconds']:.0f} SNVs/s of one thread;"
        f" own memory {more:.0f} MiB, {found['memory_ratio']:.2f} x at"
        f" {given.memory_variants[1] / given.memory_variants[0]:.0f} times the variants (limit"
        f" {MEMORY_LIMIT})"
    )
    return int(found["share"] > SHARE_LIMIT or found["memory_ratio"] > MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
