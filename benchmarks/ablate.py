"""The study of the recipe: what changes a small model's representation of human DNA, at equal cost.

    python benchmarks/ablate.py run ROW ... [--seed 0] [--data ../shared/data] [-o runs/recipe]
    python benchmarks/ablate.py run --model NAME=FOLDER     (judges a model trained elsewhere)
    python benchmarks/ablate.py run random-medium           (judges random weights of a shape)
    python benchmarks/ablate.py table [-o runs/recipe] [--publish docs/results/recipe]
    python benchmarks/ablate.py list

A row is a recipe that differs from the base in one thing. `run` trains it for as many steps as
cost what `--steps` steps of the base cost (processor seconds of one thread, both measured in turn),
on the human regions without chr10 and chr21, and judges it: linear and nearest-neighbour probes on
the official **dev** rows of five GUE sets (test rows are never read), MASK-only loss on the
held-out chromosomes, and the health figures. The strength of a probe and its threshold are chosen
on a fifth of its training rows; dev rows are only judged. A row's folder is a pretraining run with
`result.json` in it; one that is complete is not run again. `--sets confirm` judges trained rows on
the five other sets.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from mask_repeats import mask
from matplotlib.figure import Figure
from numpy.typing import NDArray

from findna.data.batches import make_batch
from findna.data.holdout import split_genome
from findna.data.labelled import LabelledSplit
from findna.data.labels import read_labelled
from findna.data.windows import WindowSampler
from findna.files import write_json
from findna.inference.embed import embeddings
from findna.inference.precision import autocast, resolve_precision
from findna.metrics import Answers, value
from findna.model.loading import load_model
from findna.model.model import Model, new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.report.figures import COLOURS, STYLE
from findna.resampling import mean_over_few
from findna.sequence.genome import Genome
from findna.training.engine import open_engine
from findna.training.linear import tuned
from findna.training.pretrain import pretrain
from findna.training.recipes import PretrainSettings
from findna.training.self_distillation import SelfDistillation
from findna.training.thresholds import choose_threshold

SETS = {
    "choose": ("prom/prom_core_all", "prom/prom_300_tata", "tf/0", "tf/3", "mouse/0"),
    "confirm": ("prom/prom_core_notata", "tf/1", "tf/2", "mouse/2", "mouse/3"),
}
TRAIN_ROWS, DEV_ROWS = 3000, 3000
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
NEIGHBOURS, TEMPERATURE = 20, 0.07
TIMED, WARM = 16, 4
RESAMPLES = 5000


@dataclass(frozen=True)
class Row:
    """One recipe: the factor it belongs to, what differs in the settings and in the shape."""

    factor: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: Mapping[str, Any] = field(default_factory=dict)

    @property
    def masked(self) -> bool:
        """Whether it needs a genome with repeats in lower case."""
        return "soft_mask" in self.settings.get("sampling", {})


def _loss(weight: float, target: str = "summary", **more: Any) -> dict[str, Any]:
    return {"distillation": {"distillation_weight": weight, "target": target, **more}}


def _masked(**settings: Mapping[str, Any]) -> dict[str, Any]:
    return merged(_loss(0), settings)


def merged(*many: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, the later ones over the earlier ones."""
    out: dict[str, Any] = {}
    for each in many:
        for key, told in each.items():
            out[key] = merged(out.get(key, {}), told) if isinstance(told, Mapping) else told
    return out


_STEM = {"stem": 4}

ROWS: dict[str, Row] = {
    # loss mix, and what is distilled through which head
    "base": Row("base", _loss(0.2)),
    "masked-only": Row("loss", _loss(0)),
    "distillation-only": Row("loss", _loss(1, masked_weight=0.0)),
    "summary-1": Row("loss", _loss(1)),
    "mean-0.2": Row("target", _loss(0.2, "mean")),
    "mean-1": Row("target", _loss(1, "mean")),
    "bases-0.2": Row("target", _loss(0.2, "bases")),
    "bases-1": Row("target", _loss(1, "bases")),
    # the teacher and what it sees
    "momentum-0.996": Row("teacher", _loss(0.2, first_momentum=0.996)),
    "teacher-0.07": Row("teacher", _loss(0.2, teacher_temperature=0.07)),
    "centre": Row("teacher", _loss(0.2, balance="centre")),
    "crop-half": Row("teacher", merged(_loss(0.2), {"views": {"crop": 0.5}})),
    "same-strand": Row("teacher", merged(_loss(0.2), {"views": {"reverse_complement": 0.0}})),
    # the rest without distillation, which the first rows found not to pay
    "hide-15": Row("hiding", _masked(hiding={"max_rate": 0.25})),
    "hide-48": Row("hiding", _masked(hiding={"max_rate": 0.8})),
    "span-3": Row("hiding", _masked(hiding={"span": 3})),
    "span-8": Row("hiding", _masked(hiding={"span": 8})),
    "no-noise": Row("views", _masked(views={"noise": 0.0})),
    "one-strand": Row("views", _masked(views={"reverse_complement": 0.0})),
    "window-256": Row("length", _masked(sampling={"window": 256})),
    "window-1000": Row("length", _masked(sampling={"window": 1000})),
    "only-512": Row("length", _masked(sampling={"one_length": True})),
    "rate-6e-3": Row("optimizer", _masked(distillation={"learning_rate": 6e-3})),
    "rate-1.5e-3": Row("optimizer", _masked(distillation={"learning_rate": 1.5e-3})),
    "batch-8k": Row("optimizer", _masked(sampling={"batch_bases": 8192})),
    "one-way": Row("shape", _masked(), {"direction": "forward"}),
    "both-ways": Row("shape", _masked(), {"direction": "both"}),
    "no-norm": Row("shape", _masked(), {"norm": "none"}),
    "stem-4": Row("shape", _masked(), _STEM),
    "stem-4-repeats-0.1": Row("repeats", _masked(sampling={"soft_mask": "downweight"}), _STEM),
    "stem-4-repeats-0": Row(
        "repeats", _masked(sampling={"soft_mask": "downweight", "soft_mask_weight": 0.0}), _STEM
    ),
    "stem-8": Row("shape", _masked(), {"stem": 8}),
    "stem-4-base": Row("loss", _loss(0.2), _STEM),
    "together": Row("together", _masked(views={"noise": 0.0}, hiding={"span": 3}), _STEM),
    "deep-10x96": Row(
        "shape", _masked(), {"width": 96, "hidden": 192, "depth": 10, "track_size": 12}
    ),
    "wide-4x160": Row(
        "shape", _masked(), {"width": 160, "hidden": 320, "depth": 4, "track_size": 20}
    ),
}


COMMON = {
    "sampling": {"validation_chroms": ("chr10", "chr21")},
    "validation": {"checks": 1, "final_bases": 262_144},
    "precision": "auto",
}


def settings_of(row: Row, steps: int, seed: int) -> PretrainSettings:
    """The row's settings over the base's."""
    given = merged(COMMON, ROWS["base"].settings, row.settings, {"steps": steps, "seed": seed})
    return PretrainSettings.resolve(given, source="a row of the study")


def shape_of(row: Row) -> ModelConfig:
    """The row's shape: `tiny` as it was before the study, and what differs."""
    preset = PRESETS["tiny"]
    backbone = preset.backbone.model_copy(update={"stem": 0, **row.shape})
    backbone = type(backbone).model_validate(backbone.model_dump())
    return preset.model_copy(update={"preset": "custom", "backbone": backbone})


# Shapes whose random weights can be judged.
UNTRAINED: dict[str, ModelConfig] = {
    "random": shape_of(ROWS["masked-only"]),
    "random-stem-4": shape_of(ROWS["stem-4"]),
    **{f"random-{name}": PRESETS[name] for name in ("small", "medium", "base")},
}


# ---------------------------------------------------------------- cost


def steps_of(row: Row, genome: Genome, base_steps: int) -> tuple[int, float]:
    """Steps that cost as much as `base_steps` of the base, and the cost of a step in its steps."""
    clocks = [_clock(each, genome) for each in (ROWS["base"], row)]
    spent = np.array([[next(clock) for clock in clocks] for _ in range(WARM + TIMED)])[WARM:]
    ratio = float(spent[:, 1].sum() / spent[:, 0].sum())
    return max(1, round(base_steps / ratio)), ratio


def _clock(row: Row, genome: Genome) -> Iterator[float]:
    """Processor seconds of one step after the other."""
    settings = settings_of(row, 1000, 0)
    split = split_genome(genome, settings.sampling)
    sampler = WindowSampler(genome, split.train, settings.sampling, settings.seed)
    engine = open_engine("cpu")
    model = new_model(shape_of(row), 0)
    precision = resolve_precision(settings.precision, engine.device)
    learner = SelfDistillation(model, settings.distillation, engine, precision)
    for step in range(WARM + TIMED):
        began = time.process_time()
        width = model.config.backbone.width
        batch = make_batch(sampler, 0, step, "cpu", settings.views, settings.hiding, width=width)
        learner.step([batch], step, 1000)
        yield time.process_time() - began


# ---------------------------------------------------------------- judging

Vectors = NDArray[np.float32]


def layer_vectors(model: Model, rows: LabelledSplit) -> Vectors:
    """Mean and standard deviation over bases of every layer's output and of the closing norm's:
    (n, 2, depth + 1, D), averaged over both strands.
    """
    with autocast(model.device, resolve_precision("auto", model.device)):
        found = embeddings(model, rows.codes, pooling=("layers", "deviations"))
    return found.reshape(len(rows), 2, -1, model.config.backbone.width)


READOUTS: dict[str, Callable[[Vectors], Vectors]] = {
    "last mean": lambda v: v[:, 0, -1],
    "all means": lambda v: v[:, 0].reshape(len(v), -1),
    "all means and deviations": lambda v: v.reshape(len(v), -1),
}


def judged(model: Model, task: Path) -> dict[str, float]:
    """Dev MCC and AUROC of a linear probe on every readout, and MCC of the nearest neighbours."""
    data = read_labelled(task)
    train = drawn(data.splits["train"], TRAIN_ROWS)
    dev = drawn(data.splits["dev"], DEV_ROWS)
    learn, choose = parts(len(train))
    seen, asked = layer_vectors(model, train), layer_vectors(model, dev)
    labels, truth = train.labels.astype(np.int64), dev.labels.astype(np.int64)
    found: dict[str, float] = {}
    for name, read in READOUTS.items():
        x, y = read(seen), read(asked)
        probe = tuned(x[learn], labels[learn], x[choose], labels[choose], data.kind, 2, STRENGTHS)
        scores = probe.model.scores(y)
        answers = Answers("binary", data.classes, truth, scores, probe.threshold)
        found[name] = value("mcc", answers) or 0.0
        found[f"{name}, AUROC"] = value("auroc", answers) or 0.5
    found["neighbours"] = _neighbours(seen[:, 0, -1], labels, asked[:, 0, -1], truth)
    return found


def drawn(rows: LabelledSplit, most: int) -> LabelledSplit:
    """At most so many rows, the same ones at every call."""
    return rows.where(np.random.default_rng(0).permutation(len(rows)) < most)


def parts(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that teach, and a fifth that chooses."""
    order = np.random.default_rng(1).permutation(rows)
    return order[rows // 5 :], order[: rows // 5]


def _neighbours(
    memory: Vectors, labels: NDArray[np.int64], asked: Vectors, truth: NDArray[np.int64]
) -> float:
    """MCC of the weighed votes of the nearest training rows (Caron et al. 2021, section 4.1)."""
    mean, spread = memory.mean(0), np.maximum(memory.std(0), 1e-6)
    keys, queries = (
        torch.nn.functional.normalize(torch.from_numpy((v - mean) / spread), dim=1)
        for v in (memory, asked)
    )

    def says(queries: torch.Tensor, skip: int) -> NDArray[np.float64]:
        near = (queries @ keys.T).topk(NEIGHBOURS + skip, dim=1)
        weights = torch.softmax(near.values[:, skip:] / TEMPERATURE, 1).numpy()
        return np.asarray((weights * labels[near.indices[:, skip:].numpy()]).sum(1), np.float64)

    # The threshold is chosen on the training rows, each answered by the others.
    threshold, said = choose_threshold(labels, says(keys, 1)), says(queries, 0)
    scores = np.stack([1 - said, said], 1)
    return value("mcc", Answers("binary", ("0", "1"), truth, scores, threshold)) or 0.0


# ---------------------------------------------------------------- rows


def run(name: str, seed: int, given: argparse.Namespace) -> None:
    """Train and judge one row, unless that is done."""
    folder = given.output / f"{name}-s{seed}"
    if name in ROWS and not (folder / "model").exists():
        _train(ROWS[name], folder, seed, given)
    file = folder / f"{given.sets}.json"
    if file.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if name in UNTRAINED:
        model = new_model(UNTRAINED[name], seed).eval()
    else:
        model = load_model(folder if name in ROWS else given.model[name])
    found = {t: judged(model, given.data / "gue" / t) for t in SETS[given.sets]}
    write_json(file, found)
    logging.info("%s, seed %d: %s", name, seed, pd.DataFrame(found).mean(axis=1).round(3).to_dict())


def _genome(row: Row, given: argparse.Namespace) -> Genome:
    """The human regions, all upper case; with repeats in lower case for a row that needs it."""
    source: Path = given.data / "human_hg38" / "hg38_regions.fa.gz"
    if not row.masked:
        return Genome.open(source)
    masked: Path = given.output / "masked.fa.gz"
    if not masked.exists():
        logging.info("%.1f %% of the bases are repeats", 100 * mask(source, masked))
    return Genome.open(masked)


def _train(row: Row, folder: Path, seed: int, given: argparse.Namespace) -> None:
    genome = _genome(row, given)
    steps, ratio = steps_of(row, genome, given.steps)
    logging.info("%s: %d steps, each of %.3f base steps", folder.name, steps, ratio)
    start = folder.with_suffix(".start")
    new_model(shape_of(row), seed).save(start, overwrite=True)
    result = pretrain(
        genome,
        folder,
        settings_of(row, steps, seed),
        start_from=start,
        overwrite=True,
    )
    shutil.rmtree(start, ignore_errors=True)
    facts = {"factor": row.factor, "steps": steps, "cost_of_a_step": ratio, "seed": seed}
    write_json(folder / "result.json", {**facts, **result.metrics, "verdict": result.verdict})


# ---------------------------------------------------------------- the table

# What a reader needs of each run.
KEPT = (
    "settings.yaml", "command.txt", "environment.json", "metrics.jsonl", "result.json",
    "choose.json", "confirm.json",
)  # fmt: skip
CLOSING = ("mask_loss", "effective_rank", "token_information", "strand_agreement")


def runs_table(folder: Path, sets: str) -> pd.DataFrame:
    """One line a run: its mean scores over the sets, its held-out loss, its health."""
    lines = []
    for file in sorted(folder.glob(f"*/{sets}.json")):
        name, _, seed = file.parent.name.rpartition("-s")
        scores = pd.DataFrame(json.loads(file.read_text())).mean(axis=1)
        told = file.with_name("result.json")
        facts = json.loads(told.read_text()) if told.exists() else {"factor": "not of the study"}
        lines.append(
            {
                "factor": facts["factor"],
                "row": name,
                "seed": int(seed),
                "steps": facts.get("steps", 0),
                "cost_of_a_step": facts.get("cost_of_a_step", np.nan),
                "probe": scores[list(READOUTS)].mean(),
                **{key: scores[key] for key in (*READOUTS, "neighbours")},
                **{key: facts.get(key, np.nan) for key in CLOSING},
                "verdict": facts.get("verdict", ""),
            }
        )
    return pd.DataFrame(lines)


def rows_table(runs: pd.DataFrame, folder: Path, sets: str, against: str) -> pd.DataFrame:
    """One line a row: means over its seeds, and the probe minus that of `against` on the same
    seeds with its 95 % interval.
    """
    grouped = runs.groupby(["factor", "row"])
    numbers = grouped.mean(numeric_only=True).drop(columns="seed")
    numbers.insert(0, "seeds", grouped.size())
    numbers["spread"] = grouped.probe.std()
    numbers = numbers.reset_index().sort_values("probe", ascending=False)
    gains = [gain_over(against, row, folder, sets) for row in numbers.row]
    numbers[["gain", "gain_low", "gain_high", "better", "pairs"]] = gains
    return numbers


def gain_over(
    against: str, row: str, folder: Path, sets: str, figures: Sequence[str] = tuple(READOUTS)
) -> tuple[float | None, ...]:
    """Mean of the figures of `row` minus that of `against` on their common seeds: mean, 95 %
    interval over sets like these (`findna.resampling.mean_over_few`) with seeds resampled (one less
    than there are; Rao and Wu 1988), and on how many of the pairs of seed and set it is better.
    """

    def file(name: str, seed: int) -> Path:
        return folder / f"{name}-s{seed}" / f"{sets}.json"

    def found(name: str, seed: int) -> pd.Series:
        return pd.DataFrame(json.loads(file(name, seed).read_text())).loc[list(figures)].mean()

    seeds = [s for s in range(100) if file(row, s).exists() and file(against, s).exists()]
    if row == against or not seeds:
        return 0.0, np.nan, np.nan, 0, 0
    off = np.array([found(row, seed) - found(against, seed) for seed in seeds])
    random = np.random.default_rng(0)
    by_seed = random.integers(len(off), size=(RESAMPLES, max(1, len(off) - 1)))
    gain, _ = mean_over_few(off.mean(0), off[by_seed].mean(1).T)
    return float(off.mean()), gain.low, gain.high, int((off > 0).sum()), off.size


def draw(runs: pd.DataFrame, against: str, path: Path) -> None:
    """Every run a dot, every row its mean; a line marks the row that others are compared with."""
    means = runs.groupby("row").probe.mean().sort_values()
    level = {row: at for at, row in enumerate(means.index)}
    figure = Figure(figsize=(7, 1 + 0.24 * len(level)), layout="constrained")
    with mpl.rc_context(STYLE):
        axes = figure.add_subplot()
        axes.axvline(means[against], color="#888888", linewidth=1, label=f"mean of {against}")
        looks = zip(cycle(COLOURS), cycle("Ds^vPXph"), runs.groupby("factor"), strict=False)
        for colour, marker, (factor, some) in looks:
            axes.plot(some.probe, some.row.map(level), "o", markersize=4, alpha=0.5, color=colour)
            own = means[means.index.isin(some.row)]
            axes.plot(own, own.index.map(level), marker, markersize=7, color=colour, label=factor)
        axes.set_yticks(list(level.values()), list(level))
        axes.set_ylim(-0.7, len(level) - 0.3)
        axes.set_xlabel("dev MCC of linear probes, mean over five GUE sets and three readouts")
        axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=150)


def tabulate(given: argparse.Namespace) -> None:
    """Write runs.tsv, rows.tsv and the picture, and print the table."""
    place = given.publish or given.output
    place.mkdir(parents=True, exist_ok=True)
    for sets in SETS:
        runs = runs_table(given.output, sets)
        if not len(runs) or given.against not in set(runs.row):
            continue
        rows = rows_table(runs, given.output, sets, given.against)
        runs.to_csv(place / f"{sets}-runs.tsv", sep="\t", index=False, float_format="%.4f")
        rows.to_csv(place / f"{sets}-rows.tsv", sep="\t", index=False, float_format="%.4f")
        draw(runs, given.against, place / f"{sets}.png")
        print(f"{sets}\n{rows.to_string(index=False, float_format='%.3f')}")
    if given.publish:
        for file in sorted(f for name in KEPT for f in given.output.glob(f"*/{name}")):
            kept = place / "runs" / file.parent.name
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, kept / file.name)


def main() -> None:
    """Run rows, or tabulate those that were run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("run", "table", "list"))
    parser.add_argument("row", nargs="*", choices=[*ROWS, *UNTRAINED, []])
    parser.add_argument(
        "--model", type=lambda text: text.split("=", 1), action="append", default=[]
    )
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=300, help="steps of the base")
    parser.add_argument("--sets", choices=SETS, default="choose")
    parser.add_argument("--against", default="masked-only", help="row that others are compared to")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--publish", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.model = dict(given.model)
    torch.set_num_threads(given.threads)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("findna").setLevel(logging.WARNING)
    given.output.mkdir(parents=True, exist_ok=True)
    if given.do == "list":
        print("\n".join(f"{row.factor:12} {name}" for name, row in ROWS.items()))
    elif given.do == "table":
        tabulate(given)
    for name in (*given.row, *given.model) if given.do == "run" else ():
        for seed in given.seed or [0]:
            run(name, seed, given)


if __name__ == "__main__":
    main()
