"""The study of fine-tuning: what helps a pretrained model on a task, one thing changed at a time.

    python benchmarks/tune.py run ROW ... [-m findna-human-tiny] [--seed 0] [--data ../shared/data]
    python benchmarks/tune.py table [-o runs/tuning] [--publish docs/results/tuning]
    python benchmarks/tune.py list

A row differs from `plain`, or from `auto`, in one setting. `run` fine-tunes the model on 3,000
training rows (`--train-rows`) of five GUE sets for three epochs (`--epochs`; with another number of
either, name another folder); a fifth of these rows chooses what there is to choose, epoch and
threshold, the official **dev** rows judge, test rows are never read. Rows
`adapted` first go on restoring hidden bases on the task's own training sequences, without their
labels and without those that stand in dev or test, too. A row's folder holds a JSON a set; what is
complete is not run again. `--sets confirm` takes five other sets.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ablate import DEV_ROWS, SETS, TRAIN_ROWS, drawn, gain_over, parts

from findna.data.labelled import LabelledData
from findna.data.labels import read_labelled
from findna.data.similarity import identical_up_to_strand
from findna.files import write_json
from findna.inference.answers import scores_of
from findna.inference.precision import resolve_precision
from findna.metrics import Answers, value
from findna.model.loading import load_model
from findna.model.model import Model, new_model
from findna.sequence.alphabet import decode
from findna.training.beginning import begin
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import fit, logits_of
from findna.training.pretrain import pretrain
from findna.training.tasks import task_for, task_of

PLAIN = ("mean", "max", "summary")
BINS = (*PLAIN, "bins")
ALL_LAYERS = (*PLAIN, "layers")
EVERYTHING = (*ALL_LAYERS, "bins")
WORDED = {
    "deviations": ("deviations",),
    "4-mers": ("deviations", "4-mers"),
    "6-mers": ("deviations", "6-mers"),
}
PROBE = {"begin": "probe"}
AUTO = {"begin": "probe", "pooling": ("auto",), "strand": "auto"}
PLACES = {"pooling": (*EVERYTHING, "early-bins"), "strand": "forward"}
RATES = ("3e-3", "6e-3")
SLOW = {"learning_rate": 3e-4, "head_learning_rate": 3e-4}
COMMON = {
    "train": "full", "strand": "both", "pooling": PLAIN, "begin": "zeros", "precision": "auto",
    "learning_rate": 1e-3,
}  # fmt: skip
ADAPTING = {
    "steps": 200,
    "distillation": {"learning_rate": 1e-3},
    "validation": {"checks": 1, "final_bases": 16_384, "bases": 16_384},
}
FIGURES = ("mcc", "auroc")


@dataclass(frozen=True)
class Row:
    """What differs in the settings of fine-tuning, and what it begins with."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    start: str = "pretrained"


ROWS = {
    "plain": Row(),
    "bins": Row({"pooling": BINS}),
    "layers": Row({"pooling": ALL_LAYERS}),
    "forward": Row({"strand": "forward"}),
    "bins-forward": Row({"pooling": BINS, "strand": "forward"}),
    "probe-first": Row(PROBE),
    "probe-first-layers": Row({**PROBE, "pooling": ALL_LAYERS}),
    "probe-first-layers-slow": Row({**PROBE, "pooling": ALL_LAYERS, **SLOW}),
    "probe-first-all": Row({**PROBE, "pooling": EVERYTHING}),
    "auto": Row(AUTO),
    "auto-head-1e-3": Row({**AUTO, "head_learning_rate": 1e-3}),
    "auto-head-3e-4": Row({**AUTO, "head_learning_rate": 3e-4}),
    "auto-head-1e-4": Row({**AUTO, "head_learning_rate": 1e-4}),
    **{
        f"reads-{name}-head-{rate}": Row(
            {**AUTO, "pooling": (*ALL_LAYERS, *more), "head_learning_rate": float(rate)}
        )
        for name, more in WORDED.items()
        for rate in ("3e-3", "1e-3", "3e-4", "1e-4")
    },
    **{f"auto-rate-{rate}": Row({**AUTO, "learning_rate": float(rate)}) for rate in RATES},
    **{
        f"random-auto-rate-{rate}": Row({**AUTO, "learning_rate": float(rate)}, "random")
        for rate in RATES
    },
    "places-forward-rate-3e-3": Row({**PROBE, **PLACES, "learning_rate": 3e-3}),
    "auto-average-0.98": Row({**AUTO, "average": 0.98}),
    "auto-layer-decay-0.8": Row({**AUTO, "layer_decay": 0.8}),
    "auto-adapted": Row(AUTO, "adapted"),
    "average-0.98": Row({"average": 0.98}),
    "layer-decay-0.8": Row({"layer_decay": 0.8}),
    "layer-decay-0.5": Row({"layer_decay": 0.5}),
    "rate-2e-3": Row({"learning_rate": 2e-3}),
    "six-epochs": Row({"epochs": 6}),
    "adapted": Row(start="adapted"),
    "random": Row(start="random"),
    "random-bins": Row({"pooling": BINS}, "random"),
    "random-auto": Row(AUTO, "random"),
}


def run(name: str, seed: int, given: argparse.Namespace) -> None:
    """Fine-tune and judge a row on the sets where that is not done."""
    folder, row = given.output / f"{name}-s{seed}", ROWS[name]
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / f"{given.sets}.json"
    found: dict[str, dict[str, Any]] = json.loads(told.read_text()) if told.exists() else {}
    for task in [each for each in SETS[given.sets] if each not in found]:
        data = read_labelled(given.data / "gue" / task)
        begun = time.process_time()
        start = start_of(row, data, folder / task.replace("/", "-"), seed, given.model)
        figures = judged(start, data, row, seed, given.train_rows, given.epochs)
        found[task] = figures | {"seconds": time.process_time() - begun}
        write_json(told, found)
        logging.info("%s, seed %d, %s: %s", name, seed, task, found[task])


def start_of(row: Row, data: LabelledData, folder: Path, seed: int, model: str) -> Model:
    """The network that fine-tuning begins with."""
    pretrained = load_model(model)
    if row.start == "random":
        return new_model(pretrained.config, seed)
    if row.start == "pretrained":
        return pretrained
    fasta = unlabelled(data, folder.with_suffix(".fa"))
    longest = int(data.splits["train"].lengths.max())
    settings = {**ADAPTING, "seed": seed, "sampling": {"window": longest}}
    pretrain(fasta, folder, settings, start_from=model, overwrite=True)
    adapted = load_model(folder)
    shutil.rmtree(folder)
    fasta.unlink()
    return adapted


def unlabelled(data: LabelledData, fasta: Path) -> Path:
    """The training sequences that stand neither in dev nor in test, as FASTA."""
    train = data.splits["train"]
    judged = [code for part in ("dev", "test") for code in data.splits[part].codes]
    number = identical_up_to_strand([*train.codes, *judged])
    kept = ~np.isin(number[: len(train)], number[len(train) :])
    records = (
        f">{name}\n{decode(code)}\n"
        for name, code, keep in zip(train.ids, train.codes, kept, strict=True)
        if keep
    )
    fasta.write_text("".join(records))
    return fasta


def judged(
    start: Model, data: LabelledData, row: Row, seed: int, rows: int, epochs: int
) -> dict[str, Any]:
    """Dev figures of a model that was fine-tuned and chosen on training rows."""
    train = drawn(data.splits["train"], rows)
    dev = drawn(data.splits["dev"], DEV_ROWS)
    learn, choose = (np.isin(np.arange(len(train)), some) for some in parts(len(train)))
    asked = {**COMMON, "epochs": epochs, **row.settings, "seed": seed}
    settings = FinetuneSettings.parse(asked, source="a row")
    precision = resolve_precision(settings.precision, start.device)
    learned, chooses = train.where(learn), train.where(choose)
    begun = begin(
        start, task_for(data, learned, settings.strands[0], settings), learned, chooses, settings,
        precision=precision, strands=settings.strands,
    )  # fmt: skip
    fitted = fit(begun, learned, chooses, settings, precision=precision, note=noted)
    task = task_of(fitted.model)
    reads = {"strand": task.strand, "pooling": "+".join(task.pooling)}
    scores = scores_of(logits_of(fitted.model, dev, precision), task)
    answers = Answers(task.kind, data.classes, dev.labels, scores, task.threshold)
    return {name: value(name, answers) or 0.0 for name in FIGURES} | {
        "epoch": fitted.epoch, **reads,
    }  # fmt: skip


def noted(**numbers: Any) -> None:
    """The numbers of an epoch, for whoever asks for them."""
    logging.debug("%s", numbers)


def tabulate(given: argparse.Namespace) -> None:
    """Print and write one line a row: means over sets and seeds, and gains over one of them."""
    place = given.publish or given.output
    place.mkdir(parents=True, exist_ok=True)
    for sets in SETS:
        rows = [name for name in ROWS if list(given.output.glob(f"{name}-s*/{sets}.json"))]
        lines = [line(name, sets, given.output, given.against) for name in rows]
        if not lines:
            continue
        table = pd.DataFrame(lines).sort_values("mcc", ascending=False)
        table.to_csv(place / f"{sets}.tsv", sep="\t", index=False, float_format="%.4f")
        print(f"{sets}\n{table.to_string(index=False, float_format='%.3f')}")
    if given.publish:
        for file in given.output.glob("*/*.json"):
            kept = place / "runs" / file.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, kept / file.name)


def line(name: str, sets: str, folder: Path, against: str) -> dict[str, Any]:
    """One row of the table."""
    files = sorted(folder.glob(f"{name}-s*/{sets}.json"))
    figures = pd.concat([pd.DataFrame(json.loads(file.read_text())) for file in files], axis=1)
    # A row that has not been run on all sets yet is compared on none.
    whole = figures.shape[1] == len(files) * len(SETS[sets])
    gain = gain_over(against, name, folder, sets, ("mcc",)) if whole else (np.nan,) * 5
    told = dict(zip(("gain", "gain_low", "gain_high", "better", "pairs"), gain, strict=True))
    means = figures.loc[[*FIGURES, "seconds"]].astype(float).mean(axis=1)
    each = figures.loc["auroc"].astype(float).groupby(level=0).mean()
    numbers = {str(key): value for one in (means, each) for key, value in one.items()}
    return {"row": name, "seeds": len(files), **told, **numbers}


def main() -> None:
    """Run rows, or tabulate those that were run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("do", choices=("run", "table", "list"))
    parser.add_argument("row", nargs="*", choices=[*ROWS, []])
    parser.add_argument("-m", "--model", default="findna-human-tiny")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--sets", choices=SETS, default="choose")
    parser.add_argument("--train-rows", type=int, default=TRAIN_ROWS)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--against", choices=ROWS, default="plain", help="row to compare with")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--publish", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("findna").setLevel(logging.WARNING)
    given.output.mkdir(parents=True, exist_ok=True)
    if given.do == "list":
        print("\n".join(ROWS))
    elif given.do == "table":
        tabulate(given)
    else:
        for name in given.row:
            for seed in given.seed or [0]:
                run(name, seed, given)


if __name__ == "__main__":
    main()
