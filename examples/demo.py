"""The whole line on a simulated genome, with the controls that belong to it; one table at the end.

    python examples/demo.py OUTPUT [--budget 2m] [--overwrite]

Writes the example, pretrains `tiny` on four of its six chromosomes, fine-tunes each task twice
(from the pretrained model and from random weights), fits the k-mer baseline, and predicts. The
genome is simulated: the table says that the line works, not how good a model is on real DNA.
"""

import argparse
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import findna
from findna.allocation import keep_freed_memory
from findna.data.labelled import LabelledData
from findna.data.labels import read_labelled
from findna.evaluation.contenders.baselines import kmer_baseline
from findna.metrics import Answers, Metric
from findna.report import write_report
from findna.resampling import bootstrap_interval
from findna.training.finetune import FinetuneSettings
from findna.training.recipes import PretrainSettings

CHROMOSOMES = ("chr1", "chr2", "chr3", "chr4")  # dev and test rows lie on chr5 and chr6
# Promoters are read in the direction of their gene, exons on any strand.
STRANDS = {"promoters": "forward", "coding": "both"}


@dataclass(frozen=True)
class Row:
    """Test MCC of the three models on a task, and what pretraining added (paired on test rows)."""

    task: str
    kmers: Metric
    random: Metric
    pretrained: Metric
    gain: Metric


def pretrain(folder: Path, length: dict[str, str | int]) -> Path:
    """Pretrain on the example's training chromosomes, for a budget or for steps; the run folder.

    Masked bases only: in two minutes the distillation term costs more than it brings (measured, see
    docs/decisions.md). Small batches: a slow CPU has time for a hundred of the usual ones, which is
    too few steps.
    """
    given = {
        **length,
        "sampling": {"contigs": CHROMOSOMES, "batch_bases": 4096},
        "validation": {"checks": 4, "final_bases": 262_144},
        "distillation": {"distillation_weight": 0.0},
    }
    settings = PretrainSettings.resolve(given)
    run = folder / "pretrained"
    findna.pretrain(folder / "example" / "genome.fa", run, settings, overwrite=True)
    write_report(run)
    return run


def finetune(folder: Path, task: str, start: str | Path, name: str, epochs: int) -> Answers:
    """Fine-tune from `start`, predict the test file with the result, hold it to the labels."""
    data = read_labelled(folder / "example" / task)
    # Everything is trained from both starts: what differs is the start alone.
    given = {"epochs": epochs, "strand": STRANDS[task], "train": "full"}
    settings = FinetuneSettings.parse(given, source="the demo")
    run = folder / f"{task}-{name}"
    model = findna.finetune(data, run, model=start, settings=settings, overwrite=True).model
    write_report(run)
    predictions = folder / f"{task}-{name}.tsv"
    findna.predict(folder / "example" / task / "test.csv", run, predictions, overwrite=True)
    return _answers(data, model, predictions)


def _answers(data: LabelledData, model: findna.Model, predictions: Path) -> Answers:
    """Predictions of the test file beside its labels."""
    table = pd.read_csv(predictions, sep="\t")
    scores = table[[f"p_{name}" for name in data.classes]].to_numpy(float)
    threshold = model.config.task.threshold if model.config.task else 0.5
    return Answers(data.kind, data.classes, data.splits["test"].labels, scores, threshold)


def compare(folder: Path, task: str, pretrained: Path, epochs: int) -> Row:
    """Fine-tune a task from both starts and set them beside the k-mer baseline."""
    before = finetune(folder, task, "tiny", "random", epochs)
    after = finetune(folder, task, pretrained, "pretrained", epochs)
    words = kmer_baseline(read_labelled(folder / "example" / task)).judgement
    return Row(
        task,
        words.metrics(seed=0)["mcc"],
        bootstrap_interval("mcc", before),
        bootstrap_interval("mcc", after),
        bootstrap_interval("mcc", after, before),
    )


def print_table(rows: list[Row], seconds: float) -> None:
    """Test MCC with 95 % intervals, one line a task."""
    line = "{:<10} {:>22} {:>22} {:>22} {:>24}"
    print("\nTest MCC on a simulated genome [95 % interval], test rows read once")
    print(line.format("task", "k-mer baseline", "random init", "pretrained", "pretrained - random"))
    for row in rows:
        cells = (row.kmers, row.random, row.pretrained, row.gain)
        print(line.format(row.task, *map(str, cells)))
    print(
        "one run each: the intervals are of the test rows alone, and another seed of fine-tuning\n"
        "moves a difference by about 0.05; over seeds: benchmarks/example_gain.py"
    )
    print(f"{seconds / 60:.1f} minutes")


def main() -> int:
    """Run the line and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for everything that is written")
    parser.add_argument("--budget", default="2m", help="time of the pretraining")
    parser.add_argument("--steps", type=int, help="steps of the pretraining, instead")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of each fine-tuning")
    parser.add_argument("--tasks", nargs="+", choices=STRANDS, default=list(STRANDS))
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated genome")
    parser.add_argument("--overwrite", action="store_true", help="write over an earlier demo")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keep_freed_memory()
    began = time.monotonic()
    findna.example(given.output / "example", seed=given.seed, overwrite=given.overwrite)
    run = pretrain(
        given.output, {"steps": given.steps} if given.steps else {"budget": given.budget}
    )
    rows = [compare(given.output, task, run, given.epochs) for task in given.tasks]
    print_table(rows, time.monotonic() - began)
    print(f"reports: {given.output}/*/report.html")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except findna.FindnaError as error:
        sys.exit(f"error: {error}")
