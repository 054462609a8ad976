"""Records on their way to vectors: from a file or a notebook, in chunks, with due warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from findna.files import log
from findna.inference.rows import CHUNK_ROWS, LengthWarning, alike, chunks
from findna.model.model import Model
from findna.sequence.records import Record

_IDS_COMPARED = 1_000_000  # a set of all of them would be what grows with the input


def watched(
    records: Iterable[Record],
    model: Model,
    window: int,
    chunk_bases: int,
    rows: int = CHUNK_ROWS,
) -> Iterator[list[Record]]:
    """Chunks of about `chunk_bases` bases and at most `rows` records; of no records at all, one
    empty chunk and a warning.

    Warns of lengths outside training (a longer record is read in windows of `window` bases), and
    of ids that come again.
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
    """Says once that an id comes again, among the first million: all rows are kept all the same."""

    def __init__(self) -> None:
        self.seen: set[str] | None = set()

    def look_at(self, records: Sequence[Record]) -> None:
        for record in records:
            if self.seen is None:
                return
            if record.id in self.seen:
                log.warning("the id %s comes more than once; every row is kept", record.id)
            if record.id in self.seen or len(self.seen) == _IDS_COMPARED:
                self.seen = None
            else:
                self.seen.add(record.id)
