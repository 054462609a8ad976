"""Few labels: fine-tuning as it is by default, against what is cheaper, over many draws.

    python benchmarks/small_data.py [-m findna-human-tiny] [--task mouse/2] [--draws 20]
        [--rows 100] [--contender probe] [--judge dev] [--budget 9m] [--jobs 2] [--threads 1]
        [--publish docs/results/small-data]

A draw is so many training rows of a GUE set, classes in their shares. What a contender chooses it
chooses on these rows: `finetune` (its default, `--train auto`) and `full` (`--train full`) as
`training.learning` says; the frozen probe, k-mer regression and composition on a fifth of the rows
(a tenth from 1,000 on), whole near-duplicate clusters, the same for all three. The official test
rows are read once for each draw, and nothing is chosen on them; the official dev rows are never
read, unless they judge instead (`--judge dev`), which is how a default is looked for.

One line of JSON a run in OUTPUT/runs.jsonl; the same command goes on where it was stopped, and
`--tabulate` makes the tables of what is there. Intervals of a set are percentiles of 2,000
resamples of its draws; those of means over sets are about sets like these
(`findna.resampling.mean_over_few`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import yaml
from gue import COMPLETE, copy_files, prepare
from numpy.typing import NDArray

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.data.splits import groups_of, parted
from findna.evaluation.contenders.composition import CompositionContender
from findna.evaluation.contenders.lineup import starts
from findna.evaluation.contenders.probes import LinearProbe, NetworkFeatures
from findna.evaluation.contenders.words import KmerContender
from findna.evaluation.preparation import drawn_rows
from findna.evaluation.protocol import Contender
from findna.files import atomic_file, log
from findna.inference.answers import scores_of
from findna.inference.precision import resolve_precision
from findna.metrics import Answers, value
from findna.model.loading import load_model
from findna.report.comparison import draw_comparison
from findna.resampling import mean_over_few, percentile_interval
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import logits_of
from findna.training.learning import FEW_ROWS, Learner
from findna.training.recipes import seconds
from findna.training.tasks import task_of

SIZES = (100, 500, 2000)
OURS = {"finetune": "auto", "full": "full"}
CONTENDERS = (*OURS, "probe", "kmer", "composition")
AGAINST = ("kmer", "probe", "full", "composition")
RESAMPLES = 2000
FEW_FRACTION, FRACTION = 0.2, 0.1
PUBLISHED = (
    "table.md", "table.tsv", "across.tsv", "runs.jsonl", "comparison.png", "sets.png",
    "settings.yaml", "command.txt", "log.txt",
)  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """One draw of a set, and the contenders that are still missing."""

    task: str
    rows: int
    draw: int
    wanted: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where data and model are, and how a run computes."""

    data: Path
    model: str
    threads: int
    precision: Literal["fp32", "bf16"]
    judge: Literal["test", "dev"]
    tests: int | None


# ---------------------------------------------------------------- one draw


@lru_cache(maxsize=2)
def read(folder: Path) -> LabelledData:
    """A set; a process reads it once."""
    return read_labelled(folder)


def runs_of(unit: Unit, place: Place) -> list[dict[str, Any]]:
    """The missing runs of one draw, a row each."""
    torch.set_num_threads(place.threads)
    data = read(place.data / "gue" / unit.task)
    train, test = data.splits["train"], data.splits[place.judge]
    drawn = train.where(drawn_rows(train, data.kind, unit.rows, 1 + unit.draw))
    if place.tests and len(test) > place.tests:
        test = test.where(drawn_rows(test, data.kind, place.tests))
    few = replace(data, splits={"train": drawn})
    return [run_of(unit, name, few, test, place) for name in unit.wanted]


def run_of(
    unit: Unit, name: str, few: LabelledData, test: LabelledSplit, place: Place
) -> dict[str, Any]:
    """One contender on one draw; seconds are those of one processor, test rows included."""
    began = time.process_time()
    ours = name in OURS
    scores, threshold, chosen = (
        by_learner(few, test, OURS[name], unit.draw, place)
        if ours
        else by_contender(few, test, name, unit.draw, place)
    )
    answers = Answers(few.kind, few.classes, test.labels, scores, threshold)
    return {
        "task": unit.task,
        "rows": unit.rows,
        "draw": unit.draw,
        "contender": name,
        "mcc": value("mcc", answers),
        "auroc": value("auroc", answers),
        "classes_answered": len(np.unique(answers.predicted)),
        "judged_by": place.judge,
        "test_rows": len(test),
        "chosen": chosen,
        "seconds": round(time.process_time() - began, 2),
    }


def by_learner(
    few: LabelledData, test: LabelledSplit, train: str, draw: int, place: Place
) -> tuple[Floats, float, Mapping[str, Any]]:
    """Scores, threshold and choice of what `findna finetune` learns from these rows."""
    settings = FinetuneSettings.parse(
        {"train": train, "seed": draw, "precision": place.precision}, source="the benchmark"
    )
    learner = Learner(
        load_model(place.model), few, settings, device=torch.device("cpu"),
        precision=place.precision, note=lambda *_, **__: None,
    )  # fmt: skip
    rows = few.splits["train"]
    learned = learner.learn(rows, groups_of(rows))
    task = task_of(learned.model)
    scores = scores_of(logits_of(learned.model, test, learned.precision), task)
    return scores, task.threshold, learned.choice.as_dict()


def by_contender(
    few: LabelledData, test: LabelledSplit, name: str, draw: int, place: Place
) -> tuple[Floats, float, Mapping[str, Any]]:
    """Scores, threshold and choice of a contender of `findna evaluate`."""
    rows = few.splits["train"]
    fraction = FEW_FRACTION if len(rows) < FEW_ROWS else FRACTION
    learn, choose = parted(rows, groups_of(rows), few.kind, fraction=fraction, seed=draw)
    seen = replace(few, splits={"train": learn, "dev": choose})
    learned = contender(name, place).learn(seen, draw)
    return learned.scores(test), learned.threshold, learned.chosen


def contender(name: str, place: Place) -> Contender:
    """A contender by its name here."""
    if name == "probe":
        (start,) = (one for one in starts([place.model]) if one.models)
        return LinearProbe(NetworkFeatures(start, torch.device("cpu"), precision="fp32"))
    return KmerContender() if name == "kmer" else CompositionContender()


# ---------------------------------------------------------------- all draws


def drop_cut_line(file: Path) -> None:
    """Take away what a killed process left of its last line: the next run would stand behind it."""
    if file.is_file():
        with file.open("rb+") as lines:
            lines.truncate(lines.read().rfind(b"\n") + 1)


def found_in(file: Path) -> list[dict[str, Any]]:
    """Runs that were made; a last line that was cut is made again."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            log.warning("%s: a line was cut: its run is made again", file)
    return rows


def missing(
    done: list[dict[str, Any]],
    contenders: Sequence[str],
    tasks: list[str],
    sizes: list[int],
    draws: int,
    data: Path,
) -> Iterator[Unit]:
    """Draws with missing contenders: every set once, then every set again."""
    made = {(r["task"], r["rows"], r["draw"], r["contender"]) for r in done}
    many = {task: len(read_labelled(data / "gue" / task).splits["train"]) for task in tasks}
    for size in sizes:
        for task in [task for task in tasks if many[task] < size]:
            log.info("%s has %s training rows: no draw of %s", task, f"{many[task]:,}", f"{size:,}")
    for draw in range(draws):
        for size in sizes:
            for task in [task for task in tasks if many[task] >= size]:
                wanted = [c for c in contenders if (task, size, draw, c) not in made]
                if wanted:
                    yield Unit(task, size, draw, tuple(wanted))


def refuse_other(file: Path, settings: Mapping[str, Any]) -> None:
    """Runs of another model, precision or judge must not be averaged with these."""
    before = yaml.safe_load(file.read_text()) if file.is_file() else settings
    changed = [k for k in ("model", "precision", "judge", "test_rows") if before[k] != settings[k]]
    if changed:
        raise SystemExit(f"{file} says another {' and '.join(changed)}: name another -o")


def work(units: list[Unit], place: Place, file: Path, jobs: int, budget: float) -> None:
    """Make the runs of units, in order, until the budget is spent; each is written when made."""
    deadline = time.monotonic() + budget
    waiting = iter(units)
    # Forking a process that has threads of torch may hang.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, fresh) as pool, file.open("a", encoding="utf-8") as out:
        running: set[Future[list[dict[str, Any]]]] = set()
        while True:
            while len(running) < jobs and time.monotonic() < deadline:
                unit = next(waiting, None)
                if unit is None:
                    break
                running.add(pool.submit(runs_of, unit, place))
            if not running:
                return
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for one in ready:
                for row in one.result():
                    out.write(json.dumps(row) + "\n")
                    log.info(
                        "%s, %d rows, draw %d: %s mcc %.3f in %.1f s",
                        *(row[k] for k in ("task", "rows", "draw", "contender", "mcc", "seconds")),
                    )
                out.flush()


# ---------------------------------------------------------------- tables


def present(runs: pd.DataFrame) -> list[str]:
    """The contenders that were run."""
    return [name for name in CONTENDERS if name in set(runs["contender"])]


def scores(runs: pd.DataFrame, size: int) -> dict[str, dict[str, Floats]]:
    """MCC (draws,) of each contender in each set, for draws that every contender has."""
    some = runs[runs["rows"] == size]
    contenders = present(some)
    found = {}
    for task, rows in some.groupby("task", sort=False):
        wide = rows.pivot(index="draw", columns="contender", values="mcc").dropna()
        if len(wide) and set(contenders) <= set(wide.columns):
            found[str(task)] = {c: wide[c].to_numpy(float) for c in contenders}
    return found


def described(by_task: list[Floats]) -> dict[str, Any]:
    """Mean over sets and its interval: of one set about other draws of it, of several about sets
    like these.
    """
    random = np.random.default_rng(0)
    drawn = np.stack(
        [v[random.integers(0, len(v), (RESAMPLES, len(v)))].mean(axis=1) for v in by_task]
    )
    means = np.array([v.mean() for v in by_task])
    if len(means) == 1:
        found = percentile_interval(float(means[0]), drawn[0], "")
    else:
        found, _ = mean_over_few(means, drawn)
    return {"mean": found.value, "low": found.low, "high": found.high}


def tabulate(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means by set, and means and paired differences over sets, each with its interval."""
    each: list[dict[str, Any]] = []
    across: list[dict[str, Any]] = []
    for size in sorted(runs["rows"].unique()):
        found = scores(runs, size)
        for task, by in found.items():
            for name, mcc in by.items():
                here = {"rows": size, "task": task, "contender": name, "draws": len(mcc)}
                each.append({**here, **described([mcc])})
        if not found:
            continue
        contenders = present(runs[runs["rows"] == size])
        for name in contenders:
            answered = runs[(runs["rows"] == size) & (runs["contender"] == name)]
            across.append(
                {
                    "rows": size,
                    "contender": name,
                    "sets": len(found),
                    "runs": len(answered),
                    **described([by[name] for by in found.values()]),
                    **{
                        f"{column}_minus_{other}": number
                        for other in AGAINST
                        if other in contenders and other != name
                        for column, number in described(
                            [by[name] - by[other] for by in found.values()]
                        ).items()
                    },
                    "one_class": int((answered["classes_answered"] < 2).sum()),
                    "seconds_median": float(answered["seconds"].median()),
                    "seconds_most": float(answered["seconds"].max()),
                }
            )
    return pd.DataFrame(each), pd.DataFrame(across)


def markdown(each: pd.DataFrame, across: pd.DataFrame, runs: pd.DataFrame) -> str:
    """The tables for a reader."""
    judge = str(runs["judged_by"].iloc[0]).capitalize()
    lines = [
        f"{judge} MCC with 95 % intervals: of a set by 2,000 resamples of its draws, over sets by"
        " Student's t for so few. Differences are paired by draw. Seconds are of one processor, the"
        " rows that judge included.",
        "",
    ]
    for size in sorted(across["rows"].unique()):
        rows = across[across["rows"] == size]
        lines += [f"## {size:,} training rows, mean over {rows['sets'].iloc[0]} sets", ""]
        lines += [
            "| contender | runs | MCC | minus kmer | minus probe | runs that answer one class |"
            " seconds, median (most) |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [across_line(row) for row in rows.to_dict("records")]
        lines += [
            "",
            f"| set | draws | {' | '.join(rows['contender'])} |",
            "|---" * (2 + len(rows)) + "|",
        ]
        lines += [
            set_line(str(task), some)
            for task, some in each[each["rows"] == size].groupby("task", sort=False)
        ]
        lines += ["", f"`finetune` chose: {votes(runs, size)}.", ""]
    return "\n".join(lines)


def across_line(row: Mapping[Any, Any]) -> str:
    """One contender over all sets."""
    gaps = [
        "–" if row["contender"] == other else shown(row, f"_minus_{other}", "+")
        for other in ("kmer", "probe")
    ]
    took = f"{row['seconds_median']:.1f} ({row['seconds_most']:.1f})"
    cells = [row["contender"], row["runs"], shown(row, "", ""), *gaps, row["one_class"], took]
    return f"| {' | '.join(map(str, cells))} |"


def shown(row: Mapping[Any, Any], ending: str, sign: str) -> str:
    """A mean with its interval."""
    mean, low, high = (row.get(f"{name}{ending}", np.nan) for name in ("mean", "low", "high"))
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def set_line(task: str, rows: pd.DataFrame) -> str:
    """One set: the mean over draws of each contender."""
    cells = [shown(row, "", "") for row in rows.to_dict("records")]
    return f"| {task} | {rows['draws'].iloc[0]} | {' | '.join(cells)} |"


def votes(runs: pd.DataFrame, size: int) -> str:
    """What the default chose to train, and how often."""
    some = runs[(runs["rows"] == size) & (runs["contender"] == "finetune")]
    counts = some["chosen"].map(lambda chosen: chosen["train"]).value_counts()
    return ", ".join(f"{name} {many} times" for name, many in counts.items())


def write_tables(folder: Path) -> None:
    """Tables and pictures of the runs that are there."""
    runs = pd.DataFrame(found_in(folder / "runs.jsonl"))
    each, across = tabulate(runs) if len(runs) else (runs, runs)
    if not len(across):
        log.info("no draw is complete yet: there is nothing to tabulate")
        return
    for name, table in (("table.tsv", each), ("across.tsv", across)):
        with atomic_file(folder / name, overwrite=True) as made:
            table.to_csv(made, sep="\t", index=False, float_format="%.6g")
    (folder / "table.md").write_text(markdown(each, across, runs), encoding="utf-8")
    for name, table in (("comparison.png", across), ("sets.png", each)):
        several = "sets, " if name == "comparison.png" else ""
        drawn = table.assign(metric="mcc", task=labels(table, several))
        over = "sets and draws" if several else "draws"
        values = f"on {runs['judged_by'].iloc[0]} rows (mean over {over}, 95 % interval)"
        draw_comparison(drawn, None, folder / name, values)


def labels(table: pd.DataFrame, several: str) -> pd.Series[str]:
    """A row of the picture: a set or all of them, and its training rows."""
    rows = table["rows"].map("{:,} rows".format)
    if several:
        return "mean of " + table["sets"].astype(str) + " " + several + rows
    return table["task"] + ", " + rows


def main() -> None:
    """Make what is missing, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default="findna-human-tiny")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/small-data"))
    parser.add_argument("--task", action="append", help="some of the sets only")
    parser.add_argument("--rows", action="append", type=int, help=f"instead of {SIZES}")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="some only")
    parser.add_argument("--judge", choices=("test", "dev"), default="test")
    parser.add_argument("--test-rows", type=int, help="at most; for a quick look, not for a result")
    parser.add_argument("--budget", help="start no run after this time, such as 9m")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads a process")
    parser.add_argument("--precision", default="auto", help="fp32, bf16 or auto")
    parser.add_argument("--tabulate", action="store_true", help="make the tables only")
    parser.add_argument("--publish", type=Path)
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    prepare(out / "log.txt", given.threads)

    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
    # Once for all: each process might find another one faster.
    precision = resolve_precision(given.precision, torch.device("cpu"))
    settings["precision"] = precision
    place = Place(given.data, given.model, given.threads, precision, given.judge, given.test_rows)
    if not given.tabulate:
        refuse_other(out / "settings.yaml", settings)
        (out / "settings.yaml").write_text(yaml.safe_dump(settings))
        tasks, sizes = given.task or list(COMPLETE), given.rows or list(SIZES)
        drop_cut_line(out / "runs.jsonl")
        done = found_in(out / "runs.jsonl")
        contenders = given.contender or CONTENDERS
        units = list(missing(done, contenders, tasks, sizes, given.draws, given.data))
        budget = seconds(given.budget) if given.budget else float("inf")
        work(units, place, out / "runs.jsonl", given.jobs, budget)
        with (out / "command.txt").open("a", encoding="utf-8") as commands:
            commands.write(f"python {shlex.join(sys.argv)}\n")
    write_tables(out)
    if given.publish:
        copy_files(PUBLISHED, out, given.publish)


if __name__ == "__main__":
    main()
