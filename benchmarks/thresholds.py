"""Which threshold few rows should choose: the rule of findna, the best MCC on these rows, or 0.5.

    python benchmarks/thresholds.py [--data ../shared/data] [--publish docs/results/thresholds]

Scores are those of cheap contenders that learned from 500 training rows of a complete GUE set. Of
the official dev rows so many choose a threshold and all others judge it, over many draws; the
official test rows are never read. Half of the rows of most sets are positive; the same is done with
positives dropped until a tenth is left, which the contenders did not expect.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from gue import COMPLETE, copy_files, prepare
from numpy.typing import NDArray
from small_data import Place, contender

from findna.data.labels import read_labelled
from findna.data.splits import groups_of, parted
from findna.evaluation.preparation import drawn_rows
from findna.metrics import mcc_of
from findna.resampling import mean_over_few
from findna.training.thresholds import choose_threshold

CONTENDERS = ("kmer", "probe", "composition")
TAUGHT, SIZES, SHARES = 500, (33, 100, 300, 1000), (None, 0.1)
PUBLISHED = ("table.md", "table.tsv", "draws.tsv", "settings.yaml", "command.txt", "log.txt")
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def mcc(labels: Ints, said: NDArray[np.bool_]) -> float:
    """Of answers (n,) to labels (n,), 0 and 1."""
    table = np.bincount(2 * labels + said, minlength=4).astype(np.float64)
    return float(mcc_of(table.reshape(1, 2, 2))[0])


def best_here(labels: Ints, scores: Floats) -> float:
    """The threshold with the best MCC on these rows."""
    tried = np.unique(scores)
    return float(tried[np.argmax([mcc(labels, scores >= t) for t in tried])])


RULES: dict[str, Callable[[Ints, Floats], float]] = {
    "best here": best_here,
    "findna": choose_threshold,
    "0.5": lambda labels, scores: 0.5,
}


def scored(task: str, data: Path) -> Iterator[tuple[str, Ints, Floats]]:
    """Each contender with labels and scores of the dev rows."""
    found = read_labelled(data / "gue" / task)
    train = found.splits["train"]
    few = train.where(drawn_rows(train, found.kind, TAUGHT, 1))
    learn, choose = parted(few, groups_of(few), found.kind, fraction=0.1, seed=0)
    seen = replace(found, splits={"train": learn, "dev": choose})
    place = Place(data, "findna-human-tiny", 1, "fp32", "dev", None)
    for name in CONTENDERS:
        learned = contender(name, place).learn(seen, 0)
        dev = found.splits["dev"]
        yield name, dev.labels.astype(np.int64), learned.scores(dev)[:, 1]


def thinned(labels: Ints, share: float | None, random: np.random.Generator) -> Ints:
    """Places of all rows, or of all negatives and so many positives that they are this share."""
    if share is None:
        return np.arange(len(labels))
    negative, positive = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    wanted = min(int(len(negative) * share / (1 - share)), len(positive))
    return np.sort(np.append(negative, random.choice(positive, wanted, replace=False)))


def judged(labels: Ints, scores: Floats, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Mean MCC over draws of each rule, for every number of rows that leaves as many to judge."""
    random = np.random.default_rng(seed)
    for share in SHARES:
        kept = thinned(labels, share, random)
        for rows in [rows for rows in SIZES if 2 * rows <= len(kept)]:
            each = []
            for _ in range(draws):
                chosen, judge = np.split(random.permutation(kept), [rows])
                if len(set(labels[chosen].tolist())) == 2:
                    each.append(
                        {
                            name: mcc(
                                labels[judge], scores[judge] >= rule(labels[chosen], scores[chosen])
                            )
                            for name, rule in RULES.items()
                        }
                    )
            yield {"positives": share or "as they are", "rows": rows, **pd.DataFrame(each).mean()}


def tabulate(draws: pd.DataFrame) -> pd.DataFrame:
    """Means over sets and contenders; intervals are about sets like these."""
    table = []
    for (share, rows), some in draws.groupby(["positives", "rows"], sort=False):
        by_set = some.groupby("task", sort=False)[list(RULES)].mean()
        line: dict[str, Any] = {"positives": share, "rows": rows, "sets": len(by_set)}
        line |= {name: by_set[name].mean() for name in RULES}
        for other in ("best here", "0.5"):
            gap = (by_set["findna"] - by_set[other]).to_numpy()
            mean, _ = mean_over_few(gap, np.zeros((len(gap), 0)))
            line |= {f"minus {other}": mean.value}
            line |= {f"{other} low": mean.low, f"{other} high": mean.high}
        table.append(line)
    return pd.DataFrame(table)


def markdown(table: pd.DataFrame) -> str:
    """The table for a reader."""
    lines = [
        "| positives | rows that choose | sets | best MCC here | 0.5 | findna | minus best here |"
        " minus 0.5 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        gaps = [
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(
                *(row[name] for name in (f"minus {other}", f"{other} low", f"{other} high"))
            )
            for other in ("best here", "0.5")
        ]
        means = [f"{row[name]:.3f}" for name in ("best here", "0.5", "findna")]
        cells = [row["positives"], f"{row['rows']:,}", row["sets"], *means, *gaps]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Learn, draw, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/thresholds"))
    parser.add_argument("--task", action="append", help="some of the sets only")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    prepare(out / "log.txt", 1)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
    (out / "settings.yaml").write_text(yaml.safe_dump(settings))
    (out / "command.txt").write_text(f"python {shlex.join(sys.argv)}\n")
    lines = []
    for seed, task in enumerate(given.task or COMPLETE):
        for name, labels, scores in scored(task, given.data):
            logging.info("%s, %s: %d dev rows", task, name, len(labels))
            lines += [
                {"task": task, "contender": name, **line}
                for line in judged(labels, scores, given.draws, seed)
            ]
    draws = pd.DataFrame(lines)
    table = tabulate(draws)
    for name, frame in (("draws.tsv", draws), ("table.tsv", table)):
        frame.to_csv(out / name, sep="\t", index=False, float_format="%.6g")
    (out / "table.md").write_text(markdown(table), encoding="utf-8")
    if given.publish:
        copy_files(PUBLISHED, out, given.publish)


if __name__ == "__main__":
    main()
