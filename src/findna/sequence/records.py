"""Streams of sequences: from FASTA, FASTQ, tables, and BED with a genome.

Order and number of rows are kept: every record is returned, or refused with its line number.
"""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
import pandas as pd

from findna.files import BCF_MAGIC, BadInput, log, open_bytes
from findna.sequence import fasta
from findna.sequence.alphabet import (
    Codes,
    LetterCounts,
    codes_of,
    count_marks,
    encode_counted,
    tell_counts,
)
from findna.sequence.genome import Genome
from findna.sequence.intervals import (
    GFF_TO_BED,
    LINE,
    bed_from,
    is_bed_line,
    is_gff_line,
    is_no_row,
    names_columns,
    refuse_unknown,
)
from findna.sequence.placed import bed_of_places, place_columns
from findna.sequence.tables import (
    MISSING,
    PARQUET_MAGIC,
    find_id_column,
    find_sequence_column,
    names_sequences,
    open_table,
    usual_sequence_column,
)

RecordFormat = Literal["auto", "fasta", "fastq", "table", "bed"]
_SNIFFED = 1 << 12


@dataclass(frozen=True, slots=True)
class Record:
    """One sequence, codes uint8 (L,) in reading direction, with its interval if from a genome.

    `start` and `end` are 0-based half-open, `strand` is "+", "-" or "."; `title` is the whole
    header line of a FASTA record.
    """

    id: str
    codes: Codes
    chrom: str | None = None
    start: int | None = None
    end: int | None = None
    strand: str | None = None
    title: str = ""


def read_records(
    path: str | Path,
    *,
    genome: Genome | None = None,
    format: RecordFormat = "auto",
    sequence_column: str | None = None,
    id_column: str | None = None,
) -> Iterator[Record]:
    """The records of a file ("-": standard input), gzip or not, one at a time in file order.

    The format is detected from the content (`format` overrides): FASTA, FASTQ, a table (CSV, TSV,
    parquet), or a BED, which needs `genome`; if a column is given it is a table. The sequence and
    id columns of a table are found by their usual names unless given; its rows may be intervals of
    `genome` (chrom, start, end; 0-based half-open). Without a name, the id of a row is its number,
    from 1, and that of a BED row is chrom:start-end, 0-based half-open. IUPAC codes become N, U
    becomes T, and both counts are logged at the end. An empty file has no records. `BadInput`: an
    unknown character, an empty sequence, an interval off the genome, and anything else that is
    wrong with a file.
    """
    with open_bytes(path) as stream:
        if format == "auto" and not stream.peek(1):
            return
        kind = format if format != "auto" else format_of(stream, path)
        if sequence_column is not None or id_column is not None:
            kind = _with_columns(kind, path)
        refuse_without_sequences(kind, path)
        if kind == "fasta":
            yield from _fasta_records(stream, path)
        elif kind == "fastq":
            yield from _fastq_records(stream, path)
        elif kind == "bed":
            yield from _bed_records(stream, path, genome)
        else:
            yield from _table_records(stream, path, sequence_column, id_column, genome)


def _with_columns(kind: str, path: str | Path) -> Literal["table"]:
    """The format of a file of which a column was given."""
    if kind not in ("fasta", "fastq"):
        return "table"
    raise BadInput(
        f"is {kind.upper()}, which has no columns",
        file=path,
        remedy="leave out --sequence-column and --id-column",
    )


_ALIGNED = re.compile(rb"@(HD|SQ|RG|PG|CO)\t")


def refuse_without_sequences(kind: str, path: str | Path) -> None:
    """`BadInput` with a remedy if `kind`, a format of `format_of`, has no sequences."""
    if kind == "vcf":
        raise BadInput(
            "is a VCF or BCF: it holds variants, not sequences",
            file=path,
            remedy="findna score-variants reads it",
        )
    if kind == "sam":
        raise BadInput("is a SAM file", file=path, remedy="samtools fasta makes a FASTA of it")
    if kind == "genbank":
        problem = "looks like GenBank or EMBL"
        raise BadInput(problem, file=path, remedy="ask the archive for FASTA")
    if kind == "gff":
        raise BadInput(
            "is a GFF or GTF: it holds features, not sequences",
            file=path,
            remedy=f"make a BED of those you need, and give the FASTA with -g: {GFF_TO_BED}",
        )


_VARIANTS = re.compile(r"#?chrom\tpos\t", re.IGNORECASE)


def format_of(
    stream: io.BufferedReader, path: str | Path
) -> Literal["fasta", "fastq", "table", "bed", "vcf", "gff", "sam", "genbank"]:
    """The format of a file, by content before extension, which is wrong more often. The stream is
    only peeked at.
    """
    seen = stream.peek(_SNIFFED)[:_SNIFFED]
    start = seen.removeprefix(BOM_UTF8).lstrip()
    if start.startswith(b">"):
        return "fasta"
    if start.startswith(b"@"):
        return "sam" if _ALIGNED.match(start) else "fastq"
    if start.startswith((b"LOCUS  ", b"ID   ")):
        return "genbank"
    if start.startswith((b"##fileformat=VCF", BCF_MAGIC)):
        return "vcf"
    if start.startswith(PARQUET_MAGIC):
        return "table"
    lines = start.decode("utf-8", "replace").splitlines() or [""]
    if len(lines) > 1 and len(seen) >= _SNIFFED:
        lines.pop()  # cut off by the end of the peek
    row = next((line for line in lines if not is_no_row(line)), None)
    if start.startswith(b"##gff-version") or (row is not None and is_gff_line(row)):
        return "gff"
    if ".bed" in PurePath(path).suffixes:
        return "bed"
    # A table of variants: its second column is a position, and its third may be a number.
    if _VARIANTS.match(lines[0]):
        return "table"
    # A chromosome may be called seq: a line with coordinates is not a header.
    if names_sequences(lines[0]) and not is_bed_line(lines[0]):
        return "table"
    if row is not None:
        # After a header with other names it is a table, whatever its cells look like.
        return "bed" if is_bed_line(row) or names_columns(row) else "table"
    # A table has one header, of several cells; only a BED has other comments before its rows.
    commented = len(lines) > 1 or (lines[0] and not re.search("[\t;,]", lines[0]))
    return "bed" if commented else "table"


def span_of(shortest: int, longest: int) -> str:
    """A range of lengths as text: "64 to 512 bp", or "64 bp" if both are equal."""
    return f"{shortest:,} bp" if shortest == longest else f"{shortest:,} to {longest:,} bp"


class SequenceReader:
    """Encodes the sequences of one source, refuses empty ones and counts changed characters."""

    def __init__(self, source: str | Path) -> None:
        self.source = source
        self.counts = LetterCounts()

    def encode(self, letters: str | bytes, record: str, line: int) -> Codes:
        """Codes of the sequence on `line`."""
        if not letters:
            raise BadInput(
                "the sequence is empty",
                file=self.source,
                record=record,
                line=line,
                remedy="remove the row, or fill it in",
            )
        codes, counts = encode_counted(letters, source=self.source, record=record, line=line)
        self.counts += counts
        return codes

    def encode_cell(self, cell: str, record: str, line: int) -> Codes:
        """Codes of a table cell; NA and its synonyms are an empty sequence."""
        letters = cell.strip()
        return self.encode("" if letters in MISSING else letters, record, line)

    def close(self) -> None:
        """Log what was changed."""
        tell_counts(self.counts, str(self.source))


def _fasta_records(stream: io.BufferedReader, source: str | Path) -> Iterator[Record]:
    counts = LetterCounts()
    opened, parts = fasta.Piece("", 0, True, np.empty(0, np.uint8)), list[Codes]()
    for piece in fasta.read_pieces(stream, source):
        if piece.first:
            if parts:
                yield Record(opened.record, np.concatenate(parts), title=opened.title)
            opened, parts = piece, []
        else:
            counts += count_marks(piece.marked)
            parts.append(codes_of(piece.marked))
    yield Record(opened.record, np.concatenate(parts), title=opened.title)
    tell_counts(counts, str(source))


def _fastq_records(stream: io.BufferedReader, source: str | Path) -> Iterator[Record]:
    """Records of four lines each, the form that sequencers write."""
    reader, line = SequenceReader(source), 1
    while header := stream.readline():
        if header.strip():
            letters, plus, quality = (stream.readline().strip() for _ in range(3))
            words = header[1:].split(None, 1)
            name = words[0].decode("utf-8", "replace") if words else str(line)
            if header[:1] != b"@" or plus[:1] != b"+" or len(letters) != len(quality):
                raise BadInput(
                    "is not a complete FASTQ record (@name, bases, +, as many qualities)",
                    file=source,
                    record=name,
                    line=line,
                    remedy="the file may be truncated, or have sequences over several lines",
                )
            yield Record(name, reader.encode(letters, name, line + 1))
            line += 3
        line += 1
    reader.close()


def _table_records(
    stream: io.BufferedReader,
    source: str | Path,
    sequence: str | None,
    name: str | None,
    genome: Genome | None,
) -> Iterator[Record]:
    reader = SequenceReader(source)
    with open_table(stream, source) as table:
        if sequence is None and genome is not None and holds_places(table.columns):
            read = list(table.rows)
            lines, placed = [line for line, _ in read], [row for _, row in read]
            yield from placed_records(table.columns, placed, lines, name, genome, source)
            return
        column = find_sequence_column(table.columns, sequence, source)
        names = find_id_column(table.columns, name, source)
        for row, (line, cells) in enumerate(table.rows, 1):
            record = str(row) if names is None else cells[names]
            yield Record(record, reader.encode_cell(cells[column], record, line))
    reader.close()


def holds_places(columns: Sequence[str]) -> bool:
    """Whether the rows of a table are intervals of a genome, and not sequences."""
    return place_columns(columns) is not None and usual_sequence_column(columns) is None


def placed_records(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    lines: Sequence[int],
    name: str | None,
    genome: Genome,
    source: str | Path,
) -> Iterator[Record]:
    """The sequences of rows that are intervals: chromosome, start, end (0-based half-open),
    strand.
    """
    at = find_id_column(columns, name, source)
    ids = ["." if at is None else row[at] for row in cells]
    bed = bed_of_places(columns, cells, ids, lines, source)
    refuse_unknown(genome, bed, source)
    yield from bed_records(bed, genome, source)


def _bed_records(
    stream: io.BufferedReader, source: str | Path, genome: Genome | None
) -> Iterator[Record]:
    if genome is None:
        raise BadInput(
            "is a BED: intervals need a genome", file=source, remedy="give its FASTA with -g"
        )
    bed = bed_from(stream, source)
    refuse_unknown(genome, bed, source)
    yield from bed_records(bed, genome, source)


def bed_records(bed: pd.DataFrame, genome: Genome, source: str | Path) -> Iterator[Record]:
    """The sequences of the rows of the BED `source`, in their order.

    `BadInput`: a row off the genome. Rows partly off it are counted in a warning.
    """
    partly = 0
    columns = ["chrom", "start", "end", "name", "strand", LINE]
    for chrom, start, end, name, strand, line in bed[columns].itertuples(index=False):
        codes, _, inside = genome.fetch(chrom, start, end, strand)
        if not inside.any():
            where = f"{chrom}:{start}-{end} lies outside {genome.source}"
            raise BadInput(where, file=source, line=line)
        partly += not inside.all()
        called = name if name not in ("", ".") else f"{chrom}:{start}-{end}"
        yield Record(called, codes, chrom, start, end, strand)
    if partly:
        log.warning("%s: %d of %d intervals lie partly outside the regions of %s, where N is read",
                    source, partly, len(bed), genome.source)  # fmt: skip
