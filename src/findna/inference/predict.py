"""Answers of a fine-tuned model for any number of sequences: one row in, one row out, in order.

Records stream through in chunks of bounded size; within a chunk they are batched by length, and
put back in order. Columns: `id`, then `chrom, start, end, strand` where the input has places
(0-based half-open), `length`, `frac_n`, `prediction`, and `p_<class>` for every class. A multilabel
prediction joins its labels with `;`; a regression of several targets has one
`prediction_<target>` each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from findna.data.batches import by_length
from findna.data.labelled import decide
from findna.data.ragged import Ragged
from findna.files import STDIN, BadInput, log
from findna.inference.rows import LengthWarning, chunks, described, not_empty
from findna.inference.writing import write_tables
from findna.model.heads import TaskConfig
from findna.model.model import Model, load_model
from findna.sequence.alphabet import Codes
from findna.sequence.genome import Genome
from findna.sequence.records import Record, read_records

Strand = Literal["both", "forward"]
Floats = NDArray[np.float64]

# On a CPU the activations of a batch should stay in its cache: `tiny` is 1.7 times as fast at 16 kb
# as at 64 kb (benchmarks/batch_size.py). A GPU wants enough work for every launch.
_CPU_BATCH_BASES, _GPU_BATCH_BASES = 16_384, 262_144
_CHUNK_BATCHES = 32


@dataclass(frozen=True)
class PredictResult:
    """What was answered: `rows`, where it stands, and the table itself when no output was named."""

    rows: int
    output: Path | None
    table: pd.DataFrame | None


def predict(
    inputs: str | Path | Iterable[Record],
    model: Model | str | Path,
    output: str | Path | None = None,
    *,
    genome: Genome | str | Path | None = None,
    strand: Strand | None = None,
    batch_bases: int | None = None,
    device: str = "auto",
    sequence_column: str | None = None,
    id_column: str | None = None,
    overwrite: bool = False,
) -> PredictResult:
    """Answer every sequence of a FASTA, FASTQ, CSV, TSV, parquet or BED file ("-" is standard
    input).

    Args:
        inputs: file, "-", or records.
        model: a fine-tuned model, its folder, or the folder of its run.
        output: `.tsv`, `.csv` (either may end in `.gz`) or `.parquet`; "-" for a TSV on standard
            output; None to get
            the table back.
        genome: FASTA or opened genome for BED input.
        strand: None obeys what fine-tuning decided.
        batch_bases: bases a batch, which bounds memory; None takes what suits the device.
        device: auto, cpu, cuda or mps.
        sequence_column: column of the sequences in a table; guessed if None.
        id_column: column of the names in a table; guessed if None.
        overwrite: replace an existing output.

    Raises:
        BadInput: the model has no task, an unreadable record (with its place), an output that
            exists.
    """
    where = model if isinstance(model, str | Path) else None
    model = load_model(model) if isinstance(model, str | Path) else model
    task = _require_task(model, where)
    if isinstance(genome, str | Path):
        genome = Genome.open(genome)
    source = inputs if isinstance(inputs, str | Path) else None
    if isinstance(inputs, str | Path):
        inputs = read_records(
            inputs, genome=genome, sequence_column=sequence_column, id_column=id_column
        )
    model = model.to(pick_device(device)).eval()
    tables = _answers(not_empty(inputs, source), model, task, strand, batch_bases)
    if output is None:
        table = pd.concat(list(tables), ignore_index=True)
        return PredictResult(len(table), None, table)
    rows = write_tables(tables, output, overwrite)
    log.info(
        "%s: %s predictions", output if str(output) != STDIN else "standard output", f"{rows:,}"
    )
    return PredictResult(rows, None if str(output) == STDIN else Path(output), None)


def pick_device(name: str) -> torch.device:
    """The device called `name`; auto is CUDA, else MPS, else CPU.

    Raises:
        BadInput: this machine has no such device.
    """
    have = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, here in have.items() if here))
    if not have.get(name.split(":")[0], False):
        listed = ", ".join(kind for kind, here in have.items() if here)
        raise BadInput(f"this machine has no device {name!r}", remedy=f"it has: {listed}")
    return torch.device(name)


def usual_batch_bases(device: torch.device) -> int:
    """Bases a batch, padding included, that suit a device."""
    return _CPU_BATCH_BASES if device.type == "cpu" else _GPU_BATCH_BASES


def _require_task(model: Model, where: str | Path | None = None) -> TaskConfig:
    if model.config.task is None:
        raise BadInput(
            "this model has no task: it was pretrained, not fine-tuned",
            file=where,
            remedy="run findna finetune on labelled sequences first",
        )
    return model.config.task


# ---------------------------------------------------------------- from codes to probabilities


def task_outputs(
    model: Model,
    codes: Sequence[Codes] | Ragged,
    *,
    strand: Strand | None = None,
    batch_bases: int | None = None,
) -> Floats:
    """Logits (n, outputs) of n sequences in their order.

    The model is used as it stands, dropout off or on.
    """
    sequences = codes if isinstance(codes, Ragged) else Ragged(codes, model.device)
    lengths = sequences.lengths.cpu().numpy()
    outputs = np.zeros((len(sequences), _require_task(model).outputs))
    with torch.inference_mode():
        for rows in by_length(lengths, batch_bases or usual_batch_bases(model.device)):
            logits = model.task_logits(*sequences.batch(rows), strand=strand)
            outputs[rows] = logits.float().cpu().numpy()
    return outputs


def scores_of(logits: Floats, task: TaskConfig) -> Floats:
    """Probabilities (n, classes), or values (n, targets) in the units of the labels, from logits
    (n, outputs).
    """
    if task.kind == "regression":
        spread, middle = np.array(task.target_sd or 1.0), np.array(task.target_mean or 0.0)
        return np.asarray(logits * spread + middle)
    if task.kind == "multiclass":
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(raised / raised.sum(1, keepdims=True))
    # A logistic function that neither overflows nor loses the small side.
    positive = np.exp(-np.logaddexp(0, -logits))
    if task.kind == "multilabel":
        return np.asarray(positive)
    return np.concatenate([np.exp(-np.logaddexp(0, logits)), positive], axis=1)


def answer_columns(
    scores: Floats, task: TaskConfig, threshold: float | Floats | None = None
) -> dict[str, list[str] | Floats]:
    """The columns `prediction` and `p_<class>` of a table of answers.

    `threshold` stands in for that of the task.
    """
    if task.kind == "regression":
        several = len(task.classes) > 1
        return {
            f"prediction_{c}" if several else "prediction": scores[:, t]
            for t, c in enumerate(task.classes)
        }
    said = decide(task.kind, scores, task.threshold if threshold is None else threshold)
    words = label_words(said, task)
    return {"prediction": words, **{f"p_{c}": scores[:, k] for k, c in enumerate(task.classes)}}


def label_words(labels: NDArray[np.int64], task: TaskConfig) -> list[str]:
    """Class names of class indices (n,); for multilabel, names joined by `;` of 0/1 rows (n, K)."""
    if task.kind != "multilabel":
        return [task.classes[k] for k in labels]
    return [";".join(compress(task.classes, row)) for row in labels]


# ---------------------------------------------------------------- from records to tables


def _answers(
    records: Iterable[Record],
    model: Model,
    task: TaskConfig,
    strand: Strand | None,
    batch_bases: int | None,
) -> Iterator[pd.DataFrame]:
    warner = LengthWarning(model)
    for chunk in chunks(records, _CHUNK_BATCHES * (batch_bases or usual_batch_bases(model.device))):
        codes = [record.codes for record in chunk]
        warner.look_at(np.array([len(c) for c in codes]))
        logits = task_outputs(model, codes, strand=strand, batch_bases=batch_bases)
        yield pd.DataFrame({**described(chunk), **answer_columns(scores_of(logits, task), task)})
