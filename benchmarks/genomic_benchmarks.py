"""GenomicBenchmarks where the regions hold it, by a model that has not seen the test intervals.

    python benchmarks/genomic_benchmarks.py [--data ../shared/data] [--budget 20m]

Pretrains `tiny` on the human regions without chr10, chr21 and every test interval of the six tasks,
then runs `findna evaluate`: probes and cheap baselines, five seeds. Rows are those official rows
that lie wholly in the regions, so the figures stand beside each other and beside no published ones.
Both steps go on where they were stopped.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd
from gue import finish, prepare

from findna.evaluation.evaluate import evaluate
from findna.training.pretrain import pretrain

TASKS = (
    "human_enhancers_cohn",
    "human_nontata_promoters",
    "human_enhancers_ensembl",
    "human_ensembl_regulatory",
    "human_ocr_ensembl",
    "demo_coding_vs_intergenomic_seqs",
)


def test_intervals(data: Path, bed: Path) -> None:
    """Write the test intervals of all tasks, 0-based half-open, as one BED file."""
    tables = [pd.read_csv(data / "genomic_benchmarks" / t / "test.csv.gz") for t in TASKS]
    rows = pd.concat([t[["region", "start", "end"]] for t in tables]).sort_values(
        ["region", "start"]
    )
    rows.to_csv(bed, sep="\t", header=False, index=False)


def main() -> int:
    """Pretrain, evaluate, draw, copy; 1 when runs failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/genomic-benchmarks"))
    parser.add_argument("--budget", default="20m", help="time of the pretraining")
    parser.add_argument("--precision", default="auto", help="fp32, bf16 or auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    prepare(out / "log.txt", given.threads)
    genome = given.data / "human_hg38" / "hg38_regions.fa.gz"
    bed, run, folder = out / "test-intervals.bed", out / "human", out / "probes"
    test_intervals(given.data, bed)
    if not (run / "model").exists():
        sampling = {"validation_chroms": ["chr10", "chr21"], "exclude": str(bed)}
        pretrain(
            genome,
            run,
            {"budget": given.budget, "sampling": sampling},
            resume=(run / "checkpoints").exists(),
        )
    result = evaluate(
        None,
        folder,
        models=[f"human={run}"],
        suite="genomic_benchmarks",
        tasks=TASKS,
        root=given.data,
        settings={"modes": ("linear", "knn"), "precision": given.precision},
        pretraining_genome=genome,
    )
    finish(result, folder, out / "log.txt", given.publish and given.publish / "probes")
    if given.publish:
        place = given.publish / "pretraining"
        place.mkdir(parents=True, exist_ok=True)
        for name in ("settings.yaml", "command.txt", "environment.json", "metrics.jsonl"):
            if (run / name).exists():
                shutil.copy(run / name, place / name)
        shutil.copy(run / "model" / "README.md", place / "model-card.md")
    return int(bool(result.failed))


if __name__ == "__main__":
    sys.exit(main())
