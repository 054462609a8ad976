"""What length costs: long windows, ragged batches, and a whole megabase.

    python benchmarks/lengths.py [--preset tiny] [--threads 1] [--megabase]

* cost a base of 131,072 bp over that of 1,024 bp, same preset, same number of bases;
* a ragged batch (lengths 100 to 2,000) over equal lengths, a valid base, and over the same batch
  padded to its longest;
* fine-tuning steps on 32 rows of such lengths over steps on equal lengths, a valid base, and the
  same rows batched by length over batched as they come;
* with `--megabase`: one forward pass of `long` over 1,048,576 bp, in a process of its own, and its
  peak memory.

Forward passes without a graph but for fine-tuning, in turn in one process, best of many. Prints a
line of JSON and one for people; exit code 1 above a limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from timing import best_times
from torch import Tensor

from findna.data.ragged import Ragged
from findna.inference.devices import usual_batch_bases
from findna.model.heads import TaskConfig
from findna.model.model import Model, new_model
from findna.training.optimizer import adamw

LONG, SHORT = 131_072, 1_024
LENGTH_LIMIT, RAGGED_LIMIT, MEMORY_LIMIT = 1.2, 1.15, 8.0
MEGABASE = 1 << 20
ROWS = 32


def codes(rows: int, length: int) -> Tensor:
    """Random codes (rows, length) int64."""
    drawn = np.random.default_rng(0).integers(0, 4, (rows, length))
    return torch.from_numpy(drawn)


def forward(model: Model, windows: Tensor, lengths: Tensor | None = None) -> Callable[[], object]:
    """A pass over windows in batches that suit the device."""
    rows = max(1, usual_batch_bases(model.device) // windows.shape[1])

    def run() -> None:
        with torch.inference_mode():
            for first in range(0, len(windows), rows):
                part = slice(first, first + rows)
                model.encode(windows[part], None if lengths is None else lengths[part])

    return run


def cost_of_length(model: Model, repeats: int) -> float:
    """Cost a base of long windows over that of short ones."""
    jobs = {
        "long": forward(model, codes(1, LONG)),
        "short": forward(model, codes(LONG // SHORT, SHORT)),
    }
    times = best_times(jobs, repeats)
    return times["long"] / times["short"]


def cost_of_ragged(model: Model, repeats: int) -> tuple[float, float, float]:
    """(packed over equal lengths, padded over packed, padded bases over valid), a valid base."""
    lengths = torch.from_numpy(np.random.default_rng(1).integers(100, 2001, 16))
    mean = int(lengths.sum()) // len(lengths)
    flat = codes(1, int(lengths.sum()))[0]
    equal, padded = codes(len(lengths), mean), codes(len(lengths), int(lengths.max()))

    def packed() -> None:
        with torch.inference_mode():
            model.encoder.forward_packed(flat, lengths)

    def whole(windows: Tensor) -> Callable[[], object]:
        def run() -> None:
            with torch.inference_mode():
                model.encode(windows)

        return run

    times = best_times({"packed": packed, "equal": whole(equal), "padded": whole(padded)}, repeats)
    per_base = times["packed"] / len(flat), times["equal"] / equal.numel()
    return per_base[0] / per_base[1], times["padded"] / times["packed"], padded.numel() / len(flat)


def cost_of_finetuning(preset: str, repeats: int) -> tuple[float, float]:
    """(ragged over equal, a valid base; batched by length over as they come) of training steps."""
    lengths = np.random.default_rng(2).integers(100, 2001, 2 * ROWS)
    equal = np.full(2 * ROWS, int(lengths.mean()))
    order = np.arange(2 * ROWS)
    jobs = {
        "ragged": finetuning(preset, lengths, order),
        "by length": finetuning(preset, lengths, np.argsort(lengths)),
        "equal": finetuning(preset, equal, order),
    }
    best_times(jobs, 1)
    times = best_times(jobs, repeats)
    per_base = times["ragged"] / lengths.sum(), times["equal"] / equal.sum()
    return float(per_base[0] / per_base[1]), times["by length"] / times["ragged"]


def finetuning(
    preset: str, lengths: NDArray[np.int64], order: NDArray[np.int64]
) -> Callable[[], object]:
    """Two training steps of a binary task on rows of these lengths, taken in this order."""
    drawn = np.random.default_rng(3)
    rows = Ragged([drawn.integers(0, 4, n, dtype=np.uint8) for n in lengths])
    model = new_model(preset, 0).with_task(TaskConfig(kind="binary", classes=("a", "b")), 0).train()
    optimizer = adamw(model, 1e-4, 0.01, (0.9, 0.999))

    def run() -> None:
        for part in np.split(order, 2):
            logits = model.task_logits(*rows.batch(part), strand="forward")
            optimizer.zero_grad()
            torch.autograd.backward(logits.square().mean())
            optimizer.step()

    return run


def megabase() -> None:
    """One pass of `long`; what it took, as JSON."""
    model = new_model("long", 0).eval()
    began = time.perf_counter()
    with torch.inference_mode():
        model.encode(codes(1, MEGABASE))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_gib": peak}))


def main() -> int:
    """Measure, print, and fail above a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megabase", action="store_true")
    parser.add_argument("--megabase-alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.megabase_alone:
        megabase()
        return 0
    model = new_model(given.preset, 0).eval()
    length = cost_of_length(model, given.repeats)
    ragged, saved, padding = cost_of_ragged(model, 3 * given.repeats)
    trained, sorted_rows = cost_of_finetuning(given.preset, given.repeats)
    result = {
        "benchmark": "lengths",
        "preset": given.preset,
        "threads": given.threads,
        "long_over_short": round(length, 3),
        "ragged_over_equal": round(ragged, 3),
        "padded_over_packed": round(saved, 3),
        "padded_over_valid_bases": round(padding, 3),
        "finetuning_ragged_over_equal": round(trained, 3),
        "finetuning_by_length_over_ragged": round(sorted_rows, 3),
    }
    above = length > LENGTH_LIMIT or max(ragged, trained) > RAGGED_LIMIT
    if given.megabase:
        command = [sys.executable, __file__, "--megabase-alone", "--threads", str(given.threads)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result["megabase"] = json.loads(told)
        above |= result["megabase"]["peak_gib"] > MEMORY_LIMIT
    print(json.dumps(result))
    print(
        f"{given.preset}: a base of {LONG:,} bp costs {length:.2f} x one of {SHORT:,} bp (limit"
        f" {LENGTH_LIMIT}); a ragged batch {ragged:.2f} x equal lengths a valid base (limit"
        f" {RAGGED_LIMIT}), and padding it {saved:.2f} x ({padding:.2f} x the bases);"
        f" fine-tuning on ragged rows {trained:.2f} x equal ones (limit {RAGGED_LIMIT}), by length"
        f" {sorted_rows:.2f} x that"
    )
    return int(above)


if __name__ == "__main__":
    sys.exit(main())
