"""Lower case for repeats, told by how often their words occur in the file itself.

    python benchmarks/mask_repeats.py GENOME.fa.gz MASKED.fa.gz

For a FASTA without a soft mask, so that `findna pretrain --soft-mask` can be studied on it. The
idea is WindowMasker's (Morgulis et al. 2006): the words of 14 bases of both strands are counted,
and a base is a repeat where the mean of log2(count) over 41 words around one that covers it is
above 2. Old repeats are missed and simple ones found: of the human regions 28 % become lower case,
where RepeatMasker has about half.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from findna.files import atomic_file
from findna.sequence.alphabet import N, codes_of, decode
from findna.sequence.genome import Genome

WORD, AROUND, LEAST = 14, 41, 2.0
_LINE = 100
Codes = NDArray[np.uint8]


def words(codes: Codes) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Of every word of (n,) bases the number (n - 13,), one for both strands, and whether it is
    free of N.
    """
    many = max(0, len(codes) - WORD + 1)
    forward, backward = np.zeros(many, np.uint32), np.zeros(many, np.uint32)
    known = np.ones(many, np.bool_)
    for at in range(WORD):
        base = codes[at : at + many].astype(np.uint32)
        known &= base < N
        base = np.minimum(base, 3)
        forward = (forward << np.uint32(2)) | base
        backward |= (3 - base) << np.uint32(2 * at)
    return np.minimum(forward, backward), known


def records(genome: Genome) -> Iterator[tuple[str, Codes]]:
    """Name and codes of each record."""
    for name, start, length in zip(genome.names, genome.offsets, genome.lengths, strict=True):
        yield name, codes_of(np.asarray(genome.store[start : start + length]))


def counted(genome: Genome) -> NDArray[np.uint32]:
    """How often each word occurs (4 ** 14,)."""
    counts = np.zeros(4**WORD, np.uint32)
    for _, codes in records(genome):
        number, known = words(codes)
        met, often = np.unique(number[known], return_counts=True)
        counts[met] += often.astype(np.uint32)
    return counts


def repeats(codes: Codes, counts: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Where the bases (n,) of a record are repeats."""
    number, known = words(codes)
    if not len(number):
        return np.zeros(len(codes), np.bool_)
    often = np.where(known, np.log2(np.maximum(counts[number], 1)), 0).astype(np.float32)
    found = np.convolve(often, np.ones(AROUND) / AROUND, "same")[: len(often)] > LEAST
    covered = np.zeros(len(codes) + 1, np.int64)
    starts = np.flatnonzero(found)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + WORD, -1)
    return np.cumsum(covered)[:-1] > 0


def mask(source: Path, target: Path) -> float:
    """Write the masked FASTA; the share of its bases that are lower case."""
    genome = Genome.open(source)
    counts, masked = counted(genome), 0
    with atomic_file(target) as made, gzip.open(made, "wt", compresslevel=1) as file:
        for name, codes in records(genome):
            soft = repeats(codes, counts)
            masked += int(soft.sum())
            letters = np.frombuffer(decode(codes).encode(), np.uint8) | (soft * np.uint8(32))
            text = letters.tobytes().decode()
            lines = (text[at : at + _LINE] for at in range(0, len(text), _LINE))
            file.write(f">{name}\n" + "\n".join(lines) + "\n")
    return masked / genome.total


def main() -> None:
    """Mask one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    print(f"{mask(given.source, given.target):.1%} of the bases are lower case")


if __name__ == "__main__":
    main()
