"""Files of labelled sequences, with labels still as text.

A *part* is the content of one file (or one folder of classes): sequences as codes and, for each
row, the text of its label columns. `data.labels` turns the text of all parts into classes or
numbers.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path

from findna.data.label_tables import (
    SPLIT_NAME,
    from_label_table,
    group_column,
    holds_labels,
    named_label_column,
    read_cells,
    read_rows,
)
from findna.data.parts import SPLIT_NAMES, LabelSettings, Part
from findna.data.places import RowPlaces
from findna.files import BadInput, log, open_bytes
from findna.sequence.alphabet import Codes, encode
from findna.sequence.genome import Genome
from findna.sequence.intervals import (
    BED_COLUMNS,
    LINE,
    names_columns,
    read_bed,
    refuse_unknown,
)
from findna.sequence.records import bed_records, format_of, read_records
from findna.sequence.tables import first_named, need_column

# Endings of files that accompany a FASTA.
_BESIDE = (".fai", ".gzi", ".regions.tsv")
_BARE = re.compile(rb"[A-Za-z*.-]*")
_LINE = 1 << 10
_LABELLED = (
    "give a table with the columns sequence and label, a FASTA with label=X in its headers, or a"
    " BED with -g"
)
# Of `label=a;b;len=9` the labels are a and b: what follows a semicolon may be the next field.
_HEADER_LABEL = re.compile(
    r"(?:^|[\s;|])label=(?:\"(?P<quoted>[^\"]+)\"|(?P<plain>[^\s|]+?)(?=;[^;=\s|]+=|;?(?:[\s|]|$)))",
    re.IGNORECASE,
)

# After an unquoted label, a word that begins no other field.
_MORE_WORDS = re.compile(r"\s+[^\s=|;]+(\s|$)")


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
    _refuse_unused(
        path, settings, ("sequence_column", "group_column", "label_column", "label_table")
    )
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
        same = [p for p in same if not _stands_beside(p, same)]
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
            remedy="add train.csv, or give a single file",
        )
    return found


def _stands_beside(path: Path, files: Sequence[Path]) -> bool:
    """Whether a file accompanies another: its index, its regions, or the labels of a FASTA."""
    others = [other for other in files if other != path]
    named = any(path.name == f"{other.name}{end}" for other in others for end in _BESIDE)
    return named or any(
        path.name in _label_tables(other) and other.is_file() and _is_fasta(other)
        for other in others
    )


def _stem(path: Path) -> str:
    return path.name.split(".")[0].lower()


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _read_classes(folder: Path) -> Part:
    """A folder per class, in sorted order, with FASTA files or files of one bare sequence each."""
    classes = [p for p in _visible(folder) if p.is_dir()]
    if not classes:
        raise BadInput(
            "has neither train, dev and test files nor a folder per class",
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
        raise BadInput("the class folders have no sequences", file=folder)
    ids, codes, words = (list(column) for column in zip(*rows, strict=True))
    return Part(folder, ids, codes, words, ("folder",), list(range(1, len(rows) + 1)))


def _read_bare(file: Path) -> Iterator[tuple[str, Codes]]:
    if file.is_dir():
        raise _no_class_folder(file, "is a folder")
    kind = _kind_of(file)
    if kind == "bed":
        raise BadInput(
            "is a BED: class folders hold sequences",
            file=file,
            remedy="put all intervals into one BED with a column headed label",
        )
    if kind == "fasta":
        yield from ((record.id, record.codes) for record in read_records(file, format="fasta"))
        return
    with open_bytes(file) as stream:
        lines = stream.read().split()
    letters = b"".join(lines)
    if not letters:
        raise BadInput("the sequence is empty", file=file)
    if not _BARE.fullmatch(letters):
        raise _no_class_folder(file, "is not a sequence")
    if len(lines) > 1 and not _wrapped(lines):
        raise BadInput(
            f"{len(lines)} lines of letters may be one sequence or as many",
            file=file,
            remedy="write one sequence per file on one line, or a FASTA with a line >name above"
            " each",
        )
    yield Path(file.name.removesuffix(".gz")).stem, encode(letters, source=file)


def _wrapped(lines: Sequence[bytes]) -> bool:
    """Whether these are the lines of one sequence: equally long, and the last one shorter."""
    return {len(line) for line in lines[:-1]} == {len(lines[0])} and len(lines[-1]) < len(lines[0])


def _no_class_folder(file: Path, problem: str) -> BadInput:
    return BadInput(
        f"{problem}: a folder per class holds FASTA files, or files of one bare sequence each",
        file=file,
        remedy=f"if {file.parent.parent} has a folder per task, name one: {file.parent}",
    )


def _refuse_unused(path: Path, settings: LabelSettings, names: Sequence[str]) -> None:
    """Refuse settings that would have no effect."""
    for name in names:
        if getattr(settings, name) is not None:
            raise BadInput(
                f"--{name.replace('_', '-')} does not apply to these data",
                file=path,
                remedy="leave it out, or write one table (CSV) with the columns sequence, label"
                " and any others needed",
            )


# ---------------------------------------------------------------- one file


def _read_file(path: Path, settings: LabelSettings, genome: Genome | None) -> Part:
    kind = _kind_of(path)
    if kind == "bed":
        return _read_bed(path, settings, genome)
    if kind == "fasta":
        return _read_fasta(path, settings)
    return read_rows(read_cells(path), settings, genome)


def _kind_of(path: Path) -> str:
    """fasta, bed or table; `BadInput` for a format that has no labels.

    Intervals under a line of column names are a table, which may have a column `split`, unless the
    file is called .bed.
    """
    if path.name.lower().removesuffix(".gz").endswith(".bed"):
        return "bed"
    with open_bytes(path) as stream:
        kind = format_of(stream, "")  # without the name, which the rule above decides
        start = stream.peek(_LINE)[:_LINE].removeprefix(BOM_UTF8)
    if kind == "fastq":
        raise BadInput(
            "looks like a FASTQ, whose reads have no labels", file=path, remedy=_LABELLED
        )
    if kind in ("vcf", "gff"):
        what = "a VCF or BCF" if kind == "vcf" else "a GFF or GTF"
        raise BadInput(f"is {what}, not labelled data", file=path, remedy=_LABELLED)
    headed = names_columns(start.decode("utf-8", "replace"))
    return "table" if kind == "bed" and headed else kind


def _is_fasta(path: Path) -> bool:
    with open_bytes(path) as stream:
        return format_of(stream, path) == "fasta"


def _split_by_column(path: Path, settings: LabelSettings, genome: Genome | None) -> dict[str, Part]:
    """One file; a table with a column `split` (train, dev, test) is split by it."""
    if _kind_of(path) != "table":
        return {"train": _read_file(path, settings, genome)}
    cells = read_cells(path)
    column = first_named(cells.columns, (SPLIT_NAME,))
    if column is None:
        return {"train": read_rows(cells, settings, genome)}
    known = {name: split for split, names in SPLIT_NAMES.items() for name in names}
    words = cells.column(column)
    strange = next((at for at, word in enumerate(words) if word.lower() not in known), None)
    if strange is not None:
        raise BadInput(
            f"column {column} has {words[strange]!r}",
            file=path,
            line=cells.lines[strange],
            remedy="write train, dev or test, or rename the column",
        )
    splits = [known[word.lower()] for word in words]
    if "train" not in splits:
        raise BadInput(f"column {column} has no train", file=path)
    log.info("%s: rows are split by column %r", path, column)
    return {
        split: read_rows(cells.where([s == split for s in splits]), settings, genome)
        for split in SPLIT_NAMES
        if split in splits
    }


# ---------------------------------------------------------------- BED and FASTA


def _read_bed(path: Path, settings: LabelSettings, genome: Genome | None) -> Part:
    """Intervals of a genome; labels come from --label-column, else a column with a usual name for
    labels, else the name (4th column).
    """
    if genome is None:
        raise BadInput("intervals need a genome", file=path, remedy="give its FASTA with -g")
    _refuse_unused(path, settings, ("sequence_column", "label_table"))
    table = read_bed(path)
    names = [str(c) for c in table.columns if c != LINE]
    more = [c for c in names if c not in BED_COLUMNS]
    wanted = settings.label_columns or (named_label_column(more) or "name",)
    columns = tuple(names[need_column(names, c, path)] for c in wanted)
    group = group_column(names, settings, path)
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
        None if group is None else [_bed_word(v) for v in table[group]],
        RowPlaces.of(*(table[c].tolist() for c in ("chrom", "start", "end", "strand"))),
    )


def _bed_word(value: object) -> str:
    """The text of a cell; a BED writes "." for no value."""
    word = str(value).strip()
    return "" if word == "." else word


def _read_fasta(path: Path, settings: LabelSettings) -> Part:
    """Labels from `label=X` or a final `|X` in each header, or from a table of id and label next to
    the file.
    """
    records = list(read_records(path, format="fasta"))
    ids, titles = [record.id for record in records], [record.title for record in records]
    beside = settings.label_table or _table_beside(path, settings)
    unused = ("sequence_column", "group_column", *(() if beside else ("label_column",)))
    _refuse_unused(path, settings, unused)
    if beside is not None and settings.label_table is None:
        _refuse_two_sources(path, beside, titles)
    if beside is not None:
        columns, words = from_label_table(path, beside, ids, settings)
    else:
        columns, words = ("label",), [(_header_label(title, path),) for title in titles]
        _tell_words_behind(path, titles)
    log.info("%s: labels from %s", path, beside or "its headers")
    rows = list(range(1, len(ids) + 1))
    return Part(path, ids, [r.codes for r in records], words, columns, rows)


def _refuse_two_sources(path: Path, beside: Path, titles: Sequence[str]) -> None:
    if titles and all(map(_HEADER_LABEL.search, titles)):
        raise BadInput(
            f"labels are in its headers and, apparently, in {beside.name}",
            file=path,
            remedy=f"--label-table {beside} takes those; for the headers' move the table away",
        )


def _tell_words_behind(path: Path, titles: Sequence[str]) -> None:
    """Warn where a label may have more than one word."""
    found = [label for label in map(_HEADER_LABEL.search, titles) if label and label["plain"]]
    more = [label for label in found if _MORE_WORDS.match(label.string, label.end())]
    if more:
        log.warning(
            "%s: a label ends at a blank: %s in %r and %d more; label=\"two words\" has both",
            path, more[0]["plain"], more[0].string, len(more) - 1,
        )  # fmt: skip


def _header_label(header: str, path: Path) -> str:
    found = _HEADER_LABEL.search(header)
    if found:
        return found["quoted"] or found["plain"]
    first = header.split()[0]
    if "|" in first:
        return first.rsplit("|", 1)[1]
    raise BadInput(
        "the header has no label",
        file=path,
        record=first,
        remedy="write label=X into every header, end its first word with |X, or give --label-table",
    )


def _table_beside(path: Path, settings: LabelSettings) -> Path | None:
    beside = map(path.with_name, _label_tables(path))
    return next((t for t in beside if t.is_file() and holds_labels(t, settings)), None)


def _label_tables(path: Path) -> list[str]:
    """`reads.labels.tsv`, `reads.tsv` or the same with csv, of `reads.fa`."""
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return [f"{stem}{middle}.{end}" for middle in (".labels", "") for end in ("tsv", "csv")]
