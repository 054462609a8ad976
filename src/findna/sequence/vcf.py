"""VCF as text: rows in, rows out, with nothing changed but our own INFO fields.

A row is split into its first eight columns and the rest, and what is not ours is never parsed:
samples, phase, undeclared tags and bytes that are not UTF-8 come out unchanged. BCF is read as the
text that htslib makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from findna.files import BCF_MAGIC, BadInput, log, open_bytes
from findna.sequence.bcf import bcf_lines

PREFIX = "FINDNA_"
_HEADER_PREFIX = "##findna_"
_FORMAT = "##fileformat="
_FIXED = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_POSITION = re.compile("[0-9]{1,10}")
_CONTIG = re.compile(r"##contig=<(?:.*,)?ID=([^,>]+)(?:,.*)?>")
_LENGTH = re.compile(r"[<,]length=([0-9]+)[,>]")
_REMEDY = "a VCF has tab-separated CHROM POS ID REF ALT QUAL FILTER INFO"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `cells` are the eight fixed columns, `rest` the text after INFO.

    `number` counts rows from 0, `line` the lines of the file from 1.
    """

    number: int
    line: int
    cells: list[str]
    rest: str

    @property
    def chrom(self) -> str:
        """The chromosome name as written."""
        return self.cells[0]

    @property
    def pos(self) -> int:
        """The 1-based position of the first base of REF."""
        return int(self.cells[1])

    @property
    def ref(self) -> str:
        """The reference allele as written."""
        return self.cells[3]

    @property
    def alts(self) -> list[str]:
        """The alternative alleles as written; none for `.`."""
        return [] if self.cells[4] in (".", "") else self.cells[4].split(",")

    @property
    def info(self) -> str:
        """The INFO column."""
        return self.cells[7]

    def text(self, info: str | None = None) -> str:
        """The row without its line end, with another INFO column if one is given."""
        return "\t".join((*self.cells[:7], self.info if info is None else info)) + self.rest


@dataclass(frozen=True)
class Vcf:
    """An open VCF: `header` lines, of which the last has the column names, and a stream of
    `rows`.
    """

    source: str
    header: list[str]
    rows: Iterator[Row]


class InfoField(NamedTuple):
    """One of our INFO fields: its name, and `Number`, `Type` and description in the header."""

    name: str
    number: str
    type: str
    description: str

    def header_line(self) -> str:
        """Its declaration."""
        said = self.description.replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"##INFO=<ID={self.name},Number={self.number},Type={self.type},"
            f'Description="{" ".join(said.split())}">'
        )


class Scored(NamedTuple):
    """A row with its values: texts (fields, alleles) as written in INFO, `.` for no value.

    Alleles are the alternative ones; a row without any has one entry per field.
    """

    row: Row
    values: Sequence[Sequence[str]]


# Reading --------------------------------------------------------------------------------------


@contextmanager
def open_vcf(path: str | Path) -> Iterator[Vcf]:
    """Open VCF (plain, gzip or bgzip) or BCF, detected by the first bytes; "-" is standard input.

    Rows without a header get a minimal one, with a warning. Empty lines are skipped. `BadInput`
    with the line number for what is not VCF.
    """
    with open_bytes(path) as stream:
        if stream.peek(4).startswith(BCF_MAGIC):
            with bcf_lines(stream, path) as lines:
                yield vcf_from(lines, str(path))
        else:
            yield vcf_from(_lines(stream), str(path))


def vcf_from(lines: Iterable[str], source: str) -> Vcf:
    """A VCF from its lines."""
    numbered = ((n, line) for n, line in enumerate(lines, 1) if line.strip())
    header: list[str] = []
    for number, line in numbered:
        if line.startswith("##"):
            header.append(line)
        elif line.startswith("#"):
            _refuse_columns(line, number, source)
            return Vcf(source, _complete([*header, line], source), _rows(numbered, line, source))
        else:
            _row(0, line, line.count("\t"), number, source)
            header = _complete([*header, _column_line(line)], source)
            rows = _rows(chain([(number, line)], numbered), header[-1], source)
            return Vcf(source, header, rows)
    return Vcf(source, _complete([*header, "\t".join(_FIXED)], source), iter(()))


def _lines(stream: BufferedIOBase) -> Iterator[str]:
    """Lines without `\\n`; a `\\r` stays, and bytes that are not UTF-8 stay as surrogates."""
    for number, raw in enumerate(stream):
        text = raw.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")
        yield text.removesuffix("\n")


def _refuse_columns(line: str, number: int, source: str) -> None:
    if tuple(line.rstrip("\r").split("\t")[: len(_FIXED)]) != _FIXED:
        raise BadInput("is not the header line of a VCF", file=source, line=number, remedy=_REMEDY)


def _column_line(row: str) -> str:
    """Column names for a row: the fixed ones, FORMAT, and S1, S2, ... for samples."""
    samples = row.count("\t") + 1 - len(_FIXED) - 1
    further = ["FORMAT"] if samples >= 0 else []
    return "\t".join((*_FIXED, *further, *(f"S{k}" for k in range(1, samples + 1))))


def _complete(header: list[str], source: str) -> list[str]:
    if header[0].startswith(_FORMAT):
        return header
    log.warning("%s: has no VCF header; a minimal one is written", source)
    return [f"{_FORMAT}VCFv4.2", *(line for line in header if not line.startswith(_FORMAT))]


def _rows(numbered: Iterator[tuple[int, str]], columns: str, source: str) -> Iterator[Row]:
    tabs = columns.count("\t")
    for count, (number, line) in enumerate(numbered):
        yield _row(count, line, tabs, number, source)


def _row(count: int, line: str, tabs: int, number: int, source: str) -> Row:
    if line.startswith("#"):
        problem = "is a header line among the rows"
        remedy = "join VCF files with bcftools concat"
        raise BadInput(problem, file=source, line=number, remedy=remedy)
    if line.count("\t") != tabs or tabs < len(_FIXED) - 1:
        asked = f"the header names {tabs + 1}" if tabs >= len(_FIXED) - 1 else "a VCF has 8"
        problem = f"has {line.count(chr(9)) + 1} columns where {asked}"
        raise BadInput(problem, file=source, line=number, remedy=_REMEDY)
    *cells, last = line.split("\t", len(_FIXED) - 1)
    info, tab, rest = last.partition("\t")
    if not tab and info.endswith("\r"):
        info, rest = info[:-1], "\r"
    if not _POSITION.fullmatch(cells[1]):
        problem = f"POS is {cells[1][:40]!r}, not a whole number"
        raise BadInput(problem, file=source, line=number, remedy=_REMEDY)
    return Row(count, number, [*cells, info], tab + rest)


# Header ---------------------------------------------------------------------------------------


def contig_lengths(header: Iterable[str]) -> dict[str, int]:
    """Name -> length, from the `##contig` lines that have one."""
    found: dict[str, int] = {}
    for line in header:
        name, length = _CONTIG.match(line), _LENGTH.search(line)
        if name and length:
            found[name.group(1)] = int(length.group(1))
    return found


def holds_ours(header: Iterable[str]) -> bool:
    """Whether a header has lines of an earlier run of findna."""
    return any(_is_ours(line) for line in header)


def with_fields(
    header: Sequence[str], facts: Mapping[str, str], fields: Iterable[InfoField]
) -> list[str]:
    """A header with `##findna_FACT=...` lines and fields before the column names, in place of
    those of an earlier run.
    """
    kept = [line for line in header[:-1] if not _is_ours(line)]
    end = "\r" if header[-1].endswith("\r") else ""
    said = [f"{_HEADER_PREFIX}{key}={' '.join(text.split())}" for key, text in facts.items()]
    ours = [line + end for line in (*(f.header_line() for f in fields), *said)]
    return [*kept, *ours, header[-1]]


def facts_of(header: Iterable[str]) -> dict[str, str]:
    """The `##findna_FACT=...` lines of a header."""
    ours = (line.rstrip("\r") for line in header if line.startswith(_HEADER_PREFIX))
    return {
        key: text for key, _, text in (x.removeprefix(_HEADER_PREFIX).partition("=") for x in ours)
    }


def _is_ours(line: str) -> bool:
    return line.startswith((_HEADER_PREFIX, f"##INFO=<ID={PREFIX}"))


# INFO -----------------------------------------------------------------------------------------


def scored_info(scored: Scored, fields: Sequence[InfoField]) -> str:
    """INFO with our fields appended, in place of those of an earlier run; a field without any value
    is left out.
    """
    ours = [
        f"{field.name}={','.join(texts)}"
        for field, texts in zip(fields, scored.values, strict=True)
        if any(text != "." for text in texts)
    ]
    info = without_ours(scored.row.info)
    if not ours:
        return info
    if info in (".", ""):
        return ";".join(ours)
    return info + ("" if info.endswith(";") else ";") + ";".join(ours)


def without_ours(info: str) -> str:
    """INFO without our fields; `.` if nothing remains."""
    if PREFIX not in info:
        return info
    kept = [entry for entry in info.split(";") if not entry.startswith(PREFIX)]
    return ";".join(kept) or "."


def read_scored(row: Row, fields: Sequence[InfoField]) -> Scored:
    """Read back what `scored_info` wrote into a row."""
    entries = dict(entry.split("=", 1) for entry in row.info.split(";") if entry.startswith(PREFIX))
    alleles = max(1, len(row.alts))
    values = [entries[f.name].split(",") if f.name in entries else ["."] * alleles for f in fields]
    if any(len(texts) != alleles for texts in values):
        raise BadInput(f"INFO of row {row.number + 1:,} does not have a value for each allele")
    return Scored(row, values)


def declared_fields(header: Iterable[str]) -> list[InfoField]:
    """Our fields as a header declares them, with descriptions still escaped."""
    pattern = re.compile(
        rf'##INFO=<ID=({PREFIX}[\w.]+),Number=([^,]+),Type=(\w+),Description="(.*)">\r?'
    )
    return [InfoField(*found.groups()) for line in header if (found := pattern.fullmatch(line))]


def info_word(text: str) -> str:
    """Text as one INFO value: blanks become `_`, reserved characters are percent-encoded."""
    text = "_".join(text.split())
    return re.sub(r"[%;=,:]", lambda letter: f"%{ord(letter.group()):02X}", text) or "_"
