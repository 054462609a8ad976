"""GUE by `findna evaluate`, in pieces that can be stopped and started.

    python benchmarks/gue.py PIECE -m human=runs/first-light/human-30m [--data ../shared/data]

A piece is an evaluation folder of its own below `-o`:

    probes        complete sets, all rows, five seeds: probes and cheap baselines
    probes-5000   complete sets, 5,000 training rows, three seeds: marked as reduced
    finetune      complete sets, 5,000 training rows, three epochs, one rate, three seeds: marked as
                  reduced; three to four hours of one core
    finetune-all  complete sets, all rows, four epochs, one rate, two seeds: two to three hours
                  of two cores
    dev-as-train  sets whose train files are not here: the dev rows are the training rows
    full          complete sets, all rows, five seeds, every mode: for a GPU

`--publish DIR` copies what a reader needs (tables, picture, settings, command, log) to DIR/PIECE,
and the answers to every test row (`runs`): with them in its `-o` folder the same command goes on.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from findna.evaluation.evaluate import EvaluateResult, EvaluateSettings, evaluate
from findna.report.comparison import draw_comparison

COMPLETE = (
    "prom/prom_core_all", "prom/prom_core_notata", "prom/prom_300_tata",
    "tf/0", "tf/1", "tf/2", "tf/3", "mouse/0", "mouse/2", "mouse/3",
)  # fmt: skip
WITHOUT_TRAIN = (
    "prom/prom_300_all", "prom/prom_300_notata", "splice/reconstructed", "mouse/1",
    "EMP/H3", "EMP/H3K14ac", "EMP/H3K4me3",
)  # fmt: skip
PIECES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "probes": (COMPLETE, {"modes": ("linear", "knn")}),
    "probes-5000": (
        COMPLETE,
        {"modes": ("linear", "knn"), "train_rows": 5000, "seeds": 3},
    ),
    "finetune": (
        COMPLETE,
        {
            "modes": ("finetune",),
            "train_rows": 5000,
            "epochs": 3,
            "seeds": 3,
            "learning_rates": (3e-3,),
        },
    ),
    "finetune-all": (
        COMPLETE,
        {"modes": ("finetune",), "epochs": 4, "seeds": 2, "learning_rates": (3e-3,)},
    ),
    "dev-as-train": (WITHOUT_TRAIN, {"modes": ("linear", "knn"), "dev_as_train": True}),
    "full": (COMPLETE, {}),
}
PUBLISHED = (
    "settings.yaml", "results.tsv", "table.tsv", "across.tsv", "published.tsv", "table.md",
    "comparison.png", "log.txt", "command.txt", "environment.json",
)  # fmt: skip


def copy_files(names: Sequence[str], folder: Path, place: Path) -> None:
    """Copy files of a folder to another, which is made if it is not there."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(folder / name, place / name)


def finish(result: EvaluateResult, folder: Path, log_file: Path, place: Path | None) -> None:
    """Draw what was measured, and copy to `place` what a reader needs; the answers of every run
    stay where they are. Where no run succeeded there is nothing to draw.
    """
    if not len(result.table):
        return
    draw_comparison(result.table, result.published, folder / "comparison.png")
    shutil.copy(log_file, folder / "log.txt")
    (folder / "command.txt").write_text(f"python {shlex.join(sys.argv)}\n")
    if place:
        copy_files(PUBLISHED, folder, place)
        shutil.copytree(folder / "leakage", place / "leakage", dirs_exist_ok=True)


def prepare(log_file: Path, threads: int | None) -> None:
    """Log to the screen and to a file, and take so many CPU threads."""
    if threads:
        torch.set_num_threads(threads)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.StreamHandler(), logging.FileHandler(log_file)],
    )


def main() -> int:
    """Go on with a piece, then draw and copy; 1 when runs failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("piece", choices=PIECES)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gue"))
    parser.add_argument("--task", action="append", help="some of the piece's tasks only")
    parser.add_argument("--pretraining-genome", type=Path)
    parser.add_argument("--budget", help="end between two runs after this time, such as 9m")
    parser.add_argument("--precision", default="auto", help="fp32, bf16 or auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    folder = given.output / given.piece
    folder.parent.mkdir(parents=True, exist_ok=True)
    log_file = given.output / f"{given.piece}.log"
    prepare(log_file, given.threads)
    tasks, settings = PIECES[given.piece]
    result = evaluate(
        None,
        folder,
        models=given.model,
        suite="gue",
        tasks=given.task or tasks,
        root=given.data,
        settings=EvaluateSettings(**settings, budget=given.budget, precision=given.precision),
        pretraining_genome=given.pretraining_genome,
    )
    place = given.publish and given.publish / given.piece
    finish(result, folder, log_file, place)
    if place and len(result.table):
        shutil.copytree(folder / "runs", place / "runs", dirs_exist_ok=True)
    return int(bool(result.failed))


if __name__ == "__main__":
    sys.exit(main())
