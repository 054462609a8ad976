"""Every table of an evaluation, made anew from the runs in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from findna.evaluation.contenders.networks import Start
from findna.evaluation.markdown import to_markdown
from findna.evaluation.results import read_runs, tidy
from findna.evaluation.settings import EvaluateSettings
from findna.evaluation.suites.registry import published_for, suites
from findna.evaluation.summary import summary
from findna.files import write_text
from findna.training.judgement import write_table

_STRONGEST = ("finetune", "linear", "knn")


@dataclass(frozen=True)
class EvaluateResult:
    """The folder, its tables, and the runs that could not be made, each with its reason.

    `left` runs were not begun within the budget. `table` has a row a task and contender, `results`
    a row a task, contender, seed and metric, `published` a row a published figure of these tasks.
    """

    folder: Path
    table: pd.DataFrame
    results: pd.DataFrame
    published: pd.DataFrame
    failed: tuple[str, ...]
    left: int


def tabulate(
    folder: Path,
    settings: EvaluateSettings,
    begun: Sequence[Start],
    failed: Sequence[str],
    left: int,
) -> EvaluateResult:
    """Every table, made anew from the runs in the folder."""
    runs = read_runs(folder)
    if not runs:  # the budget ended before the first
        nothing = pd.DataFrame()
        return EvaluateResult(folder, nothing, nothing, nothing, tuple(failed), left)
    names = {run.record.contender for run in runs}
    reference = _reference(settings, begun, names)
    found = summary(runs, reference, resamples=settings.resamples)
    published, others = _published({run.record.task: run.record.rows for run in runs})
    results = tidy(runs)
    for name, table in (
        ("results", results),
        ("table", found.table),
        ("across", found.across),
        ("published", published),
    ):
        write_table(table, folder / f"{name}.tsv")
    told = [*_told_of_missing(left, reference, settings, begun), *others]
    text = to_markdown(found, published, told)
    for title, lines in (("Models", map(_told, begun)), ("Not run", failed)):
        if listed := "\n".join(f"* {line}" for line in lines):
            text += f"\n## {title}\n\n{listed}\n"
    write_text(folder / "table.md", text)
    return EvaluateResult(folder, found.table, results, published, tuple(failed), left)


def _told(start: Start) -> str:
    """What a start is and what its pretraining saw, in a line."""
    if not start.models:
        return f"{start.name}: weights drawn from the seed of each run"
    seen = start.models[0].provenance
    facts = [f"{len(start.models)} pretraining seeds"] if start.pretraining_seeds else []
    facts += [
        f"{name} {seen[key]}"
        for name, key in (
            ("pretrained on", "genome"),
            ("held out:", "held_out"),
            ("steps", "steps"),
            ("held-out masked loss", "mask_loss"),
        )
        if key in seen
    ]
    parameters = f"{start.models[0].parameters_count:,} parameters"
    return f"{start.name}: {', '.join([parameters, *facts])}"


def _reference(settings: EvaluateSettings, begun: Sequence[Start], names: set[str]) -> str:
    """The contender that was named, or the first model in the strongest mode that ran; as long as
    runs are left, or if all of it failed, whoever is there.
    """
    if settings.reference in names:
        return settings.reference
    wanted = _preferred(begun, _STRONGEST)
    return next((name for name in (*wanted, "kmer") if name in names), min(names))


def _told_of_missing(
    left: int, reference: str, settings: EvaluateSettings, begun: Sequence[Start]
) -> list[str]:
    """What an evaluation that is not finished compares, and what it will; once it is, only what
    became of a reference without a run.
    """
    if not left:
        lost = settings.reference not in (None, reference)
        return [f"**No run of {settings.reference}**: differences are to {reference}."] * lost
    awaited = settings.reference or next(iter(_preferred(begun, settings.modes)), "kmer")
    runs = "run is" if left == 1 else "runs are"
    text = f"**Not finished**: {left:,} {runs} left; the same command continues with them."
    if awaited != reference:
        text += (
            f" The column minus {reference} is provisional: differences will be to {awaited},"
            " which has not run yet."
        )
    return [text]


def _preferred(begun: Sequence[Start], modes: Sequence[str]) -> list[str]:
    """Models before random weights, each in the stronger mode first."""
    starts = [*(s for s in begun if s.models), *begun]
    return [f"{mode}-{s.name}" for s in starts for mode in _STRONGEST if mode in modes]


def _published(test_rows: Mapping[str, int]) -> tuple[pd.DataFrame, list[str]]:
    """Published figures of the tasks that the registry knows, and a sentence for each task that has
    other test rows than the official ones: figures are not put beside those.
    """
    known = {task.name: task for suite in suites() for task in suite.tasks}
    official = {name: task.rows.get("test") for name, task in known.items()}
    others = {
        name: f"**No published figures** for {name}: they refer to {official[name]:,} official"
        f" test rows, and here there are {count:,}."
        for name, count in sorted(test_rows.items())
        if official.get(name) not in (None, count) and published_for(known[name])
    }
    columns = ["task", "model", "parameters", "metric", "value", "protocol", "source", "note"]
    rows = [
        {column: getattr(figure, column) for column in columns}
        | {"protocol": f"{figure.protocol}: {figure.protocol_meaning}"}
        for name in sorted(test_rows.keys() & known.keys() - others.keys())
        for figure in published_for(known[name])
    ]
    return pd.DataFrame(rows, columns=columns), list(others.values())
