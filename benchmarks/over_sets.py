"""How far one contender is ahead of another over sets that were evaluated in several folders.

    python benchmarks/over_sets.py docs/results/gue-cpu/present-defaults
        docs/results/gue-cpu/present-defaults-tf

Reads the `table.tsv` of each folder and prints the mean of both over the sets, on how many sets the
first is ahead, and the mean difference with its 95 % interval over sets like these
(`findna.resampling.mean_over_few`). Rows, seeds and sets are in it, as far as they move these
differences; what is common to all sets, such as one pretraining run, is not. A table has no
resamples: where sets happen to agree, `findna evaluate`, which knows how far the rows leave each
set open, gives a wider interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from findna.resampling import mean_over_few


def by_task(folders: list[Path], contender: str) -> pd.Series[float]:
    """Mean of a contender by task."""
    tables = pd.concat([pd.read_csv(folder / "table.tsv", sep="\t") for folder in folders])
    means = tables[tables["contender"] == contender].set_index("task")["mean"]
    if not len(means) or not means.index.is_unique:
        raise SystemExit(f"{contender} is not in these tables, or a task stands in two of them")
    return means


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--contender", default="finetune-human")
    parser.add_argument("--against", default="finetune-random-tiny")
    given = parser.parse_args()
    ours, theirs = (by_task(given.folders, name) for name in (given.contender, given.against))
    gains = (ours - theirs).dropna()
    ours, theirs = ours[gains.index], theirs[gains.index]
    if len(gains) < 2:
        raise SystemExit("two sets or more are needed that both contenders were tested on")
    mean, p_value = mean_over_few(np.array(gains), np.zeros((len(gains), 0)))
    print(
        f"{given.contender} {ours.mean():.3f}, {given.against} {theirs.mean():.3f} over"
        f" {len(gains)} sets; ahead on {(gains > 0).sum()},"
        f" by {mean.value:+.3f} [{mean.low:.3f}, {mean.high:.3f}], p {p_value:.2g}"
    )


if __name__ == "__main__":
    main()
