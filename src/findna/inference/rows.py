"""Records on their way to answers: chunks of bounded size, and the first columns of every table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from findna.files import BadInput, log
from findna.model.model import Model
from findna.sequence.alphabet import N
from findna.sequence.records import Record, span_of

CHUNK_ROWS = 16_384


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
    """The records as they come, of which all have a place in a genome, or none: so does a table.

    Raises:
        BadInput: at the first one that differs.
    """
    placed: bool | None = None
    for record in records:
        if placed not in (None, record.chrom is not None):
            raise BadInput(
                f"has {'no' if placed else 'a'} place in a genome, unlike the sequences before it",
                record=record.id,
                remedy="give regions and bare sequences in two calls",
            )
        placed = record.chrom is not None
        yield record


def described(records: list[Record]) -> dict[str, list[object]]:
    """The columns that say what a row answers: id, place if there is one, length, frac_n."""
    columns: dict[str, list[object]] = {"id": [r.id for r in records]}
    if records[0].chrom is not None:
        for name in ("chrom", "start", "end", "strand"):
            columns[name] = [getattr(r, name) for r in records]
    columns["length"] = [len(r.codes) for r in records]
    columns["frac_n"] = [float((r.codes == N).mean()) for r in records]
    return columns


class LengthWarning:
    """Says once that sequences lie outside the lengths a model was trained on."""

    def __init__(self, model: Model, longer: str = "") -> None:
        """Read the range from the model's provenance; without one nothing is ever said. `longer`
        is what to do about a sequence that is too long.
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
