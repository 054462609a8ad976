"""Files that hold sequences with labels, read as they stand; labels are words here.

A *part* is what one file (or one folder of classes) gives: sequences as codes and, for each row,
the words of its label columns. `data.labelled` turns the words of all parts into classes or
numbers.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from findna.data.places import RowPlaces
from findna.files import BadInput, Settings, log, open_bytes
from findna.sequence.alphabet import Codes, LetterCounts, encode, encode_counted, tell_counts
from findna.sequence.genome import Genome
from findna.sequence.intervals import LINE, read_bed, refuse_unknown
from findna.sequence.records import bed_records, read_records
from findna.sequence.tables import find_id_column, find_sequence_column, need_column, open_table

TaskKind = Literal["binary", "multiclass", "multilabel", "regression"]

# How the three splits may be called; the first name is ours.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "valid", "validation"),
    "test": ("test", "testing"),
}
_LABEL_NAMES = ("label", "labels", "class", "target", "y", "category", "value", "score", "activity")
_PLACE_NAMES = ("chrom", "chr", "chromosome", "start", "end", "strand", "region", "source")
_CHROM_NAMES = ("chrom", "chr", "chromosome", "region")
_SPLIT_NAME = "split"
_HEADER_LABEL = re.compile(r"(?:^|[\s;|])label=([^\s|]+)", re.IGNORECASE)


class LabelSettings(Settings):
    """How labelled data is read; what is left open is guessed from the file, and printed."""

    sequence_column: str | None = Field(
        None, description="Column that holds the sequences; guessed if not given."
    )
    label_column: str | None = Field(
        None,
        description="Column that holds the labels, or several joined by commas; else guessed.",
    )
    group_column: str | None = Field(
        None, description="Column whose equal values are kept in one part when rows are split."
    )
    label_table: Path | None = Field(
        None,
        description="Two columns, id and label, for sequences that carry no labels themselves.",
    )
    task: Literal["auto", "binary", "multiclass", "multilabel", "regression"] = Field(
        "auto", description="Kind of task; auto guesses it from the labels."
    )

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns named in `label_column`."""
        return tuple(c.strip() for c in self.label_column.split(",")) if self.label_column else ()


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one source, labels as words.

    `words` holds one tuple a row, one word a label column; `columns` their names; `rows` and
    `lines` the number of each row in its source, from 1, and its line there; `groups` one word a
    row, if asked for; `places` where the rows lie, if the source says so.
    """

    source: Path
    ids: list[str]
    codes: list[Codes]
    words: list[tuple[str, ...]]
    columns: tuple[str, ...]
    rows: list[int]
    lines: list[int] | None = None
    groups: list[str] | None = None
    places: RowPlaces | None = None

    def bad(self, problem: str, at: int, remedy: str | None = None) -> BadInput:
        """An error about row `at` (from 0) of this part."""
        line = self.lines[at] if self.lines else None
        return BadInput(problem, file=self.source, record=self.ids[at], line=line, remedy=remedy)


def read_parts(
    data: str | Path, settings: LabelSettings, genome: Genome | None = None
) -> dict[str, Part]:
    """Parts by split name: "train" and, where the data has them, "dev" and "test".

    `data` is a folder with train, dev and test files, a folder of class folders (with or without
    split folders above them), or one file: CSV, TSV, parquet, FASTA, BED with a genome.
    """
    path = Path(data)
    if not path.is_dir():
        return _split_by_column(path, settings, genome)
    files = _split_entries(path, folders=False)
    if files:
        return {split: _read_file(file, settings, genome) for split, file in files.items()}
    folders = _split_entries(path, folders=True)
    if folders:
        return {split: _read_classes(folder) for split, folder in folders.items()}
    return {"train": _read_classes(path)}


# ---------------------------------------------------------------- folders


def _split_entries(folder: Path, *, folders: bool) -> dict[str, Path]:
    """The file or folder of each split, in the order train, dev, test.

    Raises:
        BadInput: two of them claim the same split, or train is missing.
    """
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        same = [p for p in _visible(folder) if p.is_dir() == folders and _stem(p) in names]
        if len(same) > 1:
            listed = ", ".join(p.name for p in same)
            raise BadInput(
                f"several files for the {split} split: {listed}", file=folder, remedy="keep one"
            )
        if same:
            found[split] = same[0]
    if found and "train" not in found:
        raise BadInput(
            f"there is a {next(iter(found))} split but no train split",
            file=folder,
            remedy="add train.csv, or give the one file itself",
        )
    return found


def _stem(path: Path) -> str:
    return path.name.split(".")[0].lower()


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _read_classes(folder: Path) -> Part:
    """A folder for each class, in sorted order, holding FASTA files or files of one bare sequence
    each.
    """
    classes = [p for p in _visible(folder) if p.is_dir()]
    if not classes:
        raise BadInput(
            "neither train, dev and test files nor a folder for each class",
            file=folder,
            remedy="name the files train.csv, dev.csv and test.csv, or give one file",
        )
    rows = [
        (f"{label.name}/{name}", codes, (label.name,))
        for label in classes
        for file in _visible(label)
        for name, codes in _read_bare(file)
    ]
    if not rows:
        raise BadInput("the class folders hold no sequences", file=folder)
    ids, codes, words = (list(column) for column in zip(*rows, strict=True))
    return Part(folder, ids, codes, words, ("folder",), list(range(1, len(rows) + 1)))


def _read_bare(file: Path) -> Iterator[tuple[str, Codes]]:
    if _is_fasta(file):
        yield from ((record.id, record.codes) for record in read_records(file, format="fasta"))
        return
    with open_bytes(file) as stream:
        letters = b"".join(stream.read().split())
    if not letters:
        raise BadInput("the sequence is empty", file=file)
    yield _stem(file), encode(letters, source=file)


# ---------------------------------------------------------------- one file


def _read_file(path: Path, settings: LabelSettings, genome: Genome | None) -> Part:
    if _is_bed(path):
        return _read_bed(path, settings, genome)
    if _is_fasta(path):
        return _read_fasta(path, settings)
    return _read_rows(_read_cells(path), settings, genome)


def _is_bed(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".bed")


def _is_fasta(path: Path) -> bool:
    with open_bytes(path) as stream:
        return stream.peek(64)[:64].removeprefix(BOM_UTF8).lstrip().startswith(b">")


def _split_by_column(path: Path, settings: LabelSettings, genome: Genome | None) -> dict[str, Part]:
    """One file; a table with a column `split` of train, dev and test is taken apart by it."""
    if _is_bed(path) or _is_fasta(path):
        return {"train": _read_file(path, settings, genome)}
    cells = _read_cells(path)
    column = _first_named(cells.columns, (_SPLIT_NAME,))
    if column is None:
        return {"train": _read_rows(cells, settings, genome)}
    known = {name: split for split, names in SPLIT_NAMES.items() for name in names}
    words = cells.column(column)
    strange = next((at for at, word in enumerate(words) if word.lower() not in known), None)
    if strange is not None:
        raise BadInput(
            f"column {column} holds {words[strange]!r}",
            file=path,
            line=cells.lines[strange],
            remedy="write train, dev or test, or rename the column",
        )
    splits = [known[word.lower()] for word in words]
    if "train" not in splits:
        raise BadInput(f"column {column} never says train", file=path)
    log.info("%s: rows are split by column %r", path, column)
    return {
        split: _read_rows(cells.where([s == split for s in splits]), settings, genome)
        for split in SPLIT_NAMES
        if split in splits
    }


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, eq=False)
class _Cells:
    """A table of words: rows of cells, their numbers from 1 and their lines in the file."""

    file: Path
    columns: tuple[str, ...]
    cells: list[list[str]]
    rows: list[int]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        at = self.columns.index(name)
        return [row[at].strip() for row in self.cells]

    def where(self, chosen: list[bool]) -> _Cells:
        def kept(values: list[Any]) -> list[Any]:
            return list(compress(values, chosen))

        return replace(self, cells=kept(self.cells), rows=kept(self.rows), lines=kept(self.lines))


def _read_cells(path: Path) -> _Cells:
    with open_bytes(path) as stream, open_table(stream, path) as table:
        read = list(table.rows)
    if not read:
        raise BadInput(
            "the table has no rows", file=path, remedy="sequences with labels are needed"
        )
    lines, cells = [line for line, _ in read], [row for _, row in read]
    return _Cells(path, table.columns, cells, list(range(1, len(read) + 1)), lines)


def _read_rows(table: _Cells, settings: LabelSettings, genome: Genome | None) -> Part:
    id_at = find_id_column(table.columns, None, table.file)
    ids = [str(r) for r in table.rows] if id_at is None else table.column(table.columns[id_at])
    sequence = _sequence_column(table, settings, genome)
    codes = _encoded(table, sequence, ids) if sequence else _fetched(table, ids, genome)
    columns, words = _label_words(table, settings, sequence, ids)
    log.info("%s: labels from column %s", table.file, ", ".join(f"'{c}'" for c in columns))
    group = _group_column(table.columns, settings, table.file)
    groups = None if group is None else table.column(group)
    places = _table_places(table, codes)
    return Part(table.file, ids, codes, words, columns, table.rows, table.lines, groups, places)


def _table_places(table: _Cells, codes: list[Codes]) -> RowPlaces | None:
    """Places from the columns of chromosome, start and end, if they fit the sequences.

    Coordinates whose end − start is not the length of the sequence are those of something else, or
    counted another way: they are left out, and that is said.
    """
    named = _place_columns(table.columns)
    if named is None:
        return None
    chrom, start, end = (table.column(c) for c in named)
    if not all(map(str.isdecimal, (*start, *end))):
        log.info("%s: not every row has a start and an end: places are not used", table.file)
        return None
    places = RowPlaces.of(chrom, list(map(int, start)), list(map(int, end)), _strands(table))
    unlike = np.flatnonzero(places.end - places.start != [len(c) for c in codes])
    if len(unlike):
        log.warning(
            "%s: end − start is not the length of the sequence in %d of %d rows (first in line %d):"
            " places are not used; 0-based half-open ones are",
            table.file, len(unlike), len(codes), table.lines[unlike[0]],
        )  # fmt: skip
        return None
    return places


def _strands(table: _Cells) -> list[str]:
    """The strand of each row as a BED writes it, "." where that is not known."""
    column = _first_named(table.columns, ("strand",))
    words = ["."] * len(table.cells) if column is None else table.column(column)
    for word, row, line in zip(words, table.rows, table.lines, strict=True):
        if word not in ("+", "-", ".", ""):
            raise BadInput(
                f"column {column} holds {word!r}",
                file=table.file,
                record=str(row),
                line=line,
                remedy="write +, - or .",
            )
    return [word or "." for word in words]


def _place_columns(columns: Sequence[str]) -> tuple[str, str, str] | None:
    """The columns of chromosome, start and end, or None if one is missing."""
    chrom = _first_named(columns, _CHROM_NAMES)
    start, end = _first_named(columns, ("start",)), _first_named(columns, ("end",))
    return (chrom, start, end) if chrom and start and end else None


def _sequence_column(table: _Cells, settings: LabelSettings, genome: Genome | None) -> str | None:
    """The column of sequences; None where rows are places in a genome instead."""
    placed = genome is not None and _place_columns(table.columns) is not None
    named = settings.sequence_column or _first_named(table.columns, ("sequence",))
    if placed and named is None:
        return None
    return table.columns[find_sequence_column(table.columns, settings.sequence_column, table.file)]


def _encoded(table: _Cells, column: str, ids: list[str]) -> list[Codes]:
    codes, counts = [], LetterCounts()
    for letters, name, line in zip(table.column(column), ids, table.lines, strict=True):
        if not letters:
            raise BadInput(
                "the sequence is empty",
                file=table.file,
                record=name,
                line=line,
                remedy="remove the row, or fill it in",
            )
        found, more = encode_counted(letters, source=table.file, record=name, line=line)
        codes.append(found)
        counts += more
    tell_counts(counts, str(table.file))
    return codes


def _fetched(table: _Cells, ids: list[str], genome: Genome | None) -> list[Codes]:
    """Sequences of the places chrom, start, end (0-based half-open) and strand of each row."""
    if genome is None:
        raise ValueError("places need a genome")
    named = _place_columns(table.columns) or ()
    places = zip(*(table.column(c) for c in named), _strands(table), strict=True)
    codes = []
    for at, (chrom, start, end, strand) in enumerate(places):
        inside = start.isdecimal() and end.isdecimal() and int(start) < int(end)
        found = genome.fetch(chrom, int(start), int(end), strand) if inside else None
        if found is None or not found.inside.all():
            raise BadInput(
                f"{chrom}:{start}-{end} is no place in {genome.source}",
                file=table.file,
                record=ids[at],
                line=table.lines[at],
                remedy="check that the coordinates are 0-based and belong to this genome build",
            )
        codes.append(found.codes)
    return codes


def _label_words(
    table: _Cells, settings: LabelSettings, sequence: str | None, ids: list[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names of the label columns and the words of each row in them."""
    if settings.label_table is not None:
        return ("label",), _from_label_table(table.file, settings.label_table, ids)
    columns = _label_columns(table.columns, settings, sequence, table.file)
    return columns, list(zip(*(table.column(c) for c in columns), strict=True))


def _label_columns(
    columns: tuple[str, ...], settings: LabelSettings, sequence: str | None, file: Path
) -> tuple[str, ...]:
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
    """The column that is named as labels are, or the only one whose use is not known; else None.

    `sequence` and `group` are the columns that are those.
    """
    taken = {sequence, group, _first_named(columns, (_SPLIT_NAME,))}
    free = [c for c in columns if c not in taken]
    named = _first_named(free, _LABEL_NAMES)
    if named is not None:
        return named
    # Names of the row and of its place are no labels.
    id_at = find_id_column(columns, None, "")
    known = {*_PLACE_NAMES, "" if id_at is None else columns[id_at].lower()}
    left = [c for c in free if c.lower() not in known]
    return left[0] if len(left) == 1 else None


def _first_named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column whose lower-case name comes first in `names`."""
    lower = {c.lower(): c for c in columns}
    return next((lower[name] for name in names if name in lower), None)


def _group_column(columns: Sequence[str], settings: LabelSettings, file: Path) -> str | None:
    if settings.group_column is None:
        return None
    return columns[need_column(columns, settings.group_column, file)]


# ---------------------------------------------------------------- BED and FASTA


def _read_bed(path: Path, settings: LabelSettings, genome: Genome | None) -> Part:
    """Intervals with a genome; the label is the name (4th column) unless --label-column says
    otherwise.
    """
    if genome is None:
        raise BadInput("intervals need a genome", file=path, remedy="give its FASTA with -g")
    table = read_bed(path)
    names = [str(c) for c in table.columns if c != LINE]
    columns = tuple(names[need_column(names, c, path)] for c in settings.label_columns or ("name",))
    group = _group_column(names, settings, path)
    refuse_unknown(genome, table, path)
    records = list(bed_records(table, genome, path))
    ids = [f"{r.chrom}:{r.start}-{r.end}" for r in records]
    words = list(zip(*([_bed_word(v) for v in table[c]] for c in columns), strict=True))
    log.info("%s: labels from column %s", path, ", ".join(f"'{c}'" for c in columns))
    return Part(
        path,
        ids,
        [r.codes for r in records],
        words,
        columns,
        list(range(1, len(ids) + 1)),
        [int(line) for line in table[LINE]],
        None if group is None else [str(v) for v in table[group]],
        RowPlaces.of(*(table[c].tolist() for c in ("chrom", "start", "end", "strand"))),
    )


def _bed_word(value: object) -> str:
    """A cell as a word; BED writes a gap as a point."""
    word = str(value).strip()
    return "" if word == "." else word


def _read_fasta(path: Path, settings: LabelSettings) -> Part:
    """Labels from `label=X` or a last `|X` in each header, or from a table of id and label beside
    the file.
    """
    if settings.group_column is not None:
        raise BadInput(
            "a FASTA file has no columns to group by",
            file=path,
            remedy="write a CSV with the columns sequence, label and the group",
        )
    records = list(read_records(path, format="fasta"))
    ids = [record.id for record in records]
    beside = settings.label_table or _table_beside(path)
    if beside is not None:
        words = _from_label_table(path, beside, ids)
    else:
        words = [(_header_label(record.title, path),) for record in records]
    log.info("%s: labels from %s", path, beside or "its headers")
    rows = list(range(1, len(ids) + 1))
    return Part(path, ids, [r.codes for r in records], words, ("label",), rows)


def _header_label(header: str, path: Path) -> str:
    found = _HEADER_LABEL.search(header)
    if found:
        return found[1]
    first = header.split()[0]
    if "|" in first:
        return first.rsplit("|", 1)[1]
    raise BadInput(
        "the header holds no label",
        file=path,
        record=first,
        remedy="write label=X into every header, end its first word with |X, or give --label-table",
    )


def _table_beside(path: Path) -> Path | None:
    """`reads.labels.tsv`, `reads.tsv` or the same with csv beside `reads.fa`."""
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    names = [f"{stem}{middle}.{end}" for middle in (".labels", "") for end in ("tsv", "csv")]
    return next((path.with_name(n) for n in names if path.with_name(n).is_file()), None)


def _from_label_table(path: Path, file: Path, ids: list[str]) -> list[tuple[str, ...]]:
    """The label of each id in a table with the columns id and label, or else its first two."""
    table = _read_cells(file)
    if len(table.columns) < 2:
        raise BadInput("a label table has two columns, id and label", file=file)
    id_at = find_id_column(table.columns, None, file) or 0
    label = _first_named(table.columns, _LABEL_NAMES) or table.columns[1]
    known: dict[str, str] = {}
    pairs = zip(table.column(table.columns[id_at]), table.column(label), table.lines, strict=True)
    for name, word, line in pairs:
        if known.setdefault(name, word) != word:
            raise BadInput("this id has two labels", file=file, record=name, line=line)
    missing = next((name for name in ids if name not in known), None)
    if missing is not None:
        raise BadInput(f"no label for this sequence in {file}", file=path, record=missing)
    unused = len(known.keys() - set(ids))
    if unused:
        log.warning("%s: %d labels belong to no sequence of %s", file, unused, path)
    return [(known[name],) for name in ids]
