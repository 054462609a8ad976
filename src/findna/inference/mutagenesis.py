"""In-silico saturation mutagenesis: the contribution of every base of a sequence to a prediction.

For a fine-tuned model, the effect of a substitution is the change of a logit, with gradient × input
besides; for a pretrained model, it is the log-probability of each base minus that of the base
present. Effects are only as good as their reproducibility: those of the two strands, and of models
that differ in their seed only, are correlated, and below `AGREEMENT` should not be interpreted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from findna.files import atomic_folder, log
from findna.inference.attribution.effects import Attribution
from findna.inference.attribution.files import (
    EFFECTS,
    FACTS,
    base_table,
    no_bases,
    write_arrays,
    write_effect_track,
    write_effects,
    write_facts,
)
from findna.inference.attribution.panel import AnyModel, Panel, named_models
from findna.inference.progress import RecordProgress
from findna.inference.rows import LengthWarning
from findna.sequence.alphabet import Strand, refuse_unknown_strand
from findna.sequence.genome import Genome
from findna.sequence.inputs import Inputs, records_from
from findna.sequence.records import Record

# The correlation of two replicates is the share of signal in either: below one half there is more
# noise than signal.
AGREEMENT = 0.5
STABLE = "stable"
UNSTABLE = "unstable, do not read motifs from this"
UNMEASURED = "agreement not measured, do not read motifs until a second model agrees"


@dataclass(frozen=True)
class MutagenesisResult:
    """Agreement by record and, if no output was given, the effects.

    `agreement` has one row per record: record (from 1), id, length, strands, models (Pearson r, NaN
    if not measured) and verdict.
    """

    records: int
    output: Path | None
    unit: str
    agreement: pd.DataFrame
    attributions: list[Attribution] | None

    @property
    def effects(self) -> pd.DataFrame:
        """One row per base of every record, the columns of `effects.parquet`, read from there if it
        was written.
        """
        if self.output is not None:
            return pd.read_parquet(self.output / EFFECTS)
        tables = [base_table(one, number) for number, one in enumerate(self.attributions or (), 1)]
        return pd.concat(tables, ignore_index=True) if tables else no_bases()


def mutagenesis(
    inputs: Inputs,
    model: AnyModel | Sequence[AnyModel] | None = None,
    output: str | Path | None = None,
    *,
    genome: Genome | str | Path | None = None,
    target: str | None = None,
    strand: Strand | None = None,
    window: int | None = None,
    sets: int | None = None,
    batch_bases: int | None = None,
    device: str = "auto",
    sequence_column: str | None = None,
    id_column: str | None = None,
    overwrite: bool = False,
) -> MutagenesisResult:
    """The effect of every single-base substitution of every sequence, with its agreement.

    Args:
        inputs: FASTA, FASTQ, table or BED file, "-" for standard input, a region or regions
            (`chr7:1,001-2,000`, 1-based closed), a data frame, records, or a list of sequences as
            text.
        model: one model, its folder or run, or several that differ in their seed; None is the one
            that comes with findna. Effects of several are averaged and their agreement measured.
        output: a folder; None to get everything back.
        genome: FASTA or opened genome for BED and regions; a pretrained model also reads the
            context of a region from it.
        target: class or regression target; required if a model has several outputs.
        strand: "both" averages the two strands, "forward" reads the given one; None uses the
            setting of a fine-tuned task, and averages for a pretrained model.
        window: bases a pretrained model reads at once; None is the longest it was trained on.
        sets: a pretrained model hides every `sets`-th base at once; None hides one at a time.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        device: auto, cpu, cuda or mps.
        sequence_column: column of the sequences in a table; guessed if None.
        id_column: column of the names in a table; guessed if None.
        overwrite: replace an existing output.

    Raises:
        BadInput: an unreadable record, a region without genome, models that differ in task or
            genome or are the same, an output that exists.
        ValueError: an unknown strand.
    """
    refuse_unknown_strand(strand)
    genome = Genome.of(genome)
    panel = Panel.of(named_models(model), target, strand, window, sets, batch_bases, device)
    records = records_from(inputs, genome, sequence_column, id_column)
    answers = _answers(records, panel, genome)
    if output is None:
        found = list(answers)
        table = _agreement_table([(a.record.id, len(a.codes), a.strands, a.models) for a in found])
        _tell(table)
        return MutagenesisResult(len(found), None, panel.unit, table, found)
    with atomic_folder(output, overwrite, known_by=FACTS) as folder:
        table = _agreement_table(write_effects(folder, answers))
        write_arrays(folder, table["length"].tolist(), gradient=panel.target is not None)
        write_effect_track(folder, genome)
        write_facts(folder, table, {**panel.facts(genome), **_tell(table)})
    return MutagenesisResult(len(table), Path(output), panel.unit, table, None)


# ---------------------------------------------------------------- answers and agreement


def _answers(
    records: Iterable[Record], panel: Panel, genome: Genome | None
) -> Iterator[Attribution]:
    # Seeds were trained on the same lengths: one warning for all.
    warners = {model.trained_lengths: LengthWarning(model) for model in panel.models}.values()
    with RecordProgress("mutagenesis") as progress:
        for record in records:
            for warner in warners:
                warner.look_at(np.array([panel.bases_read(record, genome)]))
            yield panel.answer(record, genome, lambda bases: progress.advance(0, bases))
            progress.advance(1, 0)


def _agreement_table(found: Sequence[tuple[str, int, float, float]]) -> pd.DataFrame:
    """One row per record: id, length, agreement of strands and of models, verdict."""
    table = pd.DataFrame(found, columns=["id", "length", "strands", "models"])
    table.insert(0, "record", np.arange(1, len(table) + 1))
    rows = zip(table["strands"], table["models"], strict=True)
    table["verdict"] = [_verdict(*measured) for measured in rows]
    return table


def _verdict(*measured: float) -> str:
    known = [r for r in measured if not np.isnan(r)]
    if not known:
        return UNMEASURED
    return UNSTABLE if min(known) < AGREEMENT else STABLE


def _tell(table: pd.DataFrame) -> dict[str, Any]:
    """Log how well strands and models agree, and the verdict; returns them for the folder."""
    if not len(table):
        log.warning("the input holds no sequences: nothing was mutated")
    middle = {kind: float(table[kind].median()) for kind in ("strands", "models")}
    for kind, r in middle.items():
        if not np.isnan(r):
            log.info("agreement of %s: r = %.3f (median; records: %s)", kind, r, f"{len(table):,}")
    verdict, weak = _verdict(*middle.values()), int((table["verdict"] == UNSTABLE).sum())
    if verdict != STABLE and len(table):
        log.warning("%s", verdict)
    if weak:
        log.warning("%d of %d records: r below %g, %s", weak, len(table), AGREEMENT, UNSTABLE)
    return {
        "records": len(table),
        "agreement": {k: None if np.isnan(r) else r for k, r in middle.items()},
        "agreement_wanted": AGREEMENT,
        "unstable_records": weak,
        "verdict": verdict,
    }
