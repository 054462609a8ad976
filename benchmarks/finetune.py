"""A fine-tuning step against the block it is made of, and the regression it begins with.

    python benchmarks/finetune.py [--preset tiny] [--threads 2] [--precision fp32]

A step is what `findna finetune` does for 32 rows: their codes and strands, the network, what its
head reads of all layers (and of places and k-mers), loss, backward, clipping, optimizer. The block
is the backbone's layers without rotation, forward and backward, at the same shapes (`step.py`).
Rows are ragged (70 to 150 bp) or equally long (300 bp). The regression is a probe's, of 800 rows
and 1,792 channels: on one thread of BLAS, as findna asks for it, and on all. Measured in turn in
one process, best of many. Prints a line of JSON and one for people; exit code 1 beyond a limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Literal, cast

import numpy as np
import torch
from layer import Still
from sklearn.linear_model import LogisticRegression
from timing import best_times

from findna.data.labelled import LabelledSplit
from findna.inference.precision import autocast
from findna.model.chordmixer import Layer
from findna.model.heads import Pooling, TaskConfig
from findna.model.model import Model, new_model
from findna.model.rotation import Rings
from findna.training.finetune_settings import BATCH_ROWS, LAYERED, PLACED, WORDED, FinetuneSettings
from findna.training.fit import fit
from findna.training.linear import LinearModel

STEP_LIMIT, REGRESSION_LIMIT = 0.55, 1.0
STEPS = 6
SHAPES = {"ragged": (70, 151), "equal": (300, 301)}
READINGS: dict[str, tuple[Pooling, ...]] = {"layers": LAYERED, "bins": PLACED, "6-mers": WORDED[-1]}
ROWS, CHANNELS, STRENGTH = 800, 1792, 0.1
Precision = Literal["fp32", "bf16"]


def drawn(shape: str) -> LabelledSplit:
    """Random sequences of two classes."""
    random = np.random.default_rng(0)
    lengths = random.integers(*SHAPES[shape], STEPS * BATCH_ROWS)
    codes = [random.integers(0, 4, n, dtype=np.uint8) for n in lengths]
    order = np.arange(len(codes))
    return LabelledSplit([str(number) for number in order], codes, order % 2, 1 + order)


def steps(preset: str, rows: LabelledSplit, parts: tuple[Pooling, ...], precision: Precision) -> (
    Callable[[], object]
):  # fmt: skip
    """An epoch of fine-tuning all weights."""
    settings = FinetuneSettings(pooling=parts, train="full", epochs=1)
    task = TaskConfig(kind="binary", classes=("a", "b"), pooling=parts)
    model = new_model(preset, 0).with_task(task, 0)
    return lambda: fit(model, rows, None, settings, precision=precision, note=lambda **_: None)


def blocks(model: Model, rows: LabelledSplit, precision: Precision) -> Callable[[], object]:
    """The layers alone, for as many rows of as many bases."""
    shape = model.config.backbone
    still = [Still(cast(Layer, layer)) for layer in model.encoder.layers]
    positions = (int(rows.lengths.sum()) + shape.summary_tokens * len(rows)) // STEPS
    inputs = torch.randn(positions, shape.width)
    upstream = torch.randn_like(inputs)

    def run() -> None:
        for _ in range(STEPS):
            with autocast(torch.device("cpu"), precision):
                out = inputs.clone().requires_grad_(True)
                for layer in still:
                    out = layer(out, Rings(1, positions))
            torch.autograd.backward(out, upstream)

    return run


def regressions() -> dict[str, Callable[[], object]]:
    """The same probe by findna, and as scikit-learn does it on its own."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(ROWS, 20))
    noise = 0.3 * random.normal(size=(ROWS, CHANNELS))
    vectors = (hidden @ random.normal(size=(20, CHANNELS)) + noise).astype(np.float32)
    vectors = (vectors - vectors.mean(0)) / vectors.std(0)
    labels = (hidden[:, 0] > 0).astype(np.int64)
    return {
        "one thread": lambda: LinearModel.fit(vectors, labels, "binary", 2, STRENGTH),
        "all threads": lambda: LogisticRegression(C=STRENGTH, max_iter=200).fit(vectors, labels),
    }


def main() -> int:
    """Measure, print, and fail beyond a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    precision = cast(Precision, given.precision)
    result: dict[str, object] = {
        "benchmark": "finetune",
        "preset": given.preset,
        "threads": given.threads,
        "precision": precision,
    }
    shares: dict[str, float] = {}
    for shape in SHAPES:
        rows = drawn(shape)
        jobs = {
            name: steps(given.preset, rows, parts, precision) for name, parts in READINGS.items()
        }
        jobs["block"] = blocks(new_model(given.preset, 0), rows, precision)
        best_times(jobs, 1)
        times = best_times(jobs, given.repeats)
        shares |= {f"{shape}, {name}": round(times["block"] / times[name], 3) for name in READINGS}
    fits = regressions()
    best_times(fits, 1)
    times = best_times(fits, given.repeats)
    regression = times["one thread"] / times["all threads"]
    result |= {"step_of_block": shares, "regression_one_thread_over_all": round(regression, 3)}
    print(json.dumps(result))
    print(
        f"{given.preset}: a fine-tuning step runs at {100 * min(shares.values()):.0f} to"
        f" {100 * max(shares.values()):.0f} % of its block's rate (limit {100 * STEP_LIMIT:.0f} %);"
        f" a regression on one thread takes {regression:.2f} of its time on all (limit"
        f" {REGRESSION_LIMIT})"
    )
    return int(min(shares.values()) < STEP_LIMIT or regression > REGRESSION_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
