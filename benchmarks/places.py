"""What rows give away by how they were cut: GUE answered from which letters stand at which place.

    python benchmarks/places.py [--data ../shared/data] [--publish docs/results/places]

The cheap contenders of `findna evaluate` learn from all training rows of the complete sets, dev
rows choose, test rows are read once. Then the places at which TATA begins in prom_300_tata are
counted by class, training rows, and drawn.
"""

from __future__ import annotations

import argparse
import logging
import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from gue import COMPLETE, copy_files, prepare

from findna.data.labelled import LabelledData
from findna.data.labels import read_labelled
from findna.evaluation.contenders.composition import CompositionContender
from findna.evaluation.contenders.places import PlacesContender
from findna.evaluation.contenders.words import KmerContender
from findna.metrics import Answers
from findna.resampling import measure
from findna.sequence.alphabet import decode

CONTENDERS = (CompositionContender(), KmerContender(), PlacesContender())
TATA, SHOWN = "prom/prom_300_tata", range(205, 236)
PUBLISHED = ("table.tsv", "tata.tsv", "tata.png", "command.txt", "log.txt")


def judged(task: str, data: LabelledData) -> Iterator[dict[str, Any]]:
    """MCC on test rows with its interval, a line a contender."""
    test, seen = data.splits["test"], {name: data.splits[name] for name in ("train", "dev")}
    for contender in CONTENDERS:
        begun = time.process_time()
        learned = contender.learn(replace(data, splits=seen), 0)
        scores = learned.scores(test)
        answers = Answers(data.kind, data.classes, test.labels, scores, learned.threshold)
        found = measure(answers)
        mcc, auroc = found["mcc"], found["auroc"]
        line = {
            "task": task, "contender": contender.name, "mcc": mcc.value, "low": mcc.low,
            "high": mcc.high, "auroc": auroc.value, "chosen": str(dict(learned.chosen)),
            "seconds": time.process_time() - begun,
        }  # fmt: skip
        logging.info("%s", line)
        yield line


def places_of(word: str, data: LabelledData) -> pd.DataFrame:
    """How many training rows of each class have the word at each place of `SHOWN`."""
    train = data.splits["train"]
    counts = np.zeros((2, max(len(code) for code in train.codes)), np.int64)
    for code, label in zip(train.codes, train.labels.astype(np.int64), strict=True):
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
    parser.add_argument("--task", action="append", choices=COMPLETE, help="some of the sets only")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    prepare(given.output / "log.txt", 1)
    logging.getLogger("findna").setLevel(logging.WARNING)
    lines: list[dict[str, Any]] = []
    for task in given.task or COMPLETE:
        data = read_labelled(given.data / "gue" / task)
        lines += judged(task, data)
        if task == TATA:
            counts = places_of("TATA", data)
            counts.to_csv(given.output / "tata.tsv", sep="\t", index=False)
            draw(counts, given.output / "tata.png")
    table = pd.DataFrame(lines)
    table.to_csv(given.output / "table.tsv", sep="\t", index=False, float_format="%.4f")
    print(table.pivot(index="task", columns="contender", values="mcc").round(3).to_string())
    (given.output / "command.txt").write_text(f"python {shlex.join(sys.argv)}\n")
    if given.publish:
        there = [name for name in PUBLISHED if (given.output / name).exists()]
        copy_files(there, given.output, given.publish)


if __name__ == "__main__":
    main()
