"""The leakage report over every set of GUE and GenomicBenchmarks that lies in a data folder.

    python benchmarks/leakage.py --data ../shared/data -o docs/results/leakage

Pretraining genomes are the human regions for human and mouse sets and yeast for EMP; without a
model all of each counts as seen. Writes table.tsv (every line of every report), summary.md (one row
a set) and log.txt (the reports as they go to the screen).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.evaluation.leakage.check import leakage
from findna.evaluation.leakage.occurrences import contained_in
from findna.evaluation.leakage.report import (
    CONTAINED,
    IDENTICAL,
    IN_GENOME,
    NEAR,
    OVERLAPPING,
    LeakageReport,
)
from findna.files import atomic_file
from findna.sequence.genome import Genome

HUMAN = "human_hg38/hg38_regions.fa.gz"
YEAST = "yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
GUE = (
    "prom/prom_core_all", "prom/prom_core_notata", "prom/prom_300_tata", "prom/prom_300_all",
    "prom/prom_300_notata", "tf/0", "tf/1", "tf/2", "tf/3", "mouse/0", "mouse/1", "mouse/2",
    "mouse/3", "splice/reconstructed", "EMP/H3", "EMP/H3K14ac", "EMP/H3K4me3",
)  # fmt: skip
_CHECKS = (IDENTICAL, NEAR, CONTAINED, OVERLAPPING)


def read_set(folder: Path) -> LabelledData:
    """A set as it lies there; where the official train file is missing, dev stands in for it."""
    if (folder / "train.csv.gz").is_file():
        return read_labelled(folder)
    dev, test = (read_labelled(folder / f"{name}.csv.gz") for name in ("dev", "test"))
    splits = {"train": dev.splits["train"], "test": test.splits["train"]}
    return LabelledData(splits, dev.kind, dev.classes, str(folder))


def sets_in(data: Path) -> dict[str, LabelledData]:
    """Every set by name, GUE first."""
    folders = {f"gue/{name}": data / "gue" / name for name in GUE}
    for folder in sorted((data / "genomic_benchmarks").iterdir()):
        if folder.is_dir():
            folders[f"gb/{folder.name}"] = folder
    return {name: read_set(folder) for name, folder in folders.items()}


def relatives(name: str, sets: Mapping[str, LabelledData]) -> dict[str, LabelledData]:
    """Other sets of the same family, which a joint training would use."""
    family = name.rsplit("/", 1)[0]
    known = {other: data for other, data in sets.items() if other.rsplit("/", 1)[0] == family}
    return {other: data for other, data in known.items() if other != name}


def summary_row(name: str, data: LabelledData, report: LeakageReport, reduced: bool) -> list[str]:
    """Test rows, then their matches in train by kind, anywhere in other sets, in the genome."""
    lines = report.as_dict()["leakage"]
    tests = [row for row in lines if row["split"] == "test"]
    found = {row["check"]: row["rows"] for row in tests if row["against"] == "train"}
    conflicts = next(r["note"] for r in tests if (r["check"], r["against"]) == (IDENTICAL, "train"))
    genome = next(row["rows"] for row in tests if row["check"] == IN_GENOME)
    cells = [_shown(found.get(check)) for check in _CHECKS]
    cells[0] += f" ({conflicts})" if conflicts else ""
    own = f"{name}{' (dev as train)' if reduced else ''}"
    test = len(data.splits["test"])
    return [own, f"{len(data.splits['train']):,}", f"{test:,}", *cells, f"{genome:,}"]


def _shown(rows: int | None) -> str:
    return "no coordinates" if rows is None else f"{rows:,}"


def core_in_300(sets: Mapping[str, LabelledData]) -> str:
    """How many of the first 1,500 prom_core_all test rows stand in a prom_300 train or dev row."""
    rows = sets["gue/prom/prom_core_all"].splits["test"].codes[:1500]
    splits: list[LabelledSplit] = []
    for name in ("all", "notata", "tata"):
        known = sets[f"gue/prom/prom_300_{name}"].splits
        splits += [known[split] for split in ("train", "dev") if split in known]
    inside, _, _ = contained_in(rows, [row for split in splits for row in split.codes])
    found = f"{int(inside.sum()):,} of the first {len(rows):,}"
    return f"{found} prom_core_all test rows stand in prom_300 train or dev rows"


def main() -> int:
    """Run all reports and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder with the real data.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="Folder of the results.")
    given = parser.parse_args()
    sets = sets_in(given.data)
    genomes = {"EMP": Genome.open(given.data / YEAST), "": Genome.open(given.data / HUMAN)}
    tables, rows, log = [], [], []
    for name, data in sets.items():
        began = time.monotonic()
        genome = genomes["EMP" if "/EMP/" in name else ""]
        report = leakage(data, genome=genome, others=relatives(name, sets))
        took = time.monotonic() - began
        tables.append(report.table.assign(set=name))
        reduced = not (given.data / _folder(name) / "train.csv.gz").is_file()
        rows.append(summary_row(name, data, report, reduced))
        log.append(f"# {name} ({took:.1f} s)\n{report.text()}\n")
        print(log[-1], flush=True)
    log.append(core_in_300(sets))
    print(log[-1])
    write(given.output, tables, rows, log, given.data)
    return 0


def _folder(name: str) -> str:
    return name.replace("gb/", "genomic_benchmarks/")


def write(
    output: Path,
    tables: list[pd.DataFrame],
    rows: list[list[str]],
    log: list[str],
    data: Path,
) -> None:
    """table.tsv, summary.md and log.txt; paths of the data folder are left out."""
    table = pd.concat(tables, ignore_index=True)
    table = table[["set", *table.columns.drop("set")]]
    table["against"] = table["against"].str.replace(f"{data}/", "")
    with atomic_file(output / "table.tsv", overwrite=True) as made:
        table.to_csv(made, sep="\t", index=False, na_rep="NA")
    head = ["set", "train", "test", *(f"{check} in train" for check in _CHECKS), "in genome"]
    lines = [head, ["---"] * len(head), *rows]
    with atomic_file(output / "summary.md", overwrite=True) as made:
        made.write_text("\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n")
    with atomic_file(output / "log.txt", overwrite=True) as made:
        made.write_text("\n".join(log).replace(f"{data}/", "") + "\n")


if __name__ == "__main__":
    sys.exit(main())
