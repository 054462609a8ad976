"""Tables of sequences, or of intervals of a genome, with labels: CSV, TSV, parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from findna.data.parts import LabelSettings, Part
from findna.data.places import RowPlaces
from findna.files import BadInput, log, open_bytes
from findna.sequence.alphabet import Codes
from findna.sequence.genome import Genome
from findna.sequence.intervals import refuse_unknown
from findna.sequence.placed import bed_of_places, place_columns, strand_words
from findna.sequence.records import SequenceReader, bed_records
from findna.sequence.regions import refuse_far
from findna.sequence.tables import (
    find_id_column,
    find_sequence_column,
    first_named,
    need_column,
    open_table,
    usual_sequence_column,
)

_LABEL_NAMES = ("label", "labels", "class", "target", "y", "category", "value", "score", "activity")
_PLACE_NAMES = ("chrom", "chr", "chromosome", "start", "end", "strand", "region", "source")
SPLIT_NAME = "split"


@dataclass(frozen=True, eq=False)
class Cells:
    """A table of text: rows of cells, their numbers from 1 and their lines in the file."""

    file: Path
    columns: tuple[str, ...]
    cells: list[list[str]]
    rows: list[int]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """The text of one column, stripped."""
        at = self.columns.index(name)
        return [row[at].strip() for row in self.cells]

    def where(self, chosen: list[bool]) -> Cells:
        """The chosen rows, with their numbers and lines."""

        def kept(values: list[Any]) -> list[Any]:
            return list(compress(values, chosen))

        return replace(self, cells=kept(self.cells), rows=kept(self.rows), lines=kept(self.lines))


def read_cells(path: Path) -> Cells:
    """The cells of a file; `BadInput` if it has no rows."""
    with open_bytes(path) as stream, open_table(stream, path) as table:
        read = list(table.rows)
    if not read:
        raise BadInput(
            "the table has no rows", file=path, remedy="sequences with labels are needed"
        )
    lines, cells = [line for line, _ in read], [row for _, row in read]
    return Cells(path, table.columns, cells, list(range(1, len(read) + 1)), lines)


def read_rows(table: Cells, settings: LabelSettings, genome: Genome | None) -> Part:
    """Sequences, or intervals of `genome`, with their labels as text."""
    id_at = find_id_column(table.columns, None, table.file)
    ids = [str(r) for r in table.rows] if id_at is None else table.column(table.columns[id_at])
    sequence = _sequence_column(table, settings, genome)
    codes = _encoded(table, sequence, ids) if sequence else _fetched(table, ids, genome)
    columns, words = _label_words(table, settings, sequence, ids)
    log.info("%s: labels from column %s", table.file, ", ".join(f"'{c}'" for c in columns))
    group = group_column(table.columns, settings, table.file)
    groups = None if group is None else table.column(group)
    places = _table_places(table, codes)
    return Part(table.file, ids, codes, words, columns, table.rows, table.lines, groups, places)


def _table_places(table: Cells, codes: list[Codes]) -> RowPlaces | None:
    """Coordinates from the columns of chromosome, start and end, if they fit the sequences.

    Where end − start is not the length of the sequence, the coordinates belong to something else
    or count differently: none are used, with a warning.
    """
    named = place_columns(table.columns)
    if named is None:
        return None
    chrom, start, end = (table.column(c) for c in named)
    if not all(map(str.isdecimal, (*start, *end))):
        log.info("%s: not every row has a start and an end: coordinates are not used", table.file)
        return None
    starts, ends = list(map(int, start)), list(map(int, end))
    unlike = [n for n, c in enumerate(codes) if ends[n] - starts[n] != len(c)]
    if unlike:
        log.warning(
            "%s: end − start is not the length of the sequence in %d of %d rows (first in line"
            " %d): coordinates are not used; they must be 0-based half-open",
            table.file, len(unlike), len(codes), table.lines[unlike[0]],
        )  # fmt: skip
        return None
    for last, row, line in zip(ends, table.rows, table.lines, strict=True):
        refuse_far(last, file=table.file, record=str(row), line=line)
    names = list(map(str, table.rows))
    strands = strand_words(table.columns, table.cells, names, table.lines, table.file)
    return RowPlaces.of(chrom, starts, ends, strands)


def _sequence_column(table: Cells, settings: LabelSettings, genome: Genome | None) -> str | None:
    """The sequence column; None if rows are intervals of a genome instead."""
    placed = genome is not None and place_columns(table.columns) is not None
    usual = usual_sequence_column(table.columns)
    if placed and settings.sequence_column is None and usual is None:
        return None
    return table.columns[find_sequence_column(table.columns, settings.sequence_column, table.file)]


def _encoded(table: Cells, column: str, ids: list[str]) -> list[Codes]:
    reader = SequenceReader(table.file)
    rows = zip(table.column(column), ids, table.lines, strict=True)
    codes = [reader.encode_cell(letters, name, line) for letters, name, line in rows]
    reader.close()
    return codes


def _fetched(table: Cells, ids: list[str], genome: Genome | None) -> list[Codes]:
    """Sequences of the interval of each row, by the rules of a BED."""
    if genome is None:
        raise ValueError("coordinates need a genome")
    bed = bed_of_places(table.columns, table.cells, ids, table.lines, table.file)
    refuse_unknown(genome, bed, table.file)
    return [record.codes for record in bed_records(bed, genome, table.file)]


def _label_words(
    table: Cells, settings: LabelSettings, sequence: str | None, ids: list[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names of the label columns, and the text of each row in them."""
    if settings.label_table is not None:
        return from_label_table(table.file, settings.label_table, ids, settings)
    columns = _label_columns(table.columns, settings, sequence, table.file)
    return columns, list(zip(*(table.column(c) for c in columns), strict=True))


def _label_columns(
    columns: tuple[str, ...], settings: LabelSettings, sequence: str | None, file: Path
) -> tuple[str, ...]:
    """The columns given in the settings, or the one that can be guessed."""
    whole = settings.label_column
    if whole and whole in columns:
        return (whole,)
    if whole:
        return tuple(columns[need_column(columns, c, file)] for c in settings.label_columns)
    guessed = guess_label_column(columns, sequence, settings.group_column)
    if guessed is not None:
        return (guessed,)
    raise BadInput(
        f"which column holds the labels? There are {', '.join(columns)}",
        file=file,
        remedy="name it with --label-column (several labels: a,b,c)",
    )


def guess_label_column(
    columns: Sequence[str], sequence: str | None, group: str | None = None
) -> str | None:
    """The column with a usual name for labels, or the only one whose use is unknown; else None.

    `sequence` and `group` are the columns known to hold those.
    """
    taken = {sequence, group, first_named(columns, (SPLIT_NAME,))}
    free = [c for c in columns if c not in taken]
    named = named_label_column(free)
    if named is not None:
        return named
    # Ids and coordinates are not labels.
    id_at = find_id_column(columns, None, "")
    known = {*_PLACE_NAMES, "" if id_at is None else columns[id_at].lower()}
    left = [c for c in free if c.lower() not in known]
    return left[0] if len(left) == 1 else None


def named_label_column(columns: Sequence[str]) -> str | None:
    """The column with a usual name for labels, or None."""
    return first_named(columns, _LABEL_NAMES)


def group_column(columns: Sequence[str], settings: LabelSettings, file: Path) -> str | None:
    """The group column given in the settings; `BadInput` if the table lacks it."""
    if settings.group_column is None:
        return None
    return columns[need_column(columns, settings.group_column, file)]


def holds_labels(file: Path, settings: LabelSettings) -> bool:
    """Whether a table that was not given may be one of ids and labels: it has the label columns of
    the settings, or one with a usual name for labels, or two columns in all.
    """
    with open_bytes(file) as stream, open_table(stream, file) as table:
        columns = table.columns
    if settings.label_columns:
        return set(settings.label_columns) <= set(columns)
    return named_label_column(columns) is not None or len(columns) == 2


def from_label_table(
    path: Path, file: Path, ids: list[str], settings: LabelSettings
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names of the label columns of a table of ids and labels, and the text of each id in them.

    Labels are in the columns given in the settings, else in the one with a usual name or the only
    one besides the ids.
    """
    table = read_cells(file)
    taken = {settings.label_column, *settings.label_columns, named_label_column(table.columns)}
    others = [c for c in table.columns if c not in taken]
    if len(table.columns) < 2 or not others:
        raise BadInput("a label table has two columns, id and label", file=file)
    called = others[find_id_column(others, None, file) or 0]
    rest = tuple(c for c in table.columns if c != called)
    alone = len(rest) == 1 and settings.label_column is None
    labels = rest if alone else _label_columns(rest, settings, None, file)
    known: dict[str, tuple[str, ...]] = {}
    words = list(zip(*(table.column(c) for c in labels), strict=True))
    for name, row, line in zip(table.column(called), words, table.lines, strict=True):
        if known.setdefault(name, row) != row:
            raise BadInput("this id has two labels", file=file, record=name, line=line)
    missing = next((name for name in ids if name not in known), None)
    if missing is not None:
        raise BadInput(f"no label for this sequence in {file}", file=path, record=missing)
    unused = len(known.keys() - set(ids))
    if unused:
        log.warning("%s: %d labels match no sequence of %s", file, unused, path)
    return labels, [known[name] for name in ids]
