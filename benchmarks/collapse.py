"""Does the verdict of a run know a collapse when there is one, and only then?

    python benchmarks/collapse.py [--data ../shared/data] [-o runs/collapse] [--publish DIR]

Short pretraining runs on real DNA: four recipes that collapse (two of them, `fix`, set the
thresholds of `training/validation.py`; the two others, `check`, must be found by them), and recipes
that learn, on which the verdict must never fire, at no check after the first ones. Prints a table
and exits with 1 if a verdict was wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from findna.files import read_json_lines
from findna.training.pretrain import pretrain

# The two ways a self-distilling network gives one answer to everything (Caron et al. 2021, section
# 5.3): without centring one prototype wins, without sharpening all of them share.
_NO_CENTRE = {"balance": "centre", "centre_momentum": 0.9999, "distillation_weight": 1.0}
_NOT_SHARP = {
    "balance": "centre",
    "teacher_temperature": 1.0,
    "first_teacher_temperature": 1.0,
    "distillation_weight": 1.0,
}
# (role, what differs from the default recipe)
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "no centring": ("fix", {**_NO_CENTRE, "masked_weight": 0.0}),
    "no sharpening": ("fix", {**_NOT_SHARP, "masked_weight": 0.0}),
    "no centring beside masked bases": ("check", _NO_CENTRE),
    "no sharpening, mean over bases, teacher is the student": (
        "check",
        {**_NOT_SHARP, "target": "mean", "first_momentum": 0.0},
    ),
    "centre, as published": ("learns", {"balance": "centre", "distillation_weight": 1.0}),
    "summary tokens distilled": ("learns", {"distillation_weight": 0.2}),
    "masked bases only": ("learns", {"distillation_weight": 0.0}),
    "distillation only": ("learns", {"distillation_weight": 1.0, "masked_weight": 0.0}),
    "hidden bases distilled": ("learns", {"distillation_weight": 1.0, "target": "bases"}),
}
SHOWN = (
    "step", "mask_loss", "effective_rank", "token_information", "least_token_information",
)  # fmt: skip


def main() -> int:
    """Run what is not there yet, then judge the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/collapse"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    lines = [line for name in RECIPES for line in checks_of(name, given)]
    table = pd.DataFrame(lines)
    last = table.groupby("recipe", sort=False).last()
    print(last.to_string(float_format="%.4f"))
    if given.publish:
        given.publish.mkdir(parents=True, exist_ok=True)
        table.to_csv(given.publish / "checks.tsv", sep="\t", index=False, float_format="%.5f")
    wrong = last[last.fires != (last.role != "learns")]
    early = table[(table.role == "learns") & table.fires]
    return int(len(wrong) + len(early) > 0)


def checks_of(name: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every check of a recipe's run, which is done first if it is not there."""
    role, distillation = RECIPES[name]
    folder = given.output / name.replace(", ", "-").replace(" ", "-")
    if not (folder / "model").exists():
        settings = {
            "steps": given.steps,
            "seed": given.seed,
            "distillation": distillation,
            "sampling": {
                "window": 256,
                "batch_bases": 8192,
                "validation_chroms": ("chr10", "chr21"),
            },
            "validation": {"checks": 8, "bases": 65_536, "final_bases": 65_536},
        }
        genome = given.data / "human_hg38" / "hg38_regions.fa.gz"
        pretrain(genome, folder, settings, overwrite=True)
    return [
        {
            "recipe": name,
            "role": role,
            **{key: row.get(key) for key in SHOWN},
            "fires": str(row["verdict"]).startswith("COLLAPSING"),
            "verdict": row["verdict"],
        }
        for row in read_json_lines(folder / "metrics.jsonl")
        if "verdict" in row
    ]


if __name__ == "__main__":
    sys.exit(main())
