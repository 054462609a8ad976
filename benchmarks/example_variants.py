"""Do variants that break a planted motif score above neutral ones on the simulated example?

    python benchmarks/example_variants.py [build/gain/1] -o docs/results/example-variants

Takes a finished demo (`examples/demo.py`; made if it is not there), scores the example's VCF with
every fine-tuning of the promoter task and with the pretrained model, and prints the AUROC of
motif-breaking against neutral variants with a 95 % interval (resampling variants within either
kind): on all chromosomes, and on chr6, which no model was trained on. A variant that breaks a motif
should make a promoter less likely and its letter less expected, so the scores are the negative
changes.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from mutagenesis_example import demo_models
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from findna.files import atomic_file
from findna.inference.score_variants import score_variants

HELD_OUT = "chr6"
RESAMPLES = 2000
Floats = NDArray[np.float64]


def variants_of(vcf: Path) -> pd.DataFrame:
    """chrom, pos (1-based), ref, alt, whether a motif is broken, and which."""
    rows = [line.split("\t") for line in vcf.read_text().splitlines() if not line.startswith("#")]
    motifs = [re.search(r"MOTIF=([^;]+)", row[7]) for row in rows]
    return pd.DataFrame(
        {
            "chrom": [row[0] for row in rows],
            "pos": [int(row[1]) for row in rows],
            "ref": [row[3] for row in rows],
            "alt": [row[4] for row in rows],
            "broken": ["EFFECT=motif_breaking" in row[7] for row in rows],
            "motif": [found[1] if found else "." for found in motifs],
        }
    )


def auroc(broken: NDArray[np.bool_], score: Floats) -> tuple[float, float, float]:
    """AUROC and its 95 % interval."""
    rng = np.random.default_rng(0)
    kinds = [np.flatnonzero(broken), np.flatnonzero(~broken)]
    drawn = []
    for _ in range(RESAMPLES):
        at = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
        drawn.append(roc_auc_score(broken[at], score[at]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(roc_auc_score(broken, score)), float(low), float(high)


def scores_of(demo: Path, models: list[Path], variants: pd.DataFrame) -> dict[str, Floats]:
    """Every score, high where a motif is expected to break."""
    alleles = variants[["chrom", "pos", "ref", "alt"]]
    genome = demo / "example" / "genome.fa"
    found: dict[str, Floats] = {}
    changes = []
    for model in models:
        table = score_variants(alleles, genome, model, window=240, percentiles=False).table
        name = next(c for c in table.columns if c.startswith("FINDNA_LOGIT_"))
        changes.append(-table[name].to_numpy(float))
        found[f"{name}, {model.name}"] = changes[-1]
    found["mean of the fine-tuned models"] = np.mean(changes, axis=0)
    table = score_variants(alleles, genome, demo / "pretrained", percentiles=False).table
    found["FINDNA_LLR, pretrained"] = -table["FINDNA_LLR"].to_numpy(float)
    found["FINDNA_DIST, pretrained"] = table["FINDNA_DIST"].to_numpy(float)
    return found


def judged(variants: pd.DataFrame, scores: dict[str, Floats]) -> Iterator[dict[str, object]]:
    """One line a score and set of chromosomes."""
    for where, keep in (
        ("all", np.ones(len(variants), bool)),
        (HELD_OUT, (variants["chrom"] == HELD_OUT).to_numpy()),
    ):
        broken = variants["broken"].to_numpy()[keep]
        for name, score in scores.items():
            found, low, high = auroc(broken, score[keep])
            counts = {"breaking": int(broken.sum()), "neutral": int((~broken).sum())}
            yield {
                "chroms": where,
                "score": name,
                "auroc": found,
                "low": low,
                "high": high,
                **counts,
            }


def main() -> None:
    """Score, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, nargs="?", default=Path("build/gain/1"))
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    models = demo_models(given.demo)
    variants = variants_of(given.demo / "example" / "variants.vcf")
    scores = scores_of(given.demo, models, variants)
    table = pd.DataFrame(list(judged(variants, scores)))
    given.output.mkdir(parents=True, exist_ok=True)
    with atomic_file(given.output / "auroc.tsv", overwrite=True) as made:
        table.to_csv(made, sep="\t", index=False, float_format="%.4f")
    with atomic_file(given.output / "scores.tsv", overwrite=True) as made:
        variants.assign(**scores).to_csv(made, sep="\t", index=False, float_format="%.5f")
    (given.output / "command.txt").write_text(f"python {shlex.join(sys.argv)}\n")
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
