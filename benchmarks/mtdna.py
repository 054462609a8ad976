"""Turtle or rodent, from one mitochondrial gene, by genera that were never seen.

    python benchmarks/mtdna.py -m human=findna-human-tiny [--data ../shared/data]

A proxy of the paper's MTcDNA, which takes whole mitogenomes of four species and splits them at
random, so that near-identical genomes stand on both sides. Here whole genera go to train,
validation or test. Each gene with at least four turtle genera is a task of its own, and `all` is
every gene together; probes and cheap baselines, five seeds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from gue import finish, prepare

from findna.evaluation.evaluate import evaluate

SOURCE = "mtdna/mt_coding_genes_turtles_murids.csv.gz"
MOST_ROWS, FEWEST_GENERA = 500, 4


def tasks(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each gene that has enough genera of either class, and of all genes."""
    genera = rows.groupby(["gene", "class"])["genus"].nunique().unstack()
    enough = genera.index[(genera >= FEWEST_GENERA).all(axis=1)]
    return {**{gene: rows[rows["gene"] == gene] for gene in enough}, "all": rows}


def thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST_ROWS` of a class: the haplotypes of one species are nearly alike."""
    return (
        rows.groupby("class", group_keys=False)[list(rows.columns)]
        .apply(lambda part: part.sample(min(len(part), MOST_ROWS), random_state=0))
        .sort_index()
    )


def main() -> int:
    """One evaluation a gene, then one table; 1 when runs failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/mtdna"))
    parser.add_argument("--precision", default="auto", help="fp32, bf16 or auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    prepare(out / "log.txt", given.threads)
    settings = {
        "sequence_column": "sequence",
        "label_column": "class",
        "group_column": "genus",
        "modes": ("linear", "knn"),
        "precision": given.precision,
    }
    failed: list[str] = []
    everything = pd.read_csv(given.data / SOURCE)
    for name, rows in tasks(everything).items():
        file, folder = out / f"{name}.csv", out / name
        thinned(rows).to_csv(file, index=False)
        result = evaluate(file, folder, models=given.model, settings=settings)
        failed += result.failed
        finish(result, folder, out / "log.txt", given.publish and given.publish / name)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
