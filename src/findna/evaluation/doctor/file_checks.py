"""Do a FASTA, a BED and a VCF belong together: names, builds, letters.

A build shows in reference alleles: those of another assembly agree with a FASTA about one time in
four. A BED shows it only where a row ends beyond its chromosome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from findna.files import BadInput, open_bytes
from findna.sequence.alphabet import N, encode
from findna.sequence.genome import Genome
from findna.sequence.intervals import read_bed, refuse_off_the_end

Level = Literal["ok", "warn", "stop"]

# Variants of a VCF that are read: as good as all for a share, and quick for a file of millions.
VARIANTS = 20_000
_ENOUGH = 20
_WRONG_BUILD = 0.05
_MUCH_N = 0.2


@dataclass(frozen=True)
class Finding:
    """One line of the screen."""

    level: Level
    topic: str
    what: str
    remedy: str | None = None

    def lines(self) -> Iterator[str]:
        """The finding, and its remedy indented under it."""
        yield f"{self.level:<5} {self.topic:<12} {self.what}"
        if self.remedy:
            yield f"{'':<19}-> {self.remedy}"


def check_genome(genome: Genome) -> Iterator[Finding]:
    """Size, N and lower case."""
    unknown = int((genome.n_runs[:, 1] - genome.n_runs[:, 0]).sum()) / max(genome.total, 1)
    soft = int((genome.soft_runs[:, 1] - genome.soft_runs[:, 0]).sum()) / max(genome.total, 1)
    said = (
        f"{len(genome.names):,} records, {genome.total:,} bases, {unknown:.2%} N,"
        f" {soft:.1%} lower case"
    )
    if unknown > _MUCH_N:
        yield Finding("warn", "genome", said, "runs of N are skipped; is the assembly complete?")
    elif soft == 0 and genome.total > 1_000_000:
        yield Finding("ok", "genome", f"{said}: repeats are not marked")
    else:
        yield Finding("ok", "genome", said)


def check_bed(path: str | Path, genome: Genome | None) -> Iterator[Finding]:
    """Names, ends and, for a genome of cut regions, what lies outside them."""
    bed = read_bed(path)
    if genome is None:
        yield Finding("warn", "bed", "not checked: there is no genome", "give the FASTA with -g")
        return
    finding, names = _check_names("bed", bed["chrom"].tolist(), genome, str(path))
    yield finding
    if not names:
        return
    try:
        refuse_off_the_end(genome, bed, names, path)
    except BadInput as error:
        yield Finding("stop", "bed", str(error).splitlines()[0], error.remedy)
        return
    if genome.mapped:
        outside = sum(
            not _covered(genome, names[c], s, e)
            for c, s, e in bed[["chrom", "start", "end"]].itertuples(index=False)
            if c in names
        )
        level: Level = "warn" if outside else "ok"
        yield Finding(
            level, "bed", f"{outside:,} of {len(bed):,} intervals reach outside the regions"
        )
    else:
        yield Finding("ok", "bed", f"all {len(bed):,} intervals end within their chromosomes")


def _covered(genome: Genome, chrom: str, start: int, end: int) -> bool:
    return bool(genome.fetch(chrom, start, end).inside.all())


def _check_names(
    topic: str, chroms: Sequence[str], genome: Genome, source: str
) -> tuple[Finding, dict[str, str]]:
    """How many rows are on chromosomes the genome has, and name -> the genome's own."""
    try:
        names = genome.resolve_all(chroms, source=source)
    except BadInput as error:
        return Finding("stop", topic, error.problem, error.remedy), {}
    lacking = [chrom for chrom in chroms if chrom not in names]
    renamed = sum(asked != own for asked, own in names.items())
    here = len(chroms) - len(lacking)
    said = f"{here:,} of {len(chroms):,} rows are on chromosomes of the genome"
    said += f" ({renamed} names matched by alias)" if renamed else ""
    if not lacking:
        return Finding("ok", topic, said), names
    others = ", ".join(list(dict.fromkeys(lacking))[:5])
    return Finding("warn", topic, f"{said}; not {others}", "they would be left out"), names


# ---------------------------------------------------------------- VCF


@dataclass(frozen=True)
class _Variant:
    """Name, 0-based start and reference allele of a row."""

    chrom: str
    start: int
    ref: str


def check_vcf(path: str | Path, genome: Genome | None) -> Iterator[Finding]:
    """Names, and whether the reference alleles are those of the genome."""
    variants = list(islice(_variants(path), VARIANTS))
    if genome is None:
        yield Finding("warn", "vcf", "not checked: there is no genome", "give the FASTA with -g")
        return
    finding, names = _check_names("vcf", [v.chrom for v in variants], genome, str(path))
    yield finding
    if names:
        yield _judge_build(*_agreement(variants, names, genome))


def _variants(path: str | Path) -> Iterator[_Variant]:
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.startswith(b"#") or not line.strip():
                continue
            cells = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")
            if len(cells) < 5 or not cells[1].isdecimal():
                raise BadInput(
                    "is not a VCF row",
                    file=path,
                    line=number,
                    remedy="CHROM POS ID REF ALT, by tabs",
                )
            yield _Variant(cells[0], int(cells[1]) - 1, cells[3])


def _agreement(variants: list[_Variant], names: dict[str, str], genome: Genome) -> tuple[int, int]:
    """Reference alleles that differ from the genome, and those that could be compared."""
    differ = compared = 0
    for variant in variants:
        if variant.chrom not in names or set(variant.ref.upper()) - set("ACGT"):
            continue
        start = variant.start
        found = genome.fetch(names[variant.chrom], start, start + len(variant.ref))
        if found.inside.all() and not (found.codes == N).any():
            compared += 1
            differ += not np.array_equal(found.codes, encode(variant.ref))
    return differ, compared


def _judge_build(differ: int, compared: int) -> Finding:
    said = f"{differ:,} of {compared:,} reference alleles differ from the genome"
    if compared < _ENOUGH:
        return Finding("warn", "vcf", f"build not checked: {said}, and {_ENOUGH} rows are needed")
    if differ >= _WRONG_BUILD * compared:
        return Finding(
            "stop", "vcf", f"{said}: another build", "use the FASTA the variants were called on"
        )
    if differ:
        return Finding("warn", "vcf", said, "these rows are flagged and not scored")
    return Finding("ok", "vcf", said)
