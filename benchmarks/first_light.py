"""The whole line on real DNA: pretrain, fine-tune, judge; one table.

    python benchmarks/first_light.py --data ../shared/data -o runs/first-light

Every step is a run folder; a step whose folder is complete is not done again, so the script can be
stopped and started. Training rows are cut to ``--rows`` (drawn once, seed 0), dev and test are the
official ones. Contenders share settings, rows and splits: the pretrained model, the same network
from random weights, and the k-mer baseline; each is tuned on dev only and tested once.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from findna.data.labels import read_labelled
from findna.evaluation.contenders.baselines import kmer_baseline
from findna.training.finetune import finetune
from findna.training.finetune_settings import FinetuneSettings
from findna.training.pretrain import pretrain

SEEDS = (0, 1, 2)
HUMAN = {"sampling": {"validation_chroms": ["chr10", "chr21"]}}


@dataclass(frozen=True)
class Task:
    """A labelled set: its folder below gue/, and the pretraining run it starts from."""

    name: str
    folder: str
    start: str
    dev_is_train: bool = False


TASKS = (
    Task("prom_300_tata", "prom/prom_300_tata", "human-30m"),
    Task("prom_core_all", "prom/prom_core_all", "human-30m"),
    Task("tf/0", "tf/0", "human-30m"),
    Task("EMP H3", "EMP/H3", "yeast-5m", dev_is_train=True),
)


def pretrained(data: Path, out: Path) -> None:
    """The three pretraining runs."""
    human = data / "human_hg38" / "hg38_regions.fa.gz"
    yeast = data / "yeast" / "Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
    for name, genome, settings in (
        ("human-30m", human, {**HUMAN, "budget": "30m"}),
        ("human-10m", human, {**HUMAN, "budget": "10m"}),
        ("yeast-5m", yeast, {"budget": "5m"}),
    ):
        if not (out / name / "model").exists():
            pretrain(genome, out / name, settings, overwrite=True)


def cut(task: Task, data: Path, out: Path, rows: int) -> Path:
    """The task as a folder of CSV files with at most ``rows`` training rows."""
    folder = out / "tasks" / task.name.replace("/", "-").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    source = data / "gue" / task.folder
    train = pd.read_csv(source / f"{'dev' if task.dev_is_train else 'train'}.csv.gz")
    if len(train) > rows:
        train = train.iloc[np.sort(np.random.default_rng(0).permutation(len(train))[:rows])]
    train.to_csv(folder / "train.csv", index=False)
    for part in ("test",) if task.dev_is_train else ("dev", "test"):
        pd.read_csv(source / f"{part}.csv.gz").to_csv(folder / f"{part}.csv", index=False)
    return folder


def one_run(task: Task, folder: Path, out: Path, start: str, seed: int, epochs: int) -> None:
    """Fine-tune once, on one thread: runs beside each other use the cores better."""
    name = f"{folder.name}-{'pretrained' if start != 'tiny' else 'random'}-{seed}"
    if (out / name / "metrics.json").exists():
        return
    torch.set_num_threads(1)
    settings = FinetuneSettings(seed=seed, strand="both", epochs=epochs, train="full")
    model = start if start == "tiny" else out / start
    finetune(folder, out / name, model=model, settings=settings, overwrite=True)


def kmers(folder: Path, out: Path) -> None:
    """The k-mer baseline, once: it draws nothing."""
    file = out / f"{folder.name}-kmer.json"
    if not file.exists():
        result = kmer_baseline(read_labelled(folder))
        found = {k: v.as_dict() for k, v in result.judgement.metrics(seed=0).items()}
        file.write_text(json.dumps({"metrics": found, "chosen": str(result.chosen)}, indent=1))


def mcc(runs: Iterable[Path]) -> str:
    """Mean ± sd of the test MCC over runs, with the range of their 95 % intervals."""
    found = [json.loads(file.read_text())["metrics"]["mcc"] for file in runs]
    values = [each["value"] for each in found]
    low, high = min(each["low"] for each in found), max(each["high"] for each in found)
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread} [{low:.3f}, {high:.3f}]"


def last_check(run: Path) -> dict[str, Any]:
    """The closing held-out check of a pretraining run."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    checks: list[dict[str, Any]] = [row for row in rows if "by_length" in row]
    return checks[-1]


def tables(out: Path, rows: int) -> str:
    """Both tables in markdown."""
    lines = [
        "Held-out MASK-only loss, nats a base (95 % interval over windows):",
        "",
        "| run | steps | loss at 512 bp | letters | Markov (k) | 70 | 101 | 300 | 500 | 1,000 bp |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("human-10m", "human-30m", "yeast-5m"):
        if not (out / name / "model").exists():
            continue
        c = last_check(out / name)
        lengths = [c["by_length"].get(str(n), {}).get("loss") for n in (70, 101, 300, 500, 1000)]
        shown = " | ".join("–" if x is None else f"{x:.4f}" for x in lengths)
        lines.append(
            f"| {name} | {c['step']:,} | {c['mask_loss']:.4f} [{c['mask_loss_low']:.4f},"
            f" {c['mask_loss_high']:.4f}] | {c['letter_entropy']:.4f} | {c['markov_loss']:.4f}"
            f" ({c['markov_k']}) | {shown} |"
        )
    lines += [
        "",
        "| run | effective rank | teacher entropy | token information | strand agreement |",
    ]
    lines += ["|---|---|---|---|---|"]
    for name in ("human-10m", "human-30m", "yeast-5m"):
        if (out / name / "model").exists():
            c = last_check(out / name)
            lines.append(
                f"| {name} | {c['effective_rank']:.2f} | {c['teacher_entropy']:.3f} |"
                f" {c['token_information']:.3f} | {c['strand_agreement']:.3f} |"
            )
    lines += [
        "",
        f"Test MCC, mean ± sd over {len(SEEDS)} fine-tuning seeds (one pretraining seed), at most"
        f" {rows:,} training rows; in brackets the widest 95 % interval over test rows:",
        "",
        "| task | pretrained | random init | k-mer regression |",
        "|---|---|---|---|",
    ]
    for task in TASKS:
        name = task.name.replace("/", "-").replace(" ", "-")
        runs = {
            kind: sorted(out.glob(f"{name}-{kind}-*/metrics.json"))
            for kind in ("pretrained", "random")
        }
        if all(runs.values()):
            kmer = mcc([out / f"{name}-kmer.json"])
            lines.append(
                f"| {task.name} | {mcc(runs['pretrained'])} | {mcc(runs['random'])} | {kmer} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do what is not done yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/first-light"))
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip-pretraining", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given.output.mkdir(parents=True, exist_ok=True)
    if not given.skip_pretraining:
        pretrained(given.data, given.output)
    folders = {task: cut(task, given.data, given.output, given.rows) for task in TASKS}
    # Spawned, not forked: a forked process inherits torch's threads in an unknown state.
    with ProcessPoolExecutor(given.jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [
            pool.submit(one_run, task, folders[task], given.output, start, seed, given.epochs)
            for seed in SEEDS
            for task in TASKS
            for start in (task.start, "tiny")
        ]
        for done in waiting:
            done.result()
    for folder in folders.values():
        kmers(folder, given.output)
    table = tables(given.output, given.rows)
    (given.output / "table.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
