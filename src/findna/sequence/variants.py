"""Variants: what a row of a VCF says of the genome, one alternative allele at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """`ref` of the genome replaced by `alt`.

    `chrom` is the genome's own name, `start` the 0-based place of the first base of `ref`; alleles
    are upper-case letters A C G T N.
    """

    chrom: str
    start: int
    ref: str
    alt: str

    @property
    def end(self) -> int:
        """Where `ref` ends, not included."""
        return self.start + len(self.ref)
