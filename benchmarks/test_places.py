"""Where the rows of a table lie in a genome: a BED for `findna pretrain --exclude`.

    python benchmarks/test_places.py ROWS.csv GENOME.fa -o places.bed

So that a model can be pretrained on a genome without the sequences of a test split, which have no
coordinates. A row is found letter for letter on either strand, wherever it stands; one that is not
is laid where each of its pieces of 100 bp is first found, since assemblies differ by single bases.
Exit code 1 if a row is not found at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from findna.sequence.alphabet import decode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in, merge
from findna.sequence.records import Record, read_records

PIECE, STEP = 100, 50

Place = tuple[str, int, int]


def whole(record: Record, chroms: dict[str, str]) -> Iterator[Place]:
    """Every place of a row, on either strand."""
    for letters in (decode(record.codes), decode(reverse_complement(record.codes))):
        for chrom, sequence in chroms.items():
            at = sequence.find(letters)
            while at >= 0:
                yield chrom, at, at + len(letters)
                at = sequence.find(letters, at + 1)


def by_pieces(record: Record, chroms: dict[str, str]) -> Iterator[Place]:
    """Places of a row of which only pieces are found, laid out from each piece."""
    for letters in (decode(record.codes), decode(reverse_complement(record.codes))):
        for first in range(0, len(letters) - PIECE + 1, STEP):
            for chrom, sequence in chroms.items():
                at = sequence.find(letters[first : first + PIECE])
                if at >= 0:
                    start = max(0, at - first)
                    yield chrom, start, min(len(sequence), at - first + len(letters))


def main() -> None:
    """Write the BED and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("genome")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    genome = Genome.open(given.genome)
    chroms = {
        name: decode(genome.fetch(name, 0, length).codes)
        for name, length in zip(genome.names, genome.lengths.tolist(), strict=True)
    }
    found: set[Place] = set()
    rows = pieced = missing = 0
    for record in read_records(given.rows):
        places = set(whole(record, chroms))
        pieced += not places
        places = places or set(by_pieces(record, chroms))
        missing += not places
        rows += 1
        found |= places
    bed = pd.DataFrame(sorted(found), columns=["chrom", "start", "end"])
    given.output.parent.mkdir(parents=True, exist_ok=True)
    bed.to_csv(given.output, sep="\t", header=False, index=False)
    each = bed.groupby("chrom", sort=False)[["start", "end"]]
    bases = sum(bases_in(merge(part.to_numpy())) for _, part in each)
    print(
        f"{rows:,} rows, {pieced:,} of them by pieces, {missing:,} not found: {len(bed):,} places,"
        f" {bases:,} bases of {genome.total:,}"
    )
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
