"""What rows give away by how they were cut: public tasks answered from lengths and places.

    python benchmarks/places.py [--data ../shared/data] [--publish docs/results/places]

The cheap contenders of `findna evaluate`, and lengths alone, learn from all training rows of GUE's
complete sets and of six tasks of GenomicBenchmarks (the rows inside the human regions); dev rows
choose, or a tenth of the training rows, and test rows are read once. Then the places at which TATA
begins in prom_300_tata are counted by split and class, and those of training rows drawn.
"""

from __future__ import annotations

import argparse
import logging
import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from gue import COMPLETE, copy_files, prepare

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.data.splits import groups_of, parted
from findna.evaluation.contenders.composition import CompositionContender, length_steps
from findna.evaluation.contenders.linear import LearnedLinear, learned_linear
from findna.evaluation.contenders.places import PlacesContender
from findna.evaluation.contenders.words import KmerContender
from findna.metrics import Answers
from findna.resampling import measure
from findna.sequence.alphabet import decode

TATA, SHOWN = "gue/prom/prom_300_tata", range(205, 236)
REGIONS = (
    "demo_coding_vs_intergenomic_seqs", "human_enhancers_cohn", "human_enhancers_ensembl",
    "human_ensembl_regulatory", "human_nontata_promoters", "human_ocr_ensembl",
)  # fmt: skip
TASKS = (*(f"gue/{t}" for t in COMPLETE), *(f"genomic_benchmarks/{t}" for t in REGIONS))
PUBLISHED = ("table.tsv", "tata.tsv", "tata.png", "command.txt", "log.txt")


@dataclass(frozen=True)
class LengthContender:
    """Steps of length, and lengths that are common among training rows, and nothing else."""

    name: str = "length"

    def learn(self, data: LabelledData, seed: int) -> LearnedLinear:
        """The strength with the lowest loss on "dev"."""
        taught = data.splits["train"].lengths
        return learned_linear(
            data, lambda rows: length_steps(rows.lengths, taught), [{}], (1e-2, 1e-1, 1.0)
        )


CONTENDERS = (LengthContender(), CompositionContender(), KmerContender(), PlacesContender())


def judged(task: str, data: LabelledData) -> Iterator[dict[str, Any]]:
    """Figures on test rows with their intervals, a line a contender."""
    train, test = data.splits["train"], data.splits["test"]
    dev = data.splits.get("dev")
    if dev is None:
        train, dev = parted(train, groups_of(train), data.kind, fraction=0.1, seed=0)
    commonest = np.bincount(test.labels.astype(np.int64)).max() / len(test)
    for contender in CONTENDERS:
        begun = time.process_time()
        learned = contender.learn(replace(data, splits={"train": train, "dev": dev}), 0)
        scores = learned.scores(test)
        answers = Answers(data.kind, data.classes, test.labels, scores, learned.threshold)
        found = measure(answers)
        line: dict[str, Any] = {"task": task, "contender": contender.name}
        for name in ("mcc", "accuracy"):
            each = found[name]
            line |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
        line |= {"commonest": commonest, "chosen": str(dict(learned.chosen))}
        line["seconds"] = time.process_time() - begun
        logging.info("%s", line)
        yield line


def places_of(word: str, rows: LabelledSplit) -> pd.DataFrame:
    """How many rows of each class have the word at each place of `SHOWN`."""
    counts = np.zeros((2, int(rows.lengths.max())), np.int64)
    for code, label in zip(rows.codes, rows.labels.astype(np.int64), strict=True):
        for found in re.finditer(f"(?={word})", decode(code)):
            counts[label, found.start()] += 1
    return pd.DataFrame(
        {"place": list(SHOWN), "negatives": counts[0, SHOWN], "positives": counts[1, SHOWN]}
    )


def draw(counts: pd.DataFrame, path: Path) -> None:
    """Two rows of bars, one a class."""
    figure, axes = plt.subplots(2, 1, figsize=(7, 3.6), sharex=True, layout="constrained")
    for axis, name, colour in zip(axes, ("negatives", "positives"), ("C1", "C0"), strict=True):
        axis.bar(counts["place"], counts[name], color=colour)
        axis.set_ylabel("rows")
        axis.set_title(f"{name}: TATA begins here", fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_xticks([place for place in SHOWN if place % 2 == 0])
    axes[1].set_xlabel("place from the start of the row, 0-based (prom_300_tata, training rows)")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Judge, count, draw, and copy to `--publish` what a reader needs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/places"))
    parser.add_argument("--task", action="append", choices=TASKS, help="some of the sets only")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    prepare(given.output / "log.txt", 1)
    logging.getLogger("findna").setLevel(logging.WARNING)
    lines: list[dict[str, Any]] = []
    for task in given.task or TASKS:
        data = read_labelled(given.data / task)
        lines += judged(task, data)
        if task == TATA:
            counts = {name: places_of("TATA", rows) for name, rows in data.splits.items()}
            told = pd.concat(counts, names=["split"]).reset_index("split")
            told.to_csv(given.output / "tata.tsv", sep="\t", index=False)
            draw(counts["train"], given.output / "tata.png")
    table = pd.DataFrame(lines)
    table.to_csv(given.output / "table.tsv", sep="\t", index=False, float_format="%.4f")
    for value in ("mcc", "accuracy"):
        print(
            value, table.pivot(index="task", columns="contender", values=value).round(3), sep="\n"
        )
    (given.output / "command.txt").write_text(f"python {shlex.join(sys.argv)}\n")
    if given.publish:
        there = [name for name in PUBLISHED if (given.output / name).exists()]
        copy_files(there, given.output, given.publish)


if __name__ == "__main__":
    main()
