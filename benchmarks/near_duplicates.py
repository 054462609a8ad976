"""Near-duplicate search against sorting the same sequences' k-mers.

    python benchmarks/near_duplicates.py [--sequences 100000] [--length 300]

A tenth of the sequences are copies of others with 2 % of their letters changed. Prints one line of
JSON and one for people; exit code 1 if the ratio is above the limit, or if fewer than 99 % of the
copies were found.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from findna.data.similarity import (
    DUPLICATE_K,
    kmers,
    near_duplicate_groups,
    near_duplicates_in,
)
from findna.sequence.alphabet import Codes

LIMIT = 2.0
_CHANGED = 0.02


def sequences(count: int, length: int) -> list[Codes]:
    """Random sequences; each of the last tenth is a changed copy of one of the first."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (count, length), dtype=np.uint8)
    copies = count // 10
    changed = rng.random((copies, length)) < _CHANGED
    codes[-copies:] = np.where(changed, (codes[:copies] + 1) % 4, codes[:copies])
    return list(codes)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of one call, and what it returned: other work on the machine is not it."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def main() -> int:
    """Measure the sort and both searches in one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--length", type=int, default=300)
    options = parser.parse_args()
    rows = sequences(options.sequences, options.length)
    part = np.arange(len(rows)) >= len(rows) - len(rows) // 10
    found = kmers(rows, DUPLICATE_K, canonical=True)
    # What an exact search sorts: each k-mer with its row beside it.
    sort_s, _ = timed(lambda: np.argsort(found.word, kind="stable"))
    bare_s, _ = timed(lambda: np.sort(found.word))
    group_s, _ = timed(lambda: near_duplicate_groups(rows))
    across_s, matches = timed(lambda: near_duplicates_in(rows, part.astype(np.int64)))
    recall = float(matches[part, 0].mean())
    ratio = group_s / sort_s
    result = {
        "benchmark": "near_duplicates",
        "sequences": len(rows),
        "length": options.length,
        "sort_s": round(sort_s, 3),
        "bare_sort_s": round(bare_s, 3),
        "groups_s": round(group_s, 3),
        "across_splits_s": round(across_s, 3),
        "ratio": round(ratio, 3),
        "across_ratio": round(across_s / sort_s, 3),
        "copies_found": round(recall, 5),
        "limit": LIMIT,
    }
    print(json.dumps(result))
    print(
        f"near-duplicate groups of {len(rows):,} sequences: {ratio:.2f} times sorting their"
        f" {DUPLICATE_K}-mers with their rows (limit {LIMIT:g}), {group_s / bare_s:.2f} times"
        f" sorting the bare words; across splits {across_s / sort_s:.2f} times;"
        f" {recall:.2%} of the copies found"
    )
    return int(ratio > LIMIT or recall < 0.99)


if __name__ == "__main__":
    sys.exit(main())
