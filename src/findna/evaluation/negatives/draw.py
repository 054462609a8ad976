"""Negatives for positives: places of a genome that are alike in length, GC and repeats.

A user who has positives only gets as many negatives, each as long as its positive, within a
tolerance of its GC and of its share of repeats, without N, on the same chromosome where one can be
found there, on its strand. Places of positives, with a flank, are left out, and so is a sequence
that is one of the positives on either strand; negatives do not overlap each other.

Repeats are the soft-masked bases where the genome is soft-masked and the positives have places in
it. Else no annotation of repeats is at hand, and the share of CpG steps is matched in their place:
it tells islands and methylated sequence from the rest, as GC alone does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from findna.data.label_tables import named_label_column
from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.places import RowPlaces
from findna.evaluation.negatives.matching import (
    NegativeSettings,
    Search,
    Wanted,
    bases_of,
    either_strand,
    shares_of,
)
from findna.files import BadInput, atomic_file, first_of, log, open_bytes, refuse_stream
from findna.sequence.alphabet import Codes, codes_of, decode, reverse_complement, soft_of
from findna.sequence.genome import Genome
from findna.sequence.intervals import BED_COLUMNS, read_bed, subtract, to_store
from findna.sequence.records import Record, format_of, read_records
from findna.sequence.regions import Integers, stranded_regions
from findna.sequence.tables import read_table

# What the drawn task is called in an output folder.
TASK = "task.csv"


@dataclass(frozen=True)
class MatchQuality:
    """Mean of negative minus positive over the matched pairs, and the largest difference.

    `repeats` is the share of soft-masked bases or of CpG steps, as `matched_on` says.
    """

    pairs: int
    matched_on: str
    length: float
    gc: float
    repeats: float
    largest_gc: float
    largest_repeats: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.pairs:,} negatives; mean difference in length {self.length:g} bp, in GC"
            f" {self.gc:+.4f} (largest {self.largest_gc:.3f}), in {self.matched_on}"
            f" {self.repeats:+.4f} (largest {self.largest_repeats:.3f})"
        )


@dataclass(frozen=True, eq=False)
class Negatives:
    """`table`: chrom, start, end, strand and `positive`, the row (from 0) of the positive of each.

    `codes` are the sequences in reading direction; `unmatched` the rows of positives without one.
    """

    table: pd.DataFrame
    codes: list[Codes]
    unmatched: Integers
    quality: MatchQuality


def matched_negatives(
    positives: pd.DataFrame | Sequence[Codes],
    genome: Genome,
    seed: int,
    settings: NegativeSettings | None = None,
    *,
    source: str = "the positives",
) -> Negatives:
    """One negative for every positive for which one was found; the others are named aloud.

    Args:
        positives: columns chrom, start, end and perhaps strand (0-based half-open), or sequences.
        genome: where negatives are drawn.
        seed: of every draw.
        settings: tolerances; defaults if None.
        source: what the positives are called in messages.

    Raises:
        BadInput: an empty positive, one off the genome, none that could be matched.
    """
    settings = NegativeSettings.of(settings)
    wanted = _wanted(positives, genome, source)
    search = Search(genome, _room(positives, genome, settings, source), wanted, seed, settings)
    starts = search.found()
    unmatched = np.flatnonzero(starts < 0)
    if len(unmatched) == len(starts):
        raise BadInput(
            f"no negative was found for any of {len(starts):,} positives",
            file=genome.source,
            remedy="the genome may be too small: use a larger tolerance or a smaller flank",
        )
    if len(unmatched):
        log.warning(
            "%s: no negative was found for %s of %s positives: rows %s",
            source,
            f"{len(unmatched):,}",
            f"{len(starts):,}",
            first_of(unmatched + 1, 10),
        )
    return _answer(genome, wanted, starts, unmatched)


def with_negatives(
    positives: str | Path,
    genome: Genome | str | Path,
    seed: int,
    settings: NegativeSettings | None = None,
) -> LabelledData:
    """A binary task, "negative" and "positive", from a BED or a file of sequences.

    A positive without negative takes no part, which `matched_negatives` says. Rows are counted as
    `write_task` writes them.

    Raises:
        BadInput: the file has labels of several classes, so that its rows are not all positives; or
            what `matched_negatives` refuses.
    """
    refuse_stream(positives, "--negatives")
    _refuse_labelled(Path(positives))
    genome = Genome.of(genome)
    records = _located(list(read_records(positives, genome=genome)), genome, positives)
    placed = all(record.chrom is not None for record in records)
    table = pd.DataFrame(
        [(r.chrom, r.start, r.end, r.strand) for r in records],
        columns=["chrom", "start", "end", "strand"],
    )
    given = table if placed else [record.codes for record in records]
    found = matched_negatives(given, genome, seed, settings, source=str(positives))
    if placed:
        # As negatives are called: rows of one chromosome must not have two names for it.
        table["chrom"] = [genome.resolve(chrom) for chrom in table["chrom"]]
    log.info("%s: %s", positives, found.quality)
    kept, drawn = found.table["positive"].to_numpy(), found.table
    places = pd.concat([table.iloc[kept], drawn]) if placed else None
    rows = LabelledSplit(
        [records[at].id for at in kept] + [f"negative-{records[at].id}" for at in kept],
        [records[at].codes for at in kept] + found.codes,
        np.repeat([1, 0], len(kept)),
        np.arange(1, 2 * len(kept) + 1),
        None,
        None if places is None else _row_places(places),
    )
    return LabelledData({"train": rows}, "binary", ("negative", "positive"), str(positives))


def write_task(data: LabelledData, file: Path) -> None:
    """The rows of a binary task as a CSV that every command reads: id, place, sequence, label."""
    rows = data.splits["train"]
    places = {} if rows.places is None else rows.places.frame().to_dict("list")
    table = pd.DataFrame(
        {
            "id": rows.ids,
            **places,
            "sequence": [decode(codes) for codes in rows.codes],
            "label": [data.classes[label] for label in rows.labels],
        }
    )
    with atomic_file(file, overwrite=True) as made:
        table.to_csv(made, index=False)


def _refuse_labelled(positives: Path) -> None:
    with open_bytes(positives) as stream:
        kind = format_of(stream, positives)
    if kind not in ("bed", "table"):
        return
    table = read_bed(positives) if kind == "bed" else read_table(positives)
    column = named_label_column([c for c in table.columns if c not in BED_COLUMNS])
    classes = [] if column is None else sorted(set(table[column].astype(str)))
    # Values of which most rows have one of their own, such as heights of peaks, are no classes.
    if 1 < len(classes) <= len(table) // 2:
        raise BadInput(
            f"has {len(classes):,} labels in column {column}: {', '.join(classes[:3])}",
            file=positives,
            remedy="--negatives expects only positives: keep the rows of one label, or leave it"
            " out and the labels are used as they are",
        )


def _located(records: list[Record], genome: Genome, source: str | Path) -> list[Record]:
    """Sequences with the positions that their names state, if the genome holds each of them there;
    else as they are.
    """
    named = stranded_regions([r.id for r in records], [len(r.codes) for r in records])
    if named is None or any(record.chrom is not None for record in records):
        return records
    found = [
        Record(record.id, record.codes, region.chrom, region.start, region.end, strand)
        for record, (region, strand) in zip(records, named, strict=True)
    ]
    elsewhere = next((record for record in found if not _is_there(record, genome)), None)
    if elsewhere is None:
        return found
    log.warning(
        "%s: the names look like regions, but %s has no such sequence at %s; negatives may overlap"
        " positives",
        source,
        genome.source,
        elsewhere.id,
    )
    return records


def _is_there(record: Record, genome: Genome) -> bool:
    chrom, start, end = str(record.chrom), record.start or 0, record.end or 0
    try:
        return np.array_equal(
            genome.fetch(chrom, start, end, str(record.strand)).codes, record.codes
        )
    except BadInput:
        return False


def _row_places(table: pd.DataFrame) -> RowPlaces:
    columns = (table[name].tolist() for name in ("chrom", "start", "end", "strand"))
    return RowPlaces.of(*columns)


# ---------------------------------------------------------------- what is asked for


def _wanted(positives: pd.DataFrame | Sequence[Codes], genome: Genome, source: str) -> Wanted:
    if isinstance(positives, pd.DataFrame):
        places = positives[["chrom", "start", "end"]].itertuples(index=False)
        fetched = [genome.fetch(chrom, start, end) for chrom, start, end in places]
        codes, soft = [f.codes for f in fetched], [f.soft for f in fetched]
        chroms = [genome.resolve(chrom) for chrom in positives["chrom"]]
    else:
        codes, soft = list(positives), [np.zeros(len(c), np.bool_) for c in positives]
        chroms = [""] * len(codes)
    lengths = np.array([len(c) for c in codes], np.int64)
    if not len(lengths) or not lengths.all():
        empty = f"row {int(lengths.argmin()) + 1} is empty" if len(lengths) else "there is no row"
        raise BadInput(empty, file=source, remedy="a negative is as long as its positive")
    shares = shares_of(np.concatenate(codes), np.concatenate(soft), lengths)
    by_soft_mask = isinstance(positives, pd.DataFrame) and len(genome.soft_runs) > 0
    if not by_soft_mask:
        log.info("%s: repeats are unknown: the CpG fraction is matched instead", source)
    return Wanted(
        lengths,
        shares.gc,
        shares.soft if by_soft_mask else shares.cpg,
        chroms,
        _strands(positives),
        frozenset(either_strand(c) for c in codes),
        by_soft_mask,
    )


def _strands(positives: pd.DataFrame | Sequence[Codes]) -> list[str]:
    if isinstance(positives, pd.DataFrame) and "strand" in positives:
        return ["-" if strand == "-" else "+" for strand in positives["strand"]]
    return ["+"] * len(positives)


def _room(
    positives: pd.DataFrame | Sequence[Codes],
    genome: Genome,
    settings: NegativeSettings,
    source: str,
) -> Integers:
    """Runs (K, 2) of store offsets without N, and without positives and their flanks."""
    runs = genome.runs
    runs = subtract(runs, genome.n_runs)
    if not isinstance(positives, pd.DataFrame):
        return runs
    taken = to_store(genome, positives, source=source)
    record = genome.record_at(taken[:, 0])
    low = np.maximum(taken[:, 0] - settings.flank, genome.offsets[record])
    high = np.minimum(taken[:, 1] + settings.flank, genome.offsets[record] + genome.lengths[record])
    return subtract(runs, np.stack([low, high], axis=1))


# ---------------------------------------------------------------- the answer


def _answer(genome: Genome, wanted: Wanted, starts: Integers, unmatched: Integers) -> Negatives:
    kept = np.flatnonzero(starts >= 0)
    at, lengths = starts[kept], wanted.lengths[kept]
    record = genome.record_at(at)
    place = at + genome.shifts[record]
    strands = [wanted.strands[row] for row in kept]
    table = pd.DataFrame(
        {
            "chrom": [genome.chroms[r] for r in record],
            "start": place,
            "end": place + lengths,
            "strand": strands,
            "positive": kept,
        }
    )
    stored = genome.store[bases_of(at, lengths)]
    forward = np.split(codes_of(stored), np.cumsum(lengths)[:-1])
    codes = [
        reverse_complement(c) if strand == "-" else c
        for c, strand in zip(forward, strands, strict=True)
    ]
    shares = shares_of(codes_of(stored), soft_of(stored), lengths)
    gc = shares.gc - wanted.gc[kept]
    repeats = (shares.soft if wanted.by_soft_mask else shares.cpg) - wanted.repeats[kept]
    quality = MatchQuality(
        len(kept),
        wanted.matched_on,
        float(np.mean([len(c) for c in codes] - lengths)),
        float(gc.mean()),
        float(repeats.mean()),
        float(np.abs(gc).max()),
        float(np.abs(repeats).max()),
    )
    return Negatives(table, codes, unmatched, quality)
