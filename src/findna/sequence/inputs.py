"""Sequences as functions are given them: a file, a data frame, records, or text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from findna.files import BadInput
from findna.sequence.alphabet import encode
from findna.sequence.genome import Genome
from findna.sequence.records import Record, read_records
from findna.sequence.tables import find_id_column, find_sequence_column

Inputs = str | Path | pd.DataFrame | Iterable[Record | str]

_FRAME = "the data frame"


def records_from(
    inputs: Inputs,
    genome: Genome | None = None,
    sequence_column: str | None = None,
    id_column: str | None = None,
) -> Iterator[Record]:
    """The records of a file ("-": standard input), of a data frame, or of what a notebook holds:
    records, or sequences as text, which are called by their number, from 1.

    Raises:
        BadInput: as `read_records`; a sequence that is empty or holds an unknown letter.
    """
    if isinstance(inputs, str | Path):
        return read_records(
            inputs, genome=genome, sequence_column=sequence_column, id_column=id_column
        )
    if isinstance(inputs, pd.DataFrame):
        return _rows(inputs, sequence_column, id_column)
    return _numbered(inputs)


def _rows(
    frame: pd.DataFrame, sequence_column: str | None, id_column: str | None
) -> Iterator[Record]:
    columns = [str(name) for name in frame.columns]
    at = find_sequence_column(columns, sequence_column, _FRAME)
    named = find_id_column(columns, id_column, _FRAME)
    names = range(1, len(frame) + 1) if named is None else frame.iloc[:, named]
    for name, letters in zip(names, frame.iloc[:, at], strict=True):
        yield _record(str(name), letters)


def _numbered(inputs: Iterable[Record | str]) -> Iterator[Record]:
    for row, given in enumerate(inputs, 1):
        record = given if isinstance(given, Record) else _record(str(row), given)
        if not len(record.codes):
            raise BadInput("the sequence is empty", record=record.id, remedy="leave it out")
        yield record


def _record(name: str, letters: object) -> Record:
    if not isinstance(letters, str) or not letters:
        problem = "the sequence is empty" if letters == "" else f"{letters!r} is no sequence"
        raise BadInput(problem, record=name, remedy="leave it out")
    return Record(name, encode(letters, record=name))
