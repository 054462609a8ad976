"""Sequences in every form that functions accept: a file, regions, a data frame, records, text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from findna.files import BadInput, log
from findna.sequence.alphabet import LetterCounts, encode_counted, tell_counts
from findna.sequence.genome import Genome
from findna.sequence.intervals import BEYOND_REGIONS, is_region
from findna.sequence.records import Record, holds_places, placed_records, read_records
from findna.sequence.regions import parse_region
from findna.sequence.tables import MISSING, find_id_column, find_sequence_column

Inputs = str | Path | pd.DataFrame | Record | Iterable[Record | str]

_FRAME = "the data frame"


def records_from(
    inputs: Inputs,
    genome: Genome | None = None,
    sequence_column: str | None = None,
    id_column: str | None = None,
) -> Iterator[Record]:
    """The records of a file ("-": standard input), a region (chr7:1,001-2,000, 1-based closed), a
    data frame, or a list of records, regions or sequences as text. The id of a bare sequence is
    its number, from 1.

    Raises:
        BadInput: as `read_records` and `region_record`; an empty sequence or an unknown character.
    """
    if isinstance(inputs, pd.DataFrame):
        return _rows(inputs, genome, sequence_column, id_column)
    if isinstance(inputs, Record):
        return _numbered([inputs], genome)
    if not isinstance(inputs, str | Path):
        return _numbered(inputs, genome)
    if is_region(inputs):
        return _numbered([str(inputs)], genome)
    return read_records(inputs, genome=genome, sequence_column=sequence_column, id_column=id_column)


def region_record(text: str, genome: Genome | None) -> Record:
    """The record of a region, 1-based closed; its text is the id.

    Raises:
        BadInput: no genome, no such chromosome, or no base there. A region FASTA may have only part
            of the region; the rest is N.
    """
    region = parse_region(text)
    if genome is None:
        raise BadInput(f"the region {text!r} needs a genome", remedy="give its FASTA with -g")
    chrom = genome.resolve(region.chrom)
    last = genome.last_of(chrom)
    # Checked before fetching: a mistyped end may be terabytes away.
    there = region.start < last and region.end <= last + (BEYOND_REGIONS if genome.mapped else 0)
    codes, _, inside = genome.fetch(chrom, region.start, region.end if there else region.start)
    if not inside.any():
        where = "outside the regions of" if genome.mapped else "beyond"
        raise BadInput(
            f"the region {text} lies {where} {chrom}, which ends at {last:,}",
            file=genome.source,
            remedy="regions are 1-based, both ends included",
        )
    if not inside.all():
        log.warning(
            "%s lies partly outside the regions of %s, where N is read", text, genome.source
        )
    return Record(text, codes, chrom, region.start, region.end, "+")


def _rows(
    frame: pd.DataFrame, genome: Genome | None, sequence_column: str | None, id_column: str | None
) -> Iterator[Record]:
    columns = [str(name) for name in frame.columns]
    if sequence_column is None and genome is not None and holds_places(columns):
        cells = frame.astype(str).to_numpy().tolist()
        lines = range(1, len(frame) + 1)
        yield from placed_records(columns, cells, lines, id_column, genome, _FRAME)
        return
    at = find_sequence_column(columns, sequence_column, _FRAME)
    named = find_id_column(columns, id_column, _FRAME)
    names = range(1, len(frame) + 1) if named is None else frame.iloc[:, named]
    counts = LetterCounts()
    for name, letters in zip(names, frame.iloc[:, at], strict=True):
        record, found = _record(str(name), letters)
        counts += found
        yield record
    tell_counts(counts, _FRAME)


def _numbered(inputs: Iterable[Record | str], genome: Genome | None) -> Iterator[Record]:
    counts = LetterCounts()
    for row, given in enumerate(inputs, 1):
        if isinstance(given, Record):
            record = given
        elif isinstance(given, str) and ":" in given:
            # A colon is never part of a sequence: a mistyped region is refused as a region.
            record = region_record(given, genome)
        else:
            record, found = _record(str(row), given)
            counts += found
        if not len(record.codes):
            raise BadInput("the sequence is empty", record=record.id, remedy="leave it out")
        yield record
    tell_counts(counts, "the sequences")


def _record(name: str, letters: object) -> tuple[Record, LetterCounts]:
    """The record of one cell, as a table file would give it."""
    bare = letters.strip() if isinstance(letters, str) else None
    if bare is None or bare in MISSING:
        problem = f"{letters!r} is not a sequence" if bare is None else "the sequence is empty"
        raise BadInput(problem, record=name, remedy="leave it out")
    codes, counts = encode_counted(bare, record=name)
    return Record(name, codes), counts
