"""Predictions of a fine-tuned model for any number of sequences: one row in, one row out, in order.

Records stream through in chunks of bounded size; within a chunk they are batched by length.
Columns: `id`, then `chrom, start, end, strand` if the input has coordinates (0-based half-open),
`length`, `frac_n`, `prediction`, and `p_<class>` for every class. A multilabel prediction joins its
labels with `;`; a regression of several targets has one `prediction_<target>` each.

Predictions for windows of a genome can also be written as a track: ln(p / (1 - p)) of a class minus
that of its prevalence in training, so that 0 means "as likely as there", or the probability itself
if a prevalence is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from findna.files import STDIN, log
from findna.inference.answers import (
    Floats,
    answer_columns,
    decisions,
    require_task,
    scores_of,
    task_outputs,
)
from findna.inference.calibration import (
    Prevalence,
    at_prevalence,
    relative_log_odds,
    require_prevalence,
)
from findna.inference.devices import pick_device, usual_batch_bases
from findna.inference.progress import RecordProgress
from findna.inference.rows import LengthWarning, alike, chunks, described
from findna.inference.tiles import usual_window
from findna.inference.windowed import Tiling, cut_from, pieces, placed_in, track_sizes
from findna.inference.writing import (
    held,
    is_track,
    refuse_table,
    track_files,
    write_tables,
    write_tracks,
)
from findna.model.heads import TaskConfig
from findna.model.loading import load_model
from findna.model.model import Model
from findna.sequence.alphabet import Strand, refuse_unknown_strand
from findna.sequence.genome import Genome
from findna.sequence.inputs import Inputs, records_from
from findna.sequence.records import Record

_CHUNK_BATCHES = 32


@dataclass(frozen=True)
class PredictResult:
    """Predictions: number of `rows`, and the files; without an output, the `table` itself."""

    rows: int
    outputs: tuple[Path, ...]
    _table: pd.DataFrame | None

    @property
    def table(self) -> pd.DataFrame:
        """The predictions, one row per sequence; `ValueError` if an output was given."""
        return held(self._table, "the answers")


def predict(
    inputs: Inputs,
    model: Model | str | Path,
    output: str | Path | None = None,
    *,
    genome: Genome | str | Path | None = None,
    tile: Tiling | None = None,
    prevalence: Prevalence | None = None,
    strand: Strand | None = None,
    batch_bases: int | None = None,
    device: str = "auto",
    sequence_column: str | None = None,
    id_column: str | None = None,
    overwrite: bool = False,
) -> PredictResult:
    """Predict for every sequence of a FASTA, FASTQ, CSV, TSV, parquet or BED file ("-" is standard
    input), or every window of a genome.

    Args:
        inputs: file, "-", a region or regions of `genome` (`chr7:1,001-2,000`, 1-based closed), a
            data frame, records, or a list of sequences as text.
        model: a fine-tuned model, its folder, or the folder of its run. One in memory is moved to
            `device` and set to evaluation mode.
        output: `.tsv`, `.csv` (either may end in `.gz`) or `.parquet`; `.bw` or `.bedgraph` (or
            `.bedgraph.gz`) for a track, one per class if there are more than two; "-" for a TSV on
            standard output; None to get the table back.
        genome: FASTA or opened genome for BED and regions.
        tile: window size, or window size and step, in bases: `inputs`, a FASTA or the regions of a
            BED, is cut into windows.
        prevalence: share of the second class, or shares by class, that the probabilities are
            adjusted to; None keeps that of the training rows.
        strand: None uses the setting of the fine-tuned task.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        device: auto, cpu, cuda or mps.
        sequence_column: column of the sequences in a table; guessed if None.
        id_column: column of the names in a table; guessed if None.
        overwrite: replace an existing output.

    Raises:
        BadInput: the model has no task, an unreadable record (with its line), an output that
            exists, a track of sequences without coordinates.
        ValueError: an unknown strand.
    """
    refuse_unknown_strand(strand)
    track = output is not None and str(output) != STDIN and is_track(output)
    if output is not None and not track:
        refuse_table(output, overwrite)
    where = model if isinstance(model, str | Path) else None
    model = load_model(model) if isinstance(model, str | Path) else model
    task = require_task(model, where)
    if prevalence is not None:
        task = at_prevalence(task, prevalence)
    genome = Genome.of(genome)
    if tile is not None:
        genome, records = cut_from(inputs, genome, tile)
    elif track:
        genome, records = placed_in(inputs, genome, usual_window(model))
    else:
        records = records_from(inputs, genome, sequence_column, id_column)
    model = model.to(pick_device(device)).eval()
    # With --tile, the user has chosen the length of windows.
    advice = "" if tile else f"; --tile {usual_window(model)} cuts a genome into windows"
    answered = _answered(records, model, strand, batch_bases, advice)
    if track and genome is not None and output is not None:
        return _write_tracks(answered, task, prevalence is None, genome, Path(output), overwrite)
    if task.kind == "binary":
        log.info("%s is predicted from p = %.3g upwards", task.classes[1], task.threshold)
    tables = _tables(answered, task, placed=genome is not None)
    if output is None:
        table = pd.concat(list(tables), ignore_index=True)
        return PredictResult(len(table), (), table)
    rows = write_tables(tables, output, overwrite)
    shown = "standard output" if str(output) == STDIN else str(output)
    log.info("%s: %s predictions", shown, f"{rows:,}")
    return PredictResult(rows, () if str(output) == STDIN else (Path(output),), None)


# ---------------------------------------------------------------- from records to tables

_Answered = Iterator[tuple[list[Record], Floats]]


def _answered(
    records: Iterable[Record],
    model: Model,
    strand: Strand | None,
    batch_bases: int | None,
    longer: str = "",
) -> _Answered:
    """Records in chunks of bounded size, with their logits (n, outputs); `longer` is advice for the
    warning about a record longer than those of training.
    """
    warner = LengthWarning(model, longer)
    bases = _CHUNK_BATCHES * (batch_bases or usual_batch_bases(model.device))
    with RecordProgress("predict") as progress:
        for chunk in chunks(alike(records), bases):
            codes = [record.codes for record in chunk]
            lengths = np.array([len(c) for c in codes])
            warner.look_at(lengths)
            yield chunk, task_outputs(model, codes, strand=strand, batch_bases=batch_bases)
            progress.advance(len(chunk), int(lengths.sum()))


def _tables(answered: _Answered, task: TaskConfig, placed: bool) -> Iterator[pd.DataFrame]:
    """One table per chunk; without any record, one that has columns and no rows."""
    found = False
    for chunk, logits in answered:
        found = True
        yield _table(chunk, logits, task)
    if not found:
        log.warning("the input holds no sequences: the output has columns but no rows")
        place = ("", 0, 1, ".") if placed else ()
        anyone = Record("", np.zeros(1, np.uint8), *place)
        yield _table([anyone], np.zeros((1, task.outputs)), task)[:0]


def _table(records: list[Record], logits: Floats, task: TaskConfig) -> pd.DataFrame:
    answers = answer_columns(scores_of(logits, task), decisions(logits, task), task)
    return pd.DataFrame({**described(records), **answers})


# ---------------------------------------------------------------- from places to tracks


def track_values(logits: Floats, task: TaskConfig, relative: bool) -> Floats:
    """Values of tracks (n, tracks): log-odds relative to the training prevalence if `relative`,
    else probabilities; for a binary task those of the second class, for a regression the values.
    """
    if task.kind == "regression":
        return scores_of(logits, task)
    found = relative_log_odds(logits, task) if relative else scores_of(logits, task)
    return found[:, -task.outputs :]


def _write_tracks(
    answered: _Answered,
    task: TaskConfig,
    relative: bool,
    genome: Genome,
    output: Path,
    overwrite: bool,
) -> PredictResult:
    what = "values"
    if task.kind != "regression":
        require_prevalence(task)
        of = f" of {task.classes[1]}" if task.kind == "binary" else ""
        what = f"ln odds{of} minus those in training" if relative else f"probabilities{of}"
    outputs = track_files(output, task.classes[-task.outputs :])
    values = ((records, track_values(logits, task, relative)) for records, logits in answered)
    sizes = track_sizes(genome)
    rows = write_tracks(pieces(values, sizes), outputs, sizes, overwrite)
    if not rows:
        log.warning("the input holds no windows: the track is empty")
    log.info("%s: %s windows, %s", ", ".join(map(str, outputs)), f"{rows:,}", what)
    return PredictResult(rows, tuple(outputs), None)
