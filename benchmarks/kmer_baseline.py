"""The k-mer baseline, its whole grid tried, against one forward pass of `tiny` over the same rows.

    python benchmarks/kmer_baseline.py

The baseline learns from 80 % of the rows, chooses on 10 % and scores the last 10 %, counting
included. The forward pass, one strand, no gradient, is timed on `--share` of the rows, half of it
before and half after the baseline, and scaled up. Both use one thread and are timed in CPU seconds,
which other work on the machine does not lengthen. Prints one line of JSON and one for people; exit
code 1 above the limit.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

# Before numpy and torch are imported: both sides on one thread.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.words import KmerContender
from findna.inference.embed import embeddings
from findna.model.model import Model, new_model
from findna.sequence.alphabet import Codes, encode

LIMIT = 1.0
_MOTIF = encode("TGACTCA")


def simulated(rows: int, length: int) -> LabelledSplit:
    """Random letters; half the rows are a little richer in A and T and hold one motif."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    letters = np.array([[0.25, 0.25, 0.25, 0.25], [0.26, 0.24, 0.24, 0.26]])
    codes = [rng.choice(4, length, p=letters[label]).astype(np.uint8) for label in labels]
    for at in np.flatnonzero(labels):
        start = rng.integers(0, length - len(_MOTIF))
        codes[at][start : start + len(_MOTIF)] = _MOTIF
    ids = [f"row{i}" for i in range(rows)]
    return LabelledSplit(ids, codes, labels, np.arange(1, rows + 1))


def baseline_seconds(rows: LabelledSplit) -> tuple[float, float]:
    """CPU seconds of learning and scoring, and the AUROC of the scores."""
    tenth = np.arange(len(rows)) * 10 // len(rows)
    splits = {"train": rows.where(tenth < 8), "dev": rows.where(tenth == 8)}
    test = rows.where(tenth == 9)
    started = time.process_time()
    learned = KmerContender().learn(LabelledData(splits, "binary", ("0", "1")), seed=0)
    scores = learned.scores(test)
    return time.process_time() - started, float(roc_auc_score(test.labels, scores[:, 1]))


def forward_seconds(model: Model, codes: Sequence[Codes]) -> float:
    """CPU seconds of one forward pass."""
    started = time.process_time()
    embeddings(model, codes, strand="forward")
    return time.process_time() - started


def main() -> int:
    """Measure the forward pass on both sides of the baseline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000, help="sequences")
    parser.add_argument("--length", type=int, default=300, help="their length in bp")
    parser.add_argument("--share", type=float, default=0.1, help="share of rows passed forward")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = simulated(options.rows, options.length)
    model = new_model("tiny", seed=0).eval()
    timed = rows.codes[: max(2, round(options.share * options.rows))]
    before, after = timed[: len(timed) // 2], timed[len(timed) // 2 :]
    forward = forward_seconds(model, before)
    ours, auroc = baseline_seconds(rows)
    forward += forward_seconds(model, after)
    forward *= options.rows / len(timed)
    ratio = ours / forward
    result = {
        "benchmark": "kmer_baseline",
        "rows": options.rows,
        "length": options.length,
        "threads": 1,
        "forward_rows_timed": len(timed),
        "kmer_s": round(ours, 2),
        "forward_s": round(forward, 2),
        "auroc": round(auroc, 4),
        "ratio": round(ratio, 3),
        "limit": LIMIT,
    }
    print(json.dumps(result))
    print(
        f"k-mer baseline: {ours:.1f} s, {ratio:.2f} times a forward pass of tiny over the same"
        f" {options.rows:,} rows ({forward:.1f} s; limit {LIMIT:g})"
    )
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
