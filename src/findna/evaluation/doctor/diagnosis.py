"""Pre-flight checks: what to know about data, genome and model before time is spent.

Every finding is one line: ok, warn or stop, what was seen, and what to do about it. "stop" is kept
for what makes a result worthless. Nothing is written and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from findna.data.labelled import LabelledData
from findna.data.labels import read_labelled
from findna.data.splits import groups_of, planned_folds, rows_to_cross
from findna.evaluation.doctor.cost import Cost, cost_of_finetuning
from findna.evaluation.doctor.file_checks import check_bed, check_genome, check_vcf
from findna.evaluation.doctor.finding import Finding, counted, share
from findna.evaluation.doctor.knowledge import Knowledge, knowledge_of
from findna.evaluation.doctor.row_checks import check_rows
from findna.evaluation.leakage.check import LeakageSettings, leakage
from findna.evaluation.leakage.report import (
    CONTAINED,
    IDENTICAL,
    IN_SEEN,
    NEAR,
    OVERLAPPING,
    LeakageReport,
)
from findna.files import BadInput
from findna.model.loading import is_preset, model_or_preset
from findna.model.model import Model
from findna.sequence.genome import Genome
from findna.training.finetune_settings import FinetuneSettings

__all__ = ["Diagnosis", "DoctorSettings", "Finding", "doctor"]


class DoctorSettings(FinetuneSettings, LeakageSettings):
    """What counts as too much; the settings of fine-tuning are those whose cost is measured."""

    stop_leak: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Fraction of test rows also found in training at which a run counts as"
        " worthless.",
    )
    stop_n: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Fraction of rows of nothing but N at which a run counts as worthless.",
    )


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and the leakage report behind some of them."""

    findings: tuple[Finding, ...]
    leakage: LeakageReport | None = None

    @property
    def stops(self) -> bool:
        """Whether something makes a run worthless."""
        return any(finding.level == "stop" for finding in self.findings)

    def text(self) -> str:
        """One screen: a line a finding, and its remedy under it."""
        return "\n".join(line for finding in self.findings for line in finding.lines())

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        report = self.leakage.as_dict() if self.leakage else {}
        return {"findings": [asdict(f) for f in self.findings], "stops": self.stops, **report}


def doctor(
    data: LabelledData | str | Path | None = None,
    *,
    genome: Genome | str | Path | None = None,
    model: Model | str | Path | None = None,
    vcf: str | Path | None = None,
    bed: str | Path | None = None,
    settings: DoctorSettings | Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Look at what is given, and at how the parts fit each other.

    Args:
        data: labelled rows, or a folder or file of them.
        genome: FASTA or opened genome; with a model, the one it was pretrained on.
        model: a model, its folder or run, or the name of a preset.
        vcf: variants, held against the genome.
        bed: intervals, held against the genome.
        settings: limits, and the fine-tuning whose cost is measured.
    """
    settings = DoctorSettings.of(settings)
    genome = Genome.of(genome)
    if data is not None and not isinstance(data, LabelledData):
        data = read_labelled(data, genome=genome, settings=settings)
    loaded = _loaded(model)
    findings: list[Finding] = []
    report = None
    if genome is not None:
        findings += check_genome(genome)
    if bed is not None:
        findings += check_bed(bed, genome)
    if vcf is not None:
        findings += check_vcf(vcf, genome)
    if data is not None:
        pretrained = model if loaded is not None and not is_preset(model) else None
        report = leakage(data, model=pretrained, genome=genome, settings=settings)
        findings += check_rows(data, loaded, settings.stop_n)
        findings += _check_folds(data, settings)
        findings += _check_leaks(data, report, settings)
    if data is not None and loaded is not None:
        findings.append(_judge(knowledge_of(loaded, data.splits["train"].codes), loaded))
        findings.append(_say_cost(cost_of_finetuning(loaded, data, settings)))
    return Diagnosis(tuple(findings), report)


def _loaded(model: Model | str | Path | None) -> Model | None:
    if model is None or isinstance(model, Model):
        return model
    return model_or_preset(model, seed=0)


def _check_folds(data: LabelledData, settings: DoctorSettings) -> Iterator[Finding]:
    """Whether rows can be parted as fine-tuning will, where no test split judges."""
    if "test" in data.splits or not settings.folds:
        return
    rows = rows_to_cross(data)
    try:
        planned_folds(
            data,
            rows,
            groups_of(rows),
            folds=settings.folds,
            repeats=settings.repeated,
            seed=settings.seed,
        )
    except BadInput as error:
        yield Finding("stop", "folds", error.problem, error.remedy or "give a test split")


# ---------------------------------------------------------------- leaks


def _check_leaks(
    data: LabelledData, report: LeakageReport, settings: DoctorSettings
) -> Iterator[Finding]:
    lines = report.as_dict()["leakage"]
    for name, against in (("dev", "train"), ("test", "train"), ("test", "dev")):
        if name in data.splits and against in data.splits:
            found = [row for row in lines if (row["split"], row["against"]) == (name, against)]
            yield _judge_leaks(name, against, found, settings)
    yield from _twins(lines)
    yield from _pretraining(lines, data, settings)


def _judge_leaks(
    name: str, against: str, lines: list[dict[str, Any]], settings: DoctorSettings
) -> Finding:
    """Identical, contained and overlapping rows can stop; near-duplicates are for a person."""
    sure = [row for row in lines if row["check"] in (IDENTICAL, CONTAINED, OVERLAPPING)]
    worst = max((row["rows"] / max(row["of"], 1) for row in sure), default=0.0)
    said = ", ".join(
        f"{row['rows']:,} {row['check']}{_with(row['note'])}"
        for row in lines
        if row["check"] in (IDENTICAL, NEAR, CONTAINED, OVERLAPPING)
    )
    what = f"of {lines[0]['of'] if lines else 0:,} {name} rows in {against}: {said}"
    remedy = "findna evaluate --drop removes them from train"
    if against == "dev":
        remedy = "remove them from dev, whose rows choose the model"
    if worst >= settings.stop_leak:
        return Finding("stop", "leakage", what, remedy)
    if any(row["rows"] for row in lines):
        return Finding("warn", "leakage", what, remedy)
    return Finding("ok", "leakage", what)


def _with(note: str) -> str:
    told = "label" in note or "identical" in note or note.startswith("not checked")
    return f" ({note})" if told else ""


def _twins(lines: list[dict[str, Any]]) -> Iterator[Finding]:
    """Identical rows within each split."""
    for row in lines:
        if row["check"] == IDENTICAL and row["split"] == row["against"] and row["rows"]:
            stand = share(row["rows"], row["of"], f"{row['split']} rows", "stands", "stand")
            said = f"{stand} more than once{_with(row['note'])}"
            yield Finding(
                "warn", "duplicates", said, "remove all but one, and all whose labels disagree"
            )


def _pretraining(
    lines: list[dict[str, Any]], data: LabelledData, settings: DoctorSettings
) -> Iterator[Finding]:
    """Rows that judge: of a test split, or all of them in turn."""
    judges = ("test",) if "test" in data.splits else ("train", "dev") if settings.folds else ()
    for row in lines:
        if row["check"] != IN_SEEN or row["split"] not in (*judges, "all"):
            continue
        if row["rows"] is None:
            said = " and ".join(name for name in judges if name in data.splits) or "any"
            yield Finding("warn", "pretraining", f"{said} rows in pretraining: {row['note']}")
        else:
            lie = share(row["rows"], row["of"], f"{row['split']} rows", "lies", "lie")
            said = f"{lie} in the DNA seen in pretraining ({row['note']})"
            remedy = (
                "pretrain with --exclude, or report it with the result" if row["rows"] else None
            )
            yield Finding("warn" if row["rows"] else "ok", "pretraining", said, remedy)


# ---------------------------------------------------------------- the model


def _judge(found: Knowledge | None, model: Model) -> Finding:
    """Whether the model restores hidden bases of the rows better than letters, or short words."""
    if found is None:
        return Finding("warn", "model", "not checked: fewer than 1,000 bases of known sequence")
    said = (
        f"loss at hidden bases of the rows {found.loss:.3f} nats [{found.low:.3f},"
        f" {found.high:.3f}]; from base frequencies {found.letters:.3f}, from both neighbours"
        f" {found.neighbours:.3f}"
    )
    pretrain = "findna pretrain --from MODEL GENOME.fa first, on DNA of this species"
    if not model.pretraining.get("steps"):
        return Finding(
            "warn", "model", f"random weights: {said}", "findna pretrain GENOME.fa first"
        )
    if found.low >= found.letters:
        return Finding("stop", "model", f"does not know this DNA: {said}", pretrain)
    if found.high >= found.neighbours:
        return Finding("warn", "model", f"knows little of this DNA: {said}", pretrain)
    return Finding("ok", "model", f"knows this DNA: {said}")


def _say_cost(cost: Cost) -> Finding:
    runs = counted(cost.runs, "training run") if cost.runs else ""
    searches = counted(cost.searches, "probe search", "probe searches") if cost.searches else ""
    made = ", ".join(part for part in (runs, searches) if part)
    said = (
        f"fine-tuning takes about {_duration(cost.seconds)} ({made}) on {cost.device} and"
        f" {cost.mebibytes:,.0f} MiB, measured on {cost.batches} batches"
    )
    if cost.cut:
        said += f"; rows longer than {cost.cut:,} bp are read whole and need more memory"
    return Finding("ok", "cost", said)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
