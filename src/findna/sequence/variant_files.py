"""Scored variants as files: VCF, bgzipped VCF, BCF, and tables with one row per allele.

The file name's ending chooses the format. Formats that have an index get one if the rows are
sorted. Rows stream through; where the header is only known after the rows, these are written to a
temporary file first.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pysam

from findna.files import STDIN, BadInput, atomic_file, log, refuse_existing
from findna.sequence.bcf import NoBcf, vcf_to_bcf
from findna.sequence.variant_index import Order, write_index
from findna.sequence.vcf import (
    InfoField,
    Row,
    Scored,
    contig_lengths,
    facts_of,
    scored_info,
)

VariantFormat = Literal["vcf", "vcf.gz", "bcf", "tsv", "tsv.gz", "parquet"]

_ENDINGS: tuple[VariantFormat, ...] = ("vcf.gz", "tsv.gz", "vcf", "bcf", "tsv", "parquet")
_PLACE = ("chrom", "pos", "id", "ref", "alt")
_ALLELES = 1 << 14  # alleles per parquet row group: fixed, so that files can be compared
_LAST_OF_BCF = (1 << 31) - 1  # the largest POS that BCF can hold


def variant_format(output: str | Path) -> VariantFormat:
    """The format for the ending of a name; "-" is VCF. `BadInput` for an unknown ending."""
    if str(output) == STDIN:
        return "vcf"
    for ending in _ENDINGS:
        if Path(output).name.lower().endswith(f".{ending}"):
            return ending
    raise BadInput(
        "the file name does not say which format to write",
        file=output,
        remedy=f"end it in .{', .'.join(_ENDINGS)}",
    )


def refuse_output(output: str | Path, overwrite: bool) -> None:
    """`BadInput`, before any work, for an unknown ending, a folder or, unless `overwrite`, an
    existing file.
    """
    variant_format(output)
    if str(output) != STDIN:
        refuse_existing(output, overwrite)


def write_scored(
    scored: Iterable[Scored],
    header: Sequence[str],
    fields: Sequence[InfoField],
    output: str | Path,
    *,
    overwrite: bool = False,
) -> None:
    """Write rows in the format of `output`'s ending, whole or not at all; "-" is VCF to stdout.

    `.vcf.gz` and `.tsv.gz` are bgzipped and get a `.tbi`, or a `.csi` where a chromosome is longer
    than 2^29 bases; `.bcf` gets a `.csi`. Rows that are not sorted get no index, with a warning.
    """
    kind = variant_format(output)
    if str(output) == STDIN:
        for block in _encoded(_vcf_lines(scored, header, fields)):
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return
    order = Order(max(contig_lengths(header).values(), default=0))
    with atomic_file(output, overwrite) as made:
        if kind == "bcf":
            _write_bcf(order.watched(scored), header, fields, made, Path(output))
        else:
            _write(kind, order.watched(scored), header, fields, made)
        if kind in ("vcf.gz", "tsv.gz", "bcf"):
            write_index(made, Path(output), order)


def _write(
    kind: VariantFormat,
    scored: Iterator[Scored],
    header: Sequence[str],
    fields: Sequence[InfoField],
    made: Path,
) -> None:
    if kind == "parquet":
        _write_parquet(scored, header, fields, made)
    else:
        lines = _table_lines if kind.startswith("tsv") else _vcf_lines
        _write_lines(lines(scored, header, fields), made, bgzip=kind.endswith(".gz"))


# Text -----------------------------------------------------------------------------------------


class _Bytes(Protocol):
    def write(self, data: bytes, /) -> Any: ...


def _vcf_lines(
    scored: Iterable[Scored], header: Sequence[str], fields: Sequence[InfoField]
) -> Iterator[str]:
    yield from header
    for one in scored:
        yield one.row.text(scored_info(one, fields))


def _table_lines(
    scored: Iterable[Scored], header: Sequence[str], fields: Sequence[InfoField]
) -> Iterator[str]:
    yield "#" + "\t".join((*_PLACE, *(field.name for field in fields)))
    for place, texts in _alleles(scored):
        yield "\t".join((*place, *("NA" if text == "." else text for text in texts)))


def _alleles(scored: Iterable[Scored]) -> Iterator[tuple[list[str], tuple[str, ...]]]:
    """First columns and values of every allele; a row without alternative alleles has one, `.`."""
    for row, values in scored:
        for alt, texts in zip(row.alts or ["."], zip(*values, strict=True), strict=True):
            yield [*row.cells[:4], alt], texts


def _encoded(lines: Iterable[str]) -> Iterator[bytes]:
    lines = iter(lines)
    while block := list(islice(lines, 256)):
        yield ("\n".join(block) + "\n").encode("utf-8", "surrogateescape")


@contextmanager
def _bytes_file(path: Path, bgzip: bool) -> Iterator[_Bytes]:
    with pysam.BGZFile(str(path), "wb", index=None) if bgzip else path.open("wb") as stream:
        yield cast(_Bytes, stream)


def _write_lines(lines: Iterable[str], path: Path, *, bgzip: bool) -> None:
    with _bytes_file(path, bgzip) as stream:
        for block in _encoded(lines):
            stream.write(block)


def write_vcf_header_last(
    lines: Iterable[str], header: Callable[[], Iterable[str]], path: Path, *, bgzip: bool
) -> None:
    """Write a VCF of `lines` whose header is only known after them."""
    body = path.with_name(f"{path.name}.body")
    try:
        _write_lines(lines, body, bgzip=bgzip)
        _write_lines(header(), path, bgzip=bgzip)
        # bgzip files may be concatenated.
        with path.open("ab") as whole, body.open("rb") as rows:
            shutil.copyfileobj(rows, whole, 1 << 20)
    finally:
        body.unlink(missing_ok=True)


# BCF ------------------------------------------------------------------------------------------


class _Undeclared:
    """Chromosomes, filters, INFO and FORMAT tags that rows use and the header does not declare."""

    def __init__(self, header: Iterable[str]) -> None:
        self.header = list(header)
        kinds = ("contig", "FILTER", "INFO", "FORMAT")
        self.lacking: dict[str, dict[str, None]] = {kind: {} for kind in kinds}
        self.declared = {kind: set(_declared(self.header, kind)) for kind in kinds}
        self.declared["FILTER"] |= {"PASS", ".", ""}
        self.declared["INFO"] |= {".", ""}
        self.declared["FORMAT"] |= {".", ""}

    def watched(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        for one in scored:
            self._look_at(one.row)
            yield one

    def _look_at(self, row: Row) -> None:
        self._note("contig", [row.chrom])
        self._note("FILTER", row.cells[6].split(";"))
        self._note("INFO", [entry.partition("=")[0] for entry in row.info.split(";")])
        if row.rest.startswith("\t"):
            self._note("FORMAT", row.rest[1:].partition("\t")[0].rstrip("\r").split(":"))

    def _note(self, kind: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.declared[kind]:
                self.lacking[kind][name] = None

    def completed(self) -> list[str]:
        """The header with declarations of the undeclared."""
        said = 'Description="not declared in the input"'
        typed = f"Number=.,Type=String,{said}"
        made = [f"##contig=<ID={name}>" for name in self.lacking["contig"]]
        made += [f"##FILTER=<ID={name},{said}>" for name in self.lacking["FILTER"]]
        for kind in ("INFO", "FORMAT"):
            made += [f"##{kind}=<ID={name},{typed}>" for name in self.lacking[kind]]
        if any(self.lacking.values()):
            listed = ", ".join(list(chain.from_iterable(self.lacking.values()))[:5])
            log.warning("BCF needs every name declared: %s are declared as text", listed)
        return [*self.header[:-1], *made, self.header[-1]]


def _declared(header: Iterable[str], kind: str) -> Iterator[str]:
    start = f"##{kind}=<"
    for line in header:
        if line.startswith(start):
            _, found, name = line.removeprefix(start[:-1]).partition("ID=")
            if found:
                yield name.split(",")[0].rstrip("\r>")


def within_format(rows: Iterable[Row], source: str, output: str | Path | None) -> Iterator[Row]:
    """The rows unchanged; `BadInput` with the line of one that the format cannot hold."""
    bcf = output is not None and variant_format(output) == "bcf"
    for row in rows:
        if bcf and row.pos > _LAST_OF_BCF:
            raise BadInput(
                f"POS is {row.pos:,}, but BCF ends at {_LAST_OF_BCF:,}",
                file=source,
                line=row.line,
                remedy="write .vcf.gz, which has no limit, or remove the row",
            )
        yield row


def _write_bcf(
    scored: Iterator[Scored],
    header: Sequence[str],
    fields: Sequence[InfoField],
    made: Path,
    output: Path,
) -> None:
    """Through a VCF, which is kept next to `output` if htslib cannot convert it to BCF."""
    undeclared = _Undeclared(header)
    text = made.with_name(f"{made.name}.text.vcf.gz")
    rows = _vcf_lines(undeclared.watched(scored), (), fields)
    try:
        write_vcf_header_last(rows, undeclared.completed, text, bgzip=True)
        vcf_to_bcf(text, made)
    except NoBcf as error:
        kept = output.with_name(f"{output.name}.vcf.gz")
        text.replace(kept)
        raise BadInput(
            error.problem, file=output, remedy=f"{error.remedy}; all rows, scored, are in {kept}"
        ) from None
    finally:
        text.unlink(missing_ok=True)


# Tables ---------------------------------------------------------------------------------------


def allele_frame(scored: Iterable[Scored], fields: Sequence[InfoField]) -> pd.DataFrame:
    """One row per allele: chrom, pos (1-based), id, ref, alt, then the fields; NaN or None where
    there is no value.
    """
    tables = pa.concat_tables(list(_tables(scored, fields)))
    return cast(pd.DataFrame, tables.to_pandas())


def _write_parquet(
    scored: Iterator[Scored], header: Sequence[str], fields: Sequence[InfoField], made: Path
) -> None:
    facts = {f"findna_{key}": text for key, text in facts_of(header).items()}
    with pq.ParquetWriter(made, _schema(fields).with_metadata(facts)) as writer:
        for table in _tables(scored, fields):
            writer.write_table(table)


def _schema(fields: Sequence[InfoField]) -> pa.Schema:
    place = [(name, pa.int64() if name == "pos" else pa.string()) for name in _PLACE]
    types = [pa.float64() if field.type == "Float" else pa.string() for field in fields]
    return pa.schema(place + list(zip((field.name for field in fields), types, strict=True)))


def _tables(scored: Iterable[Scored], fields: Sequence[InfoField]) -> Iterator[pa.Table]:
    """Tables of a fixed number of alleles; a single empty one if there are none."""
    schema, alleles, empty = _schema(fields), _alleles(scored), True
    while (block := list(islice(alleles, _ALLELES))) or empty:
        empty = False
        rows = [[*place, *texts] for place, texts in block]
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        arrays = [_array(column, kind) for column, kind in zip(columns, schema, strict=True)]
        yield pa.Table.from_arrays(arrays, schema=schema)


def _array(texts: Sequence[str], kind: pa.Field) -> pa.Array:
    if kind.name == "pos":
        return pa.array([int(text) for text in texts], kind.type)
    if kind.name in _PLACE:
        return pa.array([_printable(text) for text in texts], kind.type)
    real = float if kind.type == pa.float64() else str
    return pa.array([None if text == "." else real(text) for text in texts], kind.type)


def _printable(text: str) -> str:
    """Bytes that are not UTF-8 become U+FFFD: a table of strings cannot hold them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
