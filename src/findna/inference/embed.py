"""Embeddings: one vector per sequence, or per base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from findna.data.ragged import Ragged
from findna.files import STDIN, BadInput, log
from findna.inference.devices import pick_device, usual_batch_bases
from findna.inference.embedding.files import (
    PER_BASE,
    Answers,
    Columns,
    Facts,
    Floats,
    PerBase,
    Pooled,
    check_output,
    extend,
    whole_records,
    write_embeddings,
)
from findna.inference.embedding.stitching import (
    BASE_SPAN,
    SPAN_BATCHES,
    Reading,
    Span,
    base_vectors,
    batches,
    pooled_vectors,
)
from findna.inference.progress import RecordProgress
from findna.inference.rows import CHUNK_ROWS, described, watched
from findna.inference.tiles import usual_window
from findna.inference.writing import held
from findna.model.heads import Asked, Pooling, channels, pool
from findna.model.loading import model_name, pick_model
from findna.model.model import Model, software_versions, weights_digest
from findna.sequence.alphabet import Codes, Strand, refuse_unknown_strand
from findna.sequence.genome import Genome
from findna.sequence.inputs import Inputs, records_from
from findna.sequence.records import Record

Embeddings = NDArray[np.float32]
EmbedPooling = Literal["mean", "max", "summary", "deviation", "layers", "deviations", "base"]

# Numbers in the vectors that are combined at once: 32 MB, of which there are some ten copies.
_NUMBERS = 1 << 22


@dataclass(frozen=True)
class EmbedResult:
    """`rows` embedded records, in the file `output` or, without one, in `table` and `vectors`;
    `facts` describe how they were computed.
    """

    rows: int
    output: Path | None
    _both: tuple[pd.DataFrame, Floats | list[Floats]] | None
    facts: Facts

    @property
    def table(self) -> pd.DataFrame:
        """The describing columns, one row per record; `ValueError` if an output was given."""
        return held(self._both, "the embeddings")[0]

    @property
    def vectors(self) -> Floats | list[Floats]:
        """Vectors (rows, D), or one array (L, D) per record for pooling "base"; `ValueError` if an
        output was given.
        """
        return held(self._both, "the embeddings")[1]


def embeddings(
    model: Model,
    codes: Sequence[Codes] | Ragged,
    *,
    pooling: Sequence[Pooling] = ("mean",),
    bins: int = 1,
    strand: Strand = "both",
    batch_bases: int | None = None,
) -> Embeddings:
    """Vectors (n, channels) of n sequences in their order, each read as one window; several
    poolings are concatenated, each as wide as `heads.channels` says. `bins` is the number of parts
    of equal length for pooling "bins" and "early-bins", in the order of the given strand.

    Mean pooling over bases is the default: over 57 data sets it was better than maximum or summary
    tokens (Feng et al. 2025, Nat Commun 16:10780). Strands are averaged unless `strand` is
    "forward". The model is used in its current mode and on its current device.
    """
    sequences = codes if isinstance(codes, Ragged) else Ragged(codes, model.device)
    width = channels(pooling, model.config.backbone, bins)
    vectors = np.zeros((len(sequences), width), np.float32)
    turns = (False, True) if strand == "both" else (False,)
    bases = batch_bases or usual_batch_bases(model.device)
    asked = Asked.by(pooling)._asdict()
    with torch.inference_mode():
        for turned in turns:
            for rows, batch in batches(sequences, turned, bases):
                encoded = model.encode(*batch, **asked)
                vectors[rows] += pool(encoded, pooling, bins, turned).float().cpu().numpy()
    return vectors / np.float32(len(turns))


def embed(
    inputs: Inputs,
    model: Model | str | Path | None = None,
    output: str | Path | None = None,
    *,
    genome: Genome | str | Path | None = None,
    pooling: EmbedPooling | Sequence[EmbedPooling] = "mean",
    strand: Strand = "both",
    window: int | None = None,
    batch_bases: int | None = None,
    device: str = "auto",
    sequence_column: str | None = None,
    id_column: str | None = None,
    half: bool = False,
    overwrite: bool = False,
) -> EmbedResult:
    """Embed every sequence of a FASTA, FASTQ, CSV, TSV, parquet or BED file ("-" is standard
    input).

    A sequence longer than a window is read in overlapping windows and stitched: see
    `stitching.pooled_vectors`. A sequence and its reverse complement get the same vector; vectors
    per base are the same in reverse order.

    Args:
        inputs: file, "-", a region or regions of `genome` (`chr7:1,001-2,000`, 1-based closed), a
            data frame, records, or a list of sequences as text.
        model: a model, its folder, its run or its name; None is the one that comes with findna.
            A model in memory is moved to `device` and set to evaluation mode.
        output: `.parquet`, `.npz`, `.h5ad`, or as text `.tsv` or `.csv` (either may end in `.gz`);
            "-" for a TSV on standard output; None to get table and vectors back.
        genome: FASTA or opened genome for BED and regions.
        pooling: "mean" over bases, "max", the mean of the "summary" tokens, the standard
            "deviation" over bases, the means of all "layers" and their "deviations", or several of
            these concatenated; or "base" for a vector per base (parquet and npz). For a linear
            model on top, ("layers", "deviations") worked best (docs/results/recipe).
        strand: "both" averages the two strands, "forward" reads the given one.
        window: longest piece that is read at once; None is the longest the model was trained on.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        device: auto, cpu, cuda or mps.
        sequence_column: column of the sequences in a table; guessed if None.
        id_column: column of the names in a table; guessed if None.
        half: store 16 bits per number instead of 32.
        overwrite: replace an existing output.

    Raises:
        BadInput: an unreadable record (with its line), an output that exists or has an unknown
            ending, a missing library.
        ValueError: an unknown pooling or strand, "base" with others, a window below 1.
    """
    parts = pooled_parts(pooling)
    refuse_unknown_strand(strand, needed=True)
    if window is not None and window < 1:
        raise ValueError(f"a window of {window} bases")
    if output is not None:
        check_output(output, _named(parts), overwrite)
    network = pick_model(model).to(pick_device(device)).eval()
    bases = batch_bases or usual_batch_bases(network.device)
    reading = Reading(window or usual_window(network), strand, bases)
    genome = Genome.of(genome)
    dtype = np.dtype(np.float16 if half else np.float32)
    facts = _facts(model, network, genome, parts, reading, dtype)
    records = records_from(inputs, genome, sequence_column, id_column)
    chunk_bases = SPAN_BATCHES * bases if parts else BASE_SPAN
    rows = min(CHUNK_ROWS, max(1, _NUMBERS // facts["width"]))
    chunks = watched(records, network, reading.window, chunk_bases, rows)
    with RecordProgress("embed") as progress:
        answers = _answers(chunks, network, parts, reading, dtype, progress, genome is not None)
        if output is None:
            return _in_memory(answers, facts)
        rows = write_embeddings(answers, output, facts, overwrite)
    piped = str(output) == STDIN
    log.info("%s: %s embeddings", "standard output" if piped else output, f"{rows:,}")
    return EmbedResult(rows, None if piped else Path(output), None, facts)


def pooled_parts(pooling: str | Sequence[str]) -> tuple[Pooling, ...]:
    """The poolings to concatenate; none for a vector per base. `ValueError` for what is not in
    `EmbedPooling`, or "base" with others.
    """
    named = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    if named == (PER_BASE,):
        return ()
    if not named or PER_BASE in named or not set(named) <= set(get_args(EmbedPooling)):
        known = ", ".join(get_args(EmbedPooling))
        raise ValueError(
            f"no such pooling: {','.join(named) or 'none'}; choose from {known} (base only alone)"
        )
    return cast(tuple[Pooling, ...], named)


def _named(parts: Sequence[Pooling]) -> str:
    return ",".join(parts) or PER_BASE


def _facts(
    named: Model | str | Path | None,
    model: Model,
    genome: Genome | None,
    parts: Sequence[Pooling],
    reading: Reading,
    dtype: np.dtype[Any],
) -> Facts:
    """How the vectors were computed, for the metadata of the file."""
    whence = {} if genome is None else {"genome": genome.source, "genome_digest": genome.digest}
    return {
        "findna": software_versions()["findna"],
        "model": model_name(named, model),
        "model_digest": weights_digest(model),
        **whence,
        "pooling": _named(parts),
        "strand": reading.strand,
        "window": reading.window,
        "width": channels(parts or ("mean",), model.config.backbone),
        "dtype": dtype.name,
    }


# ---------------------------------------------------------------- from records to answers


def _answers(
    chunks: Iterator[list[Record]],
    model: Model,
    parts: Sequence[Pooling],
    reading: Reading,
    dtype: np.dtype[Any],
    progress: RecordProgress,
    placed: bool,
) -> Answers:
    for records in chunks:
        columns = described(records) if records else _no_columns(placed)
        codes = [record.codes for record in records]
        if parts:
            vectors = pooled_vectors(
                model, codes, parts, reading, lambda bases: progress.advance(0, bases)
            )
            yield Pooled(columns, _narrowed(vectors, dtype))
        else:
            spans = base_vectors(model, codes, reading)
            yield PerBase(columns, _counted(spans, dtype, progress))
        progress.advance(len(records), 0)


def _counted(
    spans: Iterator[tuple[Span, Embeddings]], dtype: np.dtype[Any], progress: RecordProgress
) -> Iterator[tuple[Span, Floats]]:
    for span, vectors in spans:
        progress.advance(0, len(vectors))
        yield span, _narrowed(vectors, dtype)


def _no_columns(placed: bool) -> Columns:
    """The describing columns without rows, with coordinates or not."""
    place = ("chrom", "start", "end", "strand") if placed else ()
    return {name: [] for name in ("id", *place, "length", "frac_n")}


def _narrowed(vectors: Embeddings, dtype: np.dtype[Any]) -> Floats:
    if np.abs(vectors).max(initial=0) > np.finfo(dtype).max:
        raise BadInput(
            "a vector of this model is too large for half precision", remedy="leave out --half"
        )
    return vectors.astype(dtype)


def _in_memory(answers: Answers, facts: Facts) -> EmbedResult:
    columns: Columns = {}
    pooled: list[Floats] = []
    by_base: list[Floats] = []
    for answer in answers:
        if isinstance(answer, Pooled):
            pooled.append(answer.vectors)
        else:
            by_base.extend(whole_records(answer.spans))
        extend(columns, answer.columns)
    vectors = by_base if facts["pooling"] == PER_BASE else np.concatenate(pooled)
    return EmbedResult(len(columns["id"]), None, (pd.DataFrame(columns), vectors), facts)
