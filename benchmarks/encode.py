"""Letters to codes against a plain byte translation of the same bytes.

    python benchmarks/encode.py

Prints one line of JSON and one for people; exit code 1 if the ratio is above the limit.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from findna.sequence.alphabet import encode

LIMIT = 3.0
_PLAIN = bytes(range(256))


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    """Measure both in turn, several times, and compare the best of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", type=int, default=1 << 25, help="letters to encode")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    letters = rng.choice(np.frombuffer(b"ACGTacgtN", np.uint8), options.bases).tobytes()
    pairs = [
        (seconds(lambda: encode(letters)), seconds(lambda: letters.translate(_PLAIN)))
        for _ in range(options.repeats)
    ]
    ours, plain = (min(times) for times in zip(*pairs, strict=True))
    ratio = ours / plain
    result = {
        "benchmark": "encode",
        "bases": options.bases,
        "encode_s": round(ours, 5),
        "translate_s": round(plain, 5),
        "ratio": round(ratio, 3),
        "limit": LIMIT,
    }
    print(json.dumps(result))
    print(
        f"encode: {options.bases / ours / 1e6:,.0f} Mb/s, {ratio:.2f} times a plain "
        f"bytes.translate (limit {LIMIT:g})"
    )
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
