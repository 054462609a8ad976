"""Which rows of a task lie in the DNA that a model was pretrained on.

Two ways, and the report says which were gone. Sequences are looked up, both strands, in the
pretraining genome itself: this needs no coordinates, and it finds copies that coordinates do not
name. Coordinates, where rows have them, are held against the runs that the model read. What cannot
be checked is said with its reason; it is never reported as "none".
"""

from __future__ import annotations

from collections.abc import Mapping

import bioframe
import numpy as np
import pandas as pd

from findna.data.labelled import LabelledSplit
from findna.data.places import RowPlaces
from findna.data.similarity import Bools, Ints
from findna.evaluation.leakage.occurrences import Located, locate
from findna.files import BadInput
from findna.sequence.alphabet import reverse_complement
from findna.sequence.genome import Genome
from findna.training.seen import Pretraining, Seen

_PLACES_COMPARED = 800
_PLACES_THAT_MUST_AGREE = 0.9


def why_not_checked(pretraining: Pretraining | None, genome: Genome | None) -> str | None:
    """Why rows cannot be looked up in what a model was pretrained on; None if they can."""
    if genome is None:
        name = pretraining.provenance.get("genome", "the genome") if pretraining else "a genome"
        return f"the pretraining genome is needed: give the FASTA ({name})"
    if pretraining is None:
        return None
    if pretraining.digest is None:
        return "the model records no pretraining genome"
    if not pretraining.on(genome):
        name = pretraining.provenance.get("genome", "?")
        return f"{genome.source} is not the FASTA the model was pretrained on ({name})"
    return None


def located_rows(rows: LabelledSplit, genome: Genome, seen: Seen, mismatch_share: float) -> Located:
    """Rows looked up by sequence; `seen` of the result: some occurrence touches a run read."""
    return locate(rows.codes, genome, seen.runs, mismatch_share=mismatch_share)


def placed_rows(rows: LabelledSplit, genome: Genome, seen: Seen) -> Bools | str:
    """Rows (n,) whose coordinates share a base with the runs read, or why that is not known."""
    if rows.places is None:
        return "the rows have no coordinates"
    try:
        names = genome.resolve_all(np.unique(rows.places.chrom), source="the coordinates")
    except BadInput as error:
        return f"the coordinates: {error.problem}"
    agreeing, compared = _agreeing_places(rows, genome, names)
    if not compared:
        return "no row lies entirely in the genome by its coordinates"
    if agreeing < _PLACES_THAT_MUST_AGREE * compared:
        return (
            f"only {agreeing} of {compared} rows match the genome at their coordinates: another"
            " build, or another coordinate convention"
        )
    here = rows.places.frame().assign(chrom=[names.get(c, "") for c in rows.places.chrom])
    counts = bioframe.count_overlaps(here, _source_frame(genome, seen.runs))["count"]
    return np.asarray(counts.to_numpy() > 0)


def _agreeing_places(
    rows: LabelledSplit, genome: Genome, names: Mapping[str, str]
) -> tuple[int, int]:
    """Of up to 800 rows, evenly spread: how many read as the genome does, of how many in it."""
    places: RowPlaces | None = rows.places
    if places is None:
        return 0, 0
    agreeing = compared = 0
    known = np.flatnonzero(np.isin(places.chrom, list(names)))
    for at in known[:: max(1, -(-len(known) // _PLACES_COMPARED))].tolist():
        chrom = names[str(places.chrom[at])]
        found = genome.fetch(chrom, int(places.start[at]), int(places.end[at]))
        if found.inside.all():
            row = rows.codes[at]
            either = (found.codes, reverse_complement(found.codes))
            agreeing += any(np.array_equal(row, strand) for strand in either)
            compared += 1
    return agreeing, compared


def _source_frame(genome: Genome, runs: Ints) -> pd.DataFrame:
    """Runs of store offsets as chrom, start, end of the source genome; none crosses a record."""
    record = genome.record_at(runs[:, 0])
    shift = genome.shifts[record]
    chroms = np.array(genome.chroms, dtype=object)[record]
    return pd.DataFrame({"chrom": chroms, "start": runs[:, 0] + shift, "end": runs[:, 1] + shift})
