"""Streams of records: chunks of bounded size, warnings, and the first columns of every table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from findna.files import BadInput, log
from findna.model.model import Model
from findna.sequence.alphabet import N
from findna.sequence.records import Record, span_of

CHUNK_ROWS = 16_384
_IDS_COMPARED = 1_000_000  # at most: a set of all ids would grow with the input


def chunks(records: Iterable[Record], bases: int, rows: int = CHUNK_ROWS) -> Iterator[list[Record]]:
    """Runs of records that hold at least `bases` bases, or as many short ones as `rows`."""
    chunk: list[Record] = []
    held = 0
    for record in records:
        chunk.append(record)
        held += len(record.codes)
        if held >= bases or len(chunk) >= rows:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def alike(records: Iterable[Record]) -> Iterator[Record]:
    """The records unchanged; all or none have genome coordinates, as the rows of a table do.

    Raises:
        BadInput: at the first one that differs.
    """
    placed: bool | None = None
    for record in records:
        if placed not in (None, record.chrom is not None):
            raise BadInput(
                f"has {'no' if placed else 'a'} position in a genome, unlike the sequences before"
                " it",
                record=record.id,
                remedy="give regions and bare sequences in separate calls",
            )
        placed = record.chrom is not None
        yield record


def described(records: list[Record]) -> dict[str, list[object]]:
    """The describing columns: id, coordinates if there are any, length, frac_n."""
    columns: dict[str, list[object]] = {"id": [r.id for r in records]}
    if records[0].chrom is not None:
        for name in ("chrom", "start", "end", "strand"):
            columns[name] = [getattr(r, name) for r in records]
    columns["length"] = [len(r.codes) for r in records]
    columns["frac_n"] = [float((r.codes == N).mean()) for r in records]
    return columns


class LengthWarning:
    """Warns once of sequences outside the range of lengths that a model was trained on."""

    def __init__(self, model: Model, longer: str = "") -> None:
        """Without a range in the model's provenance there is no warning. `longer` is advice for a
        sequence that is too long.
        """
        self.range, self.longer = model.trained_lengths, longer
        self.said = False

    def look_at(self, lengths: NDArray[np.int64]) -> None:
        """Warn about the first lengths (n,) that are shorter or longer."""
        if self.range is None or self.said or not len(lengths):
            return
        low, high = self.range
        outside = lengths[(lengths < low) | (lengths > high)]
        if len(outside):
            self.said = True
            log.warning(
                "%s bp is outside the %s this model was trained on: trust it less%s",
                f"{outside[0]:,}",
                span_of(low, high),
                self.longer if outside[0] > high else "",
            )


def watched(
    records: Iterable[Record],
    model: Model,
    window: int,
    chunk_bases: int,
    rows: int = CHUNK_ROWS,
) -> Iterator[list[Record]]:
    """Chunks of about `chunk_bases` bases and at most `rows` records; without any record, one empty
    chunk and a warning.

    Warns of lengths outside training (a longer record is read in windows of `window` bases), and
    of repeated ids.
    """
    lengths_seen, ids_seen, any_found = LengthWarning(model), _IdWarning(), False
    for chunk in chunks(alike(records), chunk_bases, rows):
        any_found = True
        lengths = np.array([len(record.codes) for record in chunk])
        lengths_seen.look_at(np.minimum(lengths, window))
        ids_seen.look_at(chunk)
        yield chunk
    if not any_found:
        log.warning("the input holds no sequences: the output has no rows")
        yield []


class _IdWarning:
    """Warns once of a repeated id among the first million."""

    def __init__(self) -> None:
        self.seen: set[str] | None = set()

    def look_at(self, records: Sequence[Record]) -> None:
        for record in records:
            if self.seen is None:
                return
            if record.id in self.seen:
                log.warning("the id %s occurs more than once; every row is kept", record.id)
            if record.id in self.seen or len(self.seen) == _IDS_COMPARED:
                self.seen = None
            else:
                self.seen.add(record.id)
