"""Which model knows held-out DNA better? MASK-only losses on the same windows, and differences.

    python benchmarks/held_out.py -m human=findna-human-tiny -m medium=findna-human-medium
        [--genome ../shared/data/human_hg38/hg38_regions.fa.gz] [--held-out chr10,chr21]
        [--length 70 --length 500] [--bases 262144] [--publish docs/results/medium]

Windows are drawn from the chromosomes that no model may have read, 15 % of their bases are hidden,
all of them shown as MASK, and every model answers the same ones, at each length. Nats a base; 95 %
intervals and those of the differences to the first model come from 1,000 resamples of windows, the
same for both. A model that does not say that it held these chromosomes out is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch

from findna.data.holdout import split_genome
from findna.data.sampling import SamplingSettings
from findna.inference.precision import resolve_precision
from findna.model.loading import load_model
from findna.model.model import Model
from findna.sequence.genome import Genome
from findna.training.validation import HeldOut, held_out, masked_sums, ratio_interval

LENGTHS = (70, 100, 300, 500, 1000)
HIDDEN, RESAMPLES = 0.15, 1000


def models(named: list[str], chromosomes: list[str]) -> dict[str, Model]:
    """Models by name."""
    found = {}
    for text in named:
        name, _, place = text.partition("=")
        found[name] = load_model(place or name)
        kept = found[name].provenance.get("held_out_chromosomes") or ()
        if not set(chromosomes) <= set(kept):
            raise SystemExit(f"{name} held out {', '.join(kept) or 'no chromosomes'}")
    return found


def rows(models: dict[str, Model], windows: HeldOut) -> list[dict[str, object]]:
    """A row a model: its loss, and that minus the loss of the first one."""
    sums = {
        name: masked_sums(model, windows, precision=resolve_precision("auto", model.device))
        for name, model in models.items()
    }
    first = next(iter(sums.values()))
    told = []
    for name, each in sums.items():
        hidden, loss, less = each[:, 2], each[:, 0], each[:, 0] - first[:, 0]
        row = {"length": windows.codes.shape[1], "windows": len(each), "model": name}
        for what, top in (("loss", loss), ("minus first", less)):
            low, high = ratio_interval(top, hidden, RESAMPLES)
            row |= {what: top.sum() / hidden.sum(), f"{what} low": low, f"{what} high": high}
        told.append(row)
    return told


def main() -> None:
    """Draw windows, ask every model, print, and publish if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--model", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument(
        "--genome", default="../shared/data/human_hg38/hg38_regions.fa.gz", help="FASTA"
    )
    parser.add_argument("--held-out", default="chr10,chr21", help="chromosomes, with commas")
    parser.add_argument("--length", action="append", type=int, help=f"instead of {LENGTHS}")
    parser.add_argument("--bases", type=int, default=262_144, help="a length")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    chromosomes = given.held_out.split(",")
    asked = models(given.model, chromosomes)
    genome = Genome.open(given.genome)
    settings = SamplingSettings(validation_chroms=tuple(chromosomes))
    held = split_genome(genome, settings).validation
    table = pd.DataFrame(
        row
        for length in given.length or LENGTHS
        for row in rows(
            asked,
            held_out(
                genome, held, length=length, bases=given.bases, hidden=HIDDEN,
                max_n=settings.max_n, seed=0,
            ),
        )
    )  # fmt: skip
    print(table.to_string(index=False, float_format="%.4f"))
    if given.publish:
        given.publish.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.publish / "held-out.tsv", sep="\t", index=False, float_format="%.5f")


if __name__ == "__main__":
    main()
