"""Variants to score, from a file or a data frame, and checks that they belong to the genome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from findna.files import BadInput, log
from findna.inference.variants.shards import rows_a_block
from findna.sequence.genome import Genome
from findna.sequence.variants import WRONG_BUILD, AlleleReader, Tally, words
from findna.sequence.vcf import PREFIX, Row, Vcf, contig_lengths, holds_ours, open_vcf, vcf_from

_FRAME = "the data frame"
_FRAME_COLUMNS = ("chrom", "pos", "ref", "alt")


def open_variants(variants: str | Path | pd.DataFrame) -> AbstractContextManager[Vcf]:
    """Open a VCF or BCF, "-" for standard input, or a data frame."""
    if isinstance(variants, pd.DataFrame):
        return nullcontext(vcf_from(_frame_lines(variants), _FRAME))
    return open_vcf(variants)


def _frame_lines(frame: pd.DataFrame) -> Iterator[str]:
    """A data frame as the lines of a VCF."""
    lacking = [name for name in _FRAME_COLUMNS if name not in frame]
    if lacking:
        raise BadInput(
            f"has no column {', '.join(lacking)}",
            file=_FRAME,
            remedy="give chrom, pos (1-based), ref, alt, and id if there are names",
        )
    yield "##fileformat=VCFv4.2"
    yield "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    names = frame["id"] if "id" in frame else ["."] * len(frame)
    columns = (frame["chrom"], frame["pos"], names, frame["ref"], frame["alt"])
    for row, cells in enumerate(zip(*columns, strict=True), 1):
        chrom, pos, *others = (_text(cell, row) for cell in cells)
        if not (pos.isascii() and pos.isdigit()):
            raise BadInput(
                f"pos is {pos}, not a whole number",
                file=_FRAME,
                record=str(row),
                remedy="positions are 1-based, as in a VCF",
            )
        yield "\t".join((chrom, pos, *others, ".", ".", "."))


def _text(cell: Any, row: int) -> str:
    """A cell as VCF text: chromosome 1 without the `.0` of a column with missing values."""
    if not pd.api.types.is_scalar(cell):
        raise BadInput(
            f"has {cell!r} in one cell",
            file=_FRAME,
            record=str(row),
            remedy="join several ALT with commas, as text",
        )
    if pd.isna(cell):
        return "."
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def other_contigs(vcf: Vcf, genome: Genome) -> list[str]:
    """Contigs of the header that differ in length from the genome's sequence with a matching name,
    with a warning: chrM of hg19 is not MT of GRCh37.

    Raises:
        BadInput: a contig of exactly the same name differs in length, or most others do.
    """
    given = contig_lengths(vcf.header)
    if genome.mapped and given:
        log.info("%s: chromosome lengths are not compared: the genome has only regions", vcf.source)
        return []
    names = genome.resolve_all(given, source=vcf.source)
    have = dict(zip(genome.names, genome.lengths.tolist(), strict=True))
    wrong = [asked for asked, name in names.items() if given[asked] != have[name]]
    if not wrong:
        return []
    said = "; ".join(
        f"{asked} has {given[asked]:,} bases here and {have[names[asked]]:,} there"
        for asked in wrong[:3]
    )
    if any(asked == names[asked] for asked in wrong) or 2 * len(wrong) > len(names):
        raise BadInput(
            f"its header is for another genome than {genome.source}: {said}",
            file=vcf.source,
            remedy=f"{WRONG_BUILD}; if only these contigs differ, remove their lines from the"
            " header, and REF is compared row by row: bcftools view OLD.vcf | grep -v"
            f" '^##contig=<ID={wrong[0]},' > NEW.vcf",
        )
    log.warning(
        "%s: different sequences of the same name in %s: %s: rows on them are not scored"
        " (contig_missing)", vcf.source, genome.source, said,
    )  # fmt: skip
    return wrong


def looked_ahead(vcf: Vcf, reader: AlleleReader, genome: Genome) -> Iterator[Row]:
    """All rows, after the REF alleles of the first ones were compared with the genome.

    Every shard checks the same first rows.
    """
    size = rows_a_block(vcf.header)
    first = list(islice(vcf.rows, size))
    tally = Tally()
    for row in first:
        tally.add(row.chrom, words(reader.read(row.chrom, row.pos, row.ref, row.alts)))
    tally.refuse_wrong_build(vcf.source)
    if holds_ours(vcf.header) or any(PREFIX in row.info for row in first):
        log.warning("%s: FINDNA_ fields of an earlier run are replaced", vcf.source)
    if len(first) < size:
        refuse_all_missing(tally, vcf, genome)
    return chain(first, vcf.rows)


def refuse_all_missing(tally: Tally, vcf: Vcf, genome: Genome) -> None:
    """`BadInput`, with names of both, if the genome lacks the chromosomes of all rows."""
    if tally.all_missing:
        genome.resolve_all(tally.missing_names, source=vcf.source)
