"""How large an inference batch serves a CPU best: embeddings of `tiny` at 4 to 64 kb a batch.

    python benchmarks/batch_size.py [--rows 3000] [--length 70] [--threads 1]

Processor time of the same rows at every size, both strands counted; the ratio that is printed is
the default's rate over that of 64 kb.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from findna.inference.devices import usual_batch_bases
from findna.inference.embed import embeddings
from findna.inference.precision import autocast, resolve_precision
from findna.model.model import new_model

SIZES = (4096, 8192, 16_384, 32_768, 65_536)
CPU = torch.device("cpu")


def main() -> None:
    """Print a rate for each size, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--length", type=int, default=70)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = new_model("tiny", seed=0).eval()
    codes = list(np.random.default_rng(0).integers(0, 4, (given.rows, given.length), np.uint8))
    rates: dict[int, float] = {}
    with autocast(CPU, resolve_precision("auto", CPU)):
        for bases in (*SIZES, *SIZES):  # twice: the first pass warms up
            began = time.process_time()
            embeddings(model, codes, pooling=("mean", "max", "summary"), batch_bases=bases)
            seconds = time.process_time() - began
            rates[bases] = 2 * given.rows * given.length / seconds / given.threads / 1e3
    ratio = rates[usual_batch_bases(CPU)] / rates[65_536]
    print(json.dumps({"benchmark": "batch_size", "kb_per_cpu_s": rates, "ratio": ratio}))
    print(f"batches of {usual_batch_bases(CPU):,} bases: {ratio:.2f} times the rate of 65,536")


if __name__ == "__main__":
    main()
