"""Embeddings of a FASTA file into parquet against the bare forward passes over the same batches.

    python benchmarks/embed.py [--rows 400] [--rounds 5] [--threads 1]

Both read both strands. What the verb adds is reading, batching, pooling, putting rows in order and
writing. Processor time, in pairs that take turns at going first, so that a busy machine meets both;
the ratio is the median over the pairs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from findna.data.batches import by_length
from findna.data.ragged import Ragged
from findna.inference.devices import usual_batch_bases
from findna.inference.embed import embed
from findna.model.model import Model, new_model, reverse_complement
from findna.sequence.alphabet import decode

LIMIT = 1.1
SHORTEST, LONGEST = 70, 512
CPU = torch.device("cpu")

Batch = tuple[Tensor, Tensor | None]


def batches(codes: list[np.ndarray[tuple[int], np.dtype[np.uint8]]]) -> list[Batch]:
    """Padded codes and lengths of every batch, of one strand and then of the other."""
    ragged = Ragged(codes)
    lengths = ragged.lengths.numpy()
    given = [ragged.batch(rows) for rows in by_length(lengths, usual_batch_bases(CPU))]
    return given + [(reverse_complement(shown, valid), valid) for shown, valid in given]


def forward(model: Model, ready: list[Batch]) -> None:
    """The bare forward passes."""
    with torch.inference_mode():
        for shown, valid in ready:
            model.encode(shown, valid)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> int:
    """Print the ratio; 1 when it is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rng = np.random.default_rng(0)
    lengths = rng.integers(SHORTEST, LONGEST + 1, given.rows).tolist()
    codes = [rng.integers(0, 4, length, np.uint8) for length in lengths]
    model, ready = new_model("tiny", seed=0).eval(), batches(codes)
    with tempfile.TemporaryDirectory() as scratch:
        fasta, output = Path(scratch) / "rows.fa", Path(scratch) / "rows.parquet"
        fasta.write_text("".join(f">r{i}\n{decode(c)}\n" for i, c in enumerate(codes)))

        def verb() -> None:
            embed(fasta, model, output, window=LONGEST, device="cpu", overwrite=True)

        def bare() -> None:
            forward(model, ready)

        for warm_up in (verb, bare):
            warm_up()
        times: list[tuple[float, float]] = []
        for turn in range(given.rounds):
            if turn % 2:
                times.append((seconds(verb), seconds(bare)))
            else:
                times.append((seconds(bare), seconds(verb))[::-1])
    ratio = float(np.median([ours / theirs for ours, theirs in times]))
    rate = 2 * sum(lengths) / min(ours for ours, _ in times) / given.threads / 1e3
    result = {"benchmark": "embed", "kb_per_cpu_s": rate, "ratio": ratio, "limit": LIMIT}
    print(json.dumps(result | {"pairs": times}))
    print(f"embed: {rate:,.0f} kb/s, {ratio:.3f} times the bare forward pass (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
