"""The speed of the backbone: every ratio against its bar, in one table and one picture.

    python benchmarks/speed.py -o docs/results/speed [--threads 1] [--hyena standalone_hyenadna.py]

Runs `layer.py`, `step.py`, `lengths.py` and `peers.py` one after the other and keeps what they
print. A ratio below its bar is good; where more is better the inverse is shown.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from layer import LIMITS
from lengths import LENGTH_LIMIT, MEMORY_LIMIT, RAGGED_LIMIT
from matplotlib.figure import Figure
from step import BLOCK_LIMIT, STEP_LIMIT

HERE = Path(__file__).resolve().parent


def run(script: str, *options: str) -> list[dict[str, Any]]:
    """The JSON lines a benchmark prints; its exit code only says whether a bar was missed."""
    command = [sys.executable, str(HERE / script), *options]
    print(shlex.join(command), file=sys.stderr)
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{script} said nothing: {told.stderr[-2000:]}")
    return lines


def rows_of(found: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    """(what, ratio, bar) of every measurement; lower is better."""
    rows: list[tuple[str, float, float]] = []
    for one in found:
        name = one.get("preset", "")
        if one["benchmark"] == "layer":
            rows += [
                (f"layer of {name}, {key}", one[key], bar)
                for key, bar in LIMITS.items()
                if key in one
            ]
        elif one["benchmark"] == "step":
            kind = f"{name}, {one['precision']}"
            rows.append((f"block over step, {kind}", 1 / one["step_of_block"], 1 / STEP_LIMIT))
            product = 1 / one["block_of_product"]
            rows.append((f"2048^3 product over block, {kind}", product, 1 / BLOCK_LIMIT))
        elif one["benchmark"] == "lengths":
            rows.append(
                (f"a base of 131 kb over 1 kb, {name}", one["long_over_short"], LENGTH_LIMIT)
            )
            rows.append((f"ragged over equal, {name}", one["ragged_over_equal"], RAGGED_LIMIT))
            if "megabase" in one:
                rows.append(("1 Mb of long, GiB", one["megabase"]["peak_gib"], MEMORY_LIMIT))
        else:
            ours = one["bases_per_s"]["findna tiny"]
            rows += [
                (f"{peer} over findna, {int(length):,} bp", rate / ours[length], 1.0)
                for peer, rates in one["bases_per_s"].items()
                if peer not in ("findna tiny", "CNN")
                for length, rate in rates.items()
            ]
    return rows


def draw(rows: list[tuple[str, float, float]], file: Path) -> None:
    """One line a ratio; left of 1 is within the bar."""
    figure = Figure(figsize=(8, 0.34 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    values = [ratio / bar for _, ratio, bar in rows]
    colours = ["tab:blue" if value <= 1 else "tab:red" for value in values]
    places = range(len(rows))
    axes.hlines(places, 0, values, colors=colours, lw=1)
    axes.scatter(values, places, c=colours, s=25, zorder=3)
    axes.axvline(1, color="black", lw=0.8)
    axes.set_yticks(places, [name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0)
    axes.set_xlabel("measured ratio over its bar (left of 1: within)")
    figure.savefig(file, dpi=150)


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--hyena", help="standalone_hyenadna.py of a local clone")
    parser.add_argument("--megabase", action="store_true", help="minutes of one pass over 1 Mb")
    given = parser.parse_args()
    threads = ("--threads", given.threads)
    found = run("layer.py", *threads)
    found += run("step.py", *threads) + run("step.py", *threads, "--precision", "bf16")
    found += run("lengths.py", *threads, *(["--megabase"] if given.megabase else []))
    found += run("lengths.py", *threads, "--preset", "small", "--repeats", "3")
    found += run("peers.py", *threads, *(["--hyena", given.hyena] if given.hyena else []))
    rows = rows_of(found)
    given.output.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(one) + "\n" for one in found)
    (given.output / "measured.jsonl").write_text(lines, encoding="utf-8")
    table = pd.DataFrame(rows, columns=["what", "ratio", "bar"])
    table.to_csv(given.output / "table.tsv", sep="\t", index=False, float_format="%.3f")
    draw(rows, given.output / "speed.png")
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
