"""GenomicBenchmarks from coordinate files and genomes.

The suite is published as intervals (`id,region,start,end,strand`, 0-based half-open), one file a
class and split; its sequences are what the reference genome has there, "-" reverse-complemented
(Grešová et al. 2023, doi 10.1186/s12863-023-01123-8).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from findna.evaluation.fetch.catalogue import ASSEMBLIES, INTERVALS
from findna.files import BadInput, atomic_file, first_of, log
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.sequence.intervals import LINE, refuse_off_the_end
from findna.sequence.tables import need_column, read_table

SPLITS = ("train", "test")
COLUMNS = ("id", "region", "start", "end", "strand", "class", "label", "sequence")
_WriteRow = Callable[[Iterable[object]], object]


@dataclass(frozen=True, slots=True)
class Built:
    """Rows of one class and split: written, on contigs the genome lacks, outside its regions."""

    split: str
    name: str
    rows: int
    lacking: int = 0
    outside: int = 0


def build_task(
    folder: Path, genomes: Mapping[str, Genome], *, overwrite: bool = False
) -> list[Built]:
    """Cut the intervals below `folder` into `folder`/train.csv.gz and test.csv.gz (see `COLUMNS`).

    `genomes` gives the genome of each class. Classes are sorted and rows keep the order of their
    coordinate file. Intervals that the genome does not hold in full are left out and counted
    aloud. Raises `BadInput`: a coordinate file that is none, an interval beyond its chromosome
    (another build), a class of which nothing is left.
    """
    train, test = (folder / f"{split}.csv.gz" for split in SPLITS)
    built: list[Built] = []
    with atomic_file(train, overwrite) as new_train, atomic_file(test, overwrite) as new_test:
        for split, path in zip(SPLITS, (new_train, new_test), strict=True):
            with gzip_rows(path, COLUMNS) as write:
                for label, name in enumerate(sorted(genomes)):
                    source = folder / INTERVALS / split / f"{name}.csv.gz"
                    part = _cut(source, genomes[name], (name, label), write)
                    built.append(Built(split, name, *part))
    return built


def refuse_other_build(genome: Genome, assembly: str) -> None:
    """Refuse a whole genome that is another build than `assembly`, told by one contig's length."""
    if assembly not in ASSEMBLIES or genome.mapped:
        return
    contig, length = ASSEMBLIES[assembly].first
    try:
        name = genome.resolve(contig)
    except BadInput:
        # Part of a genome: intervals beyond a chromosome are still refused.
        return
    found = int(genome.lengths[genome.records_of(name)].sum())
    if found != length:
        raise BadInput(
            f"{name} has {found:,} bases where {contig} of {assembly} has {length:,}",
            file=genome.source,
            remedy=f"the intervals refer to {assembly}: give that build",
        )


def read_intervals(source: Path) -> pd.DataFrame:
    """A coordinate file: id, region and strand str ("." for none), start and end int64, `LINE`."""
    table = read_table(source)
    wanted = ["id", "region", "start", "end", "strand"]
    table = table[[table.columns[need_column(list(table.columns), c, source)] for c in wanted]]
    table[LINE] = range(2, len(table) + 2)
    for column in ("start", "end"):
        whole = table[column].str.fullmatch(r"[0-9]{1,18}")
        _refuse(table, ~whole, f"{column} is not a whole number", source)
        table[column] = table[column].astype("int64")
    table["strand"] = table["strand"].replace("", ".")
    _refuse(table, ~table["strand"].isin(["+", "-", "."]), "strand is not one of +, -, .", source)
    _refuse(table, table["end"] <= table["start"], "end is not after start", source)
    return table


def _refuse(table: pd.DataFrame, wrong: pd.Series[bool], problem: str, source: Path) -> None:
    if wrong.any():
        row = table[wrong].iloc[0]
        raise BadInput(problem, file=source, record=str(row["id"]), line=int(row[LINE]))


def _cut(
    source: Path, genome: Genome, of_class: tuple[str, int], write: _WriteRow
) -> tuple[int, int, int]:
    """Write the rows of one coordinate file; how many, and how many of each kind were left out."""
    intervals = read_intervals(source)
    places = intervals.assign(chrom=_named_as_in(genome, intervals["region"]))
    contigs = genome.resolve_all(places["chrom"], source=str(source))
    refuse_off_the_end(genome, places, contigs, source)
    lacking = ~places["chrom"].isin(list(contigs))
    rows, outside = 0, 0
    columns = ["id", "region", "chrom", "start", "end", "strand"]
    for identity, region, chrom, start, end, strand in places.loc[~lacking, columns].itertuples(
        index=False
    ):
        bases = genome.fetch(contigs[chrom], start, end, strand)
        if not bases.inside.all():
            outside += 1
            continue
        write((identity, region, start, end, strand, *of_class, decode(bases.codes)))
        rows += 1
    _tell(source, genome, intervals["region"][lacking], (len(places), rows, outside))
    return rows, int(lacking.sum()), outside


def _named_as_in(genome: Genome, regions: pd.Series[str]) -> pd.Series[str]:
    """Names with the version the genome's records have: ENST00000217185 as ENST00000217185.6."""
    versioned = {name.rpartition(".")[0]: name for name in genome.chroms if "." in name}
    known = set(genome.chroms)
    return regions.map(lambda name: name if name in known else versioned.get(name, name))


def _tell(
    source: Path, genome: Genome, lacking: pd.Series[str], counts: tuple[int, int, int]
) -> None:
    total, rows, outside = counts
    if len(lacking):
        shown = first_of(lacking.unique())
        log.warning(
            "%s: %d of %d intervals are on contigs that %s lacks (%s): left out",
            source, len(lacking), total, genome.source, shown,
        )  # fmt: skip
    if outside:
        log.warning(
            "%s: %d of %d intervals are not entirely within the regions of %s: left out",
            source, outside, total, genome.source,
        )  # fmt: skip
    if not rows:
        raise BadInput(
            f"contains none of the {total:,} intervals: the class would be empty",
            file=source,
            remedy="give a whole genome of the build the task was made from",
        )


@contextmanager
def gzip_rows(path: Path, columns: Sequence[str]) -> Iterator[_WriteRow]:
    """A function that writes one row of a gzipped CSV; the same rows give the same bytes."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        yield writer.writerow
