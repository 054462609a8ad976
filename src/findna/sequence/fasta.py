"""A streaming FASTA reader over bytes: constant memory, and record and line in every error.

Libraries that read FASTA lose line numbers or case, or need an index; a table of 256 bytes
translates characters to codes at the speed of memory.
"""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from findna.files import BadInput
from findna.sequence.alphabet import READING_TABLE, UNKNOWN_BYTE, Codes, unknown_letter

CHUNK = 1 << 20
_BLANK = b"\n\r \t"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one record: bytes translated by `alphabet.READING_TABLE`. The `first` piece of a
    record has no bases; its `title` is the whole header line.
    """

    record: str
    line: int
    first: bool
    marked: Codes
    title: str = ""


def read_pieces(
    stream: io.BufferedIOBase, source: str | Path, chunk_size: int = CHUNK
) -> Iterator[Piece]:
    """The records of a FASTA stream in pieces of at most `chunk_size` bases.

    Line ends may be LF or CRLF, lines of any length, blank lines anywhere. `BadInput`: not a FASTA,
    an empty file, a header without a name, an empty record, an unknown character.
    """
    record, header_line, length = "", 0, 0
    for is_header, raw, line in _spans(stream, chunk_size):
        if is_header:
            _refuse_empty(record, length, source, header_line)
            record, header_line, length = _name(raw, source, line), line, 0
            title = raw.decode("utf-8", "replace").strip()
            yield Piece(record, line, True, np.empty(0, dtype=np.uint8), title)
            continue
        marked = np.frombuffer(raw.translate(READING_TABLE, _BLANK), dtype=np.uint8)
        if not marked.size:
            continue
        if not record:
            raise _not_fasta(raw, source, line)
        if marked.max() == UNKNOWN_BYTE:
            raise _unknown(raw, int(marked.argmax()), length, source, record, line)
        length += marked.size
        yield Piece(record, line, False, marked)
    _refuse_empty(record, length, source, header_line)
    if not record:
        raise BadInput(
            "has no sequences: the file is empty",
            file=source,
            remedy="the download, or the command that made it, may have failed: make it again",
        )


def _spans(stream: io.BufferedIOBase, chunk_size: int) -> Iterator[tuple[bool, bytes, int]]:
    """Cut a stream into (is a header, bytes without the >, line number of the first byte)."""
    line, line_start, header = 1, True, None
    for chunk in _chunks(stream, chunk_size):
        here = 0
        while here < len(chunk):
            if header is not None:
                end = chunk.find(b"\n", here)
                header += chunk[here : end if end >= 0 else len(chunk)]
                if end < 0:
                    break
                yield True, header, line
                header, line, here = None, line + 1, end + 1
            elif line_start and chunk[here] == ord(">"):
                header, here = b"", here + 1
            else:
                end = chunk.find(b"\n>", here) + 1 or len(chunk)
                span = chunk[here:end]
                yield False, span, line
                line, line_start, here = line + span.count(b"\n"), span.endswith(b"\n"), end
    if header is not None:
        yield True, header, line


def _chunks(stream: io.BufferedIOBase, size: int) -> Iterator[bytes]:
    """Blocks of `size` bytes, without a byte-order mark at the start."""
    first = stream.read(max(size, len(BOM_UTF8)))
    yield first.removeprefix(BOM_UTF8)
    while chunk := stream.read(size):
        yield chunk


def _name(header: bytes, source: str | Path, line: int) -> str:
    """The first word of a header line."""
    if b"\r" in header.rstrip(b"\r"):
        raise BadInput(
            "line ends are a lone carriage return (old Macintosh)",
            file=source,
            line=line,
            remedy="convert it: tr '\\r' '\\n' < old.fa > new.fa",
        )
    words = header.split(None, 1)
    if not words:
        raise BadInput(
            "a header without a name", file=source, line=line, remedy="write one after the >"
        )
    try:
        return words[0].decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(
            "the name is not UTF-8 text",
            file=source,
            line=line,
            remedy="use plain letters in the name (or: iconv -t utf-8)",
        ) from None


def _refuse_empty(record: str, length: int, source: str | Path, line: int) -> None:
    if record and not length:
        raise BadInput(
            "a record without sequence",
            file=source,
            record=record,
            line=line,
            remedy="remove it, or complete the file",
        )


def _not_fasta(raw: bytes, source: str | Path, line: int) -> BadInput:
    text = raw.lstrip()[:40]
    line += raw[: len(raw) - len(raw.lstrip())].count(b"\n")
    shown = text.split(b"\n")[0].decode("latin-1").strip()
    remedy = "a FASTA file begins with a line such as >chr1"
    if text.startswith(b"@"):
        remedy = "this looks like FASTQ: turn it into FASTA with samtools fasta"
    elif text.startswith((b"LOCUS", b"ID   ")):
        remedy = "this looks like GenBank or EMBL: ask the archive for FASTA"
    if len(shown.split("\t")) >= 3:
        remedy = "this looks like a BED: where a genome is expected, give its FASTA"
    if not shown.replace("\t", " ").isprintable():
        shown = "binary data"
    return BadInput(
        f"is not a FASTA file: it begins with {shown!r}", file=source, line=line, remedy=remedy
    )


def _unknown(
    raw: bytes, index: int, before: int, source: str | Path, record: str, line: int
) -> BadInput:
    """The error for base `index` of a span that begins on `line`, `before` bases into the
    record.
    """
    kept = ~np.isin(np.frombuffer(raw, dtype=np.uint8), np.frombuffer(_BLANK, dtype=np.uint8))
    place = int(np.flatnonzero(kept)[index])
    return unknown_letter(
        chr(raw[place]),
        before + index + 1,
        source=source,
        record=record,
        line=line + raw.count(b"\n", 0, place),
    )
