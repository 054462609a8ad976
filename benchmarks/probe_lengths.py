"""Is there a length at which pretraining hurts? Frozen probes on the same places, cut to lengths.

    python benchmarks/probe_lengths.py -m human=findna-human-tiny [--data ../shared/data]
        [--official]

The rows are official intervals of two GenomicBenchmarks tasks that lie in the human regions; each
is cut around its centre to 70, 100, 300, 500 and 1,000 bp, read from the genome, and a row whose
longest window leaves its region is left out of every length, so that all lengths have the same
rows. Teaching, choosing and test rows lie on different chromosomes, because in the official split
of `human_nontata_promoters` 308 of 310 negative test rows overlap a train row (`--official` takes
that split all the same, with chromosomes of the train rows to choose on). Then `findna evaluate` as
for a task of one's own; test rows are read once. Pretraining has seen most of these places,
unlabelled.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import pandas as pd
from gue import finish, prepare

from findna.evaluation.evaluate import EvaluateSettings, evaluate
from findna.files import log
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.training.recipes import seconds

TASKS = ("human_nontata_promoters", "human_ocr_ensembl")
LENGTHS = (70, 100, 300, 500, 1000)
DEV_CHROMOSOMES = ("chr2", "chr16", "chr18")
TEST_CHROMOSOMES = ("chr10", "chr11", "chr21", "chr22")


def places(source: Path, genome: Genome, *, official: bool) -> dict[str, pd.DataFrame]:
    """The rows of each split whose longest window lies within the regions, with their centres."""
    parts = {split: pd.read_csv(source / f"{split}.csv.gz") for split in ("train", "test")}
    for split, rows in parts.items():
        rows["centre"] = (rows.start + rows.end) // 2
        rows["strand"] = rows.strand.fillna("+")
        half = max(LENGTHS) // 2
        whole = [
            genome.fetch(chrom, max(0, at - half), at + half).inside.all()
            for chrom, at in zip(rows.region, rows.centre, strict=True)
        ]
        log.info("%s, %s: %d of %d rows are kept", source.name, split, sum(whole), len(rows))
        parts[split] = rows[whole]
    train, test = parts["train"], parts["test"]
    if not official:
        rows = pd.concat([train, test], ignore_index=True)
        held = rows.region.isin(TEST_CHROMOSOMES)
        train, test = rows[~held], rows[held]
    dev = train.region.isin(DEV_CHROMOSOMES)
    return {"train": train[~dev], "dev": train[dev], "test": test}


def write_task(parts: dict[str, pd.DataFrame], genome: Genome, length: int, folder: Path) -> Path:
    """The rows cut to one length, as the CSV files of a task."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in parts.items():
        starts = rows.centre - length // 2
        found = [
            decode(genome.fetch(chrom, start, start + length, strand).codes)
            for chrom, start, strand in zip(rows.region, starts, rows.strand, strict=True)
        ]
        table = pd.DataFrame({"sequence": found, "label": rows["class"].to_numpy()})
        table.to_csv(folder / f"{split}.csv", index=False)
    return folder


def main() -> int:
    """Cut, evaluate each length, draw, copy; 1 when runs failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/probe-lengths"))
    parser.add_argument(
        "--official", action="store_true", help="the tasks' own splits, whose rows overlap"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", help="end between two runs after this time, such as 9m")
    parser.add_argument("--precision", default="auto", help="fp32, bf16 or auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    prepare(out / "log.txt", given.threads)
    genome = Genome.open(given.data / "human_hg38" / "hg38_regions.fa.gz")
    settings = EvaluateSettings(modes=("linear",), seeds=given.seeds, precision=given.precision)
    deadline = time.monotonic() + seconds(given.budget) if given.budget else None
    failed: list[str] = []
    for task in TASKS:
        source = given.data / "genomic_benchmarks" / task
        parts = places(source, genome, official=given.official)
        for length in LENGTHS:
            if deadline is not None:  # one for all evaluations
                left = deadline - time.monotonic()
                if left <= 0.01:
                    log.warning("the time is over: the same command goes on")
                    return int(bool(failed))
                settings = settings.model_copy(update={"budget": f"{left:.2f}s"})
            folder = out / f"{task}-{length}"
            data = write_task(parts, genome, length, out / "tasks" / f"{task}-{length}")
            result = evaluate(data, folder, models=given.model, settings=settings)
            failed += result.failed
            place = given.publish and given.publish / folder.name
            finish(result, folder, out / "log.txt", place)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
