"""Which sequences of a genome are mitochondria or plastids, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from findna.sequence.alphabet import Flags

_ORGANELLES = {
    "m", "mt", "mito", "mtdna", "pt", "ptdna", "c", "cp",
    # RefSeq: human, mouse, yeast, fly, worm, zebrafish, Arabidopsis mitochondrion and chloroplast.
    "nc_012920.1", "nc_005089.1", "nc_001224.1", "nc_024511.2", "nc_001328.1", "nc_002333.2",
    "nc_037304.1", "nc_000932.1",
}  # fmt: skip
_ORGANELLE_WORD = re.compile(r"mitochondri|chloroplast|plastid|apicoplast|kinetoplast")


def is_organelle(chrom: str) -> bool:
    """Whether a name is that of a mitochondrial or plastid sequence: chrM, MT, Mito, Pt, ..."""
    name = chrom.lower()
    # A lone C is a nuclear chromosome name (cat); only chrC is the chloroplast.
    return (_bare(name) in _ORGANELLES and name != "c") or bool(_ORGANELLE_WORD.search(name))


def organelles(chroms: Sequence[str]) -> Flags:
    """Which of the sequences (R,) of a genome, given all their names, are organelles.

    Where chromosomes are named by letters, a letter is no organelle: chrC is nuclear beside chrB
    or chrD.
    """
    known = {chrom.lower() for chrom in chroms}
    found = [is_organelle(chrom) and not _lettered(chrom.lower(), known) for chrom in chroms]
    return np.array(found, dtype=np.bool_)


def _bare(name: str) -> str:
    return name.removeprefix("chromosome").removeprefix("chr").lstrip("_")


def _lettered(name: str, known: set[str]) -> bool:
    """Whether a name is a single letter, and the letter before or after it is a name too."""
    neighbours = {name[:-1] + chr(ord(name[-1]) + step) for step in (-1, 1)}
    return len(_bare(name)) == 1 and bool(neighbours & known)
