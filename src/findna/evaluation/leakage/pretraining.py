"""Which rows of a task lie in the DNA that a model was pretrained on.

Two ways, and the report says which were gone. Sequences are looked up, both strands, in the
pretraining genome itself: this needs no coordinates, and it finds copies that coordinates do not
name. Coordinates, where rows have them, are held against the runs that the model read. What cannot
be checked is said with its reason; it is never reported as "none".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bioframe
import numpy as np
import pandas as pd
import yaml

from findna.data.holdout import split_genome
from findna.data.labelled import LabelledSplit
from findna.data.places import RowPlaces
from findna.data.sampling import SamplingSettings
from findna.data.similarity import Bools, Ints
from findna.evaluation.leakage.occurrences import Located, locate
from findna.files import BadInput, file_digest
from findna.model.loading import load_model
from findna.model.model import Model, earlier_pretrainings
from findna.sequence.alphabet import reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.intervals import merge

_PLACES_COMPARED = 800
_PLACES_THAT_MUST_AGREE = 0.9


@dataclass(frozen=True)
class Pretraining:
    """What the files of a model say of its pretraining; `sampling` None if only the card speaks."""

    provenance: Mapping[str, Any]
    sampling: SamplingSettings | None = None

    @property
    def digest(self) -> str | None:
        """Digest of the genome; None for a model that was never pretrained."""
        return self.provenance.get("genome_digest")

    def on(self, genome: Genome) -> list[tuple[Mapping[str, Any], SamplingSettings | None]]:
        """The pretrainings on a genome, last first, each with its sampling where a run tells it."""
        told = [(self.provenance, self.sampling)]
        told += [(earlier, None) for earlier in earlier_pretrainings(self.provenance)]
        return [each for each in told if each[0].get("genome_digest") == genome.digest]


@dataclass(frozen=True)
class Seen:
    """The runs (K, 2) of a genome that a model was trained on, and where that is known from."""

    runs: Ints
    note: str


def pretraining_of(model: Model | str | Path) -> Pretraining:
    """From the provenance of a model, fine-tuned or not, and from its run if it lies in one."""
    loaded = model if isinstance(model, Model) else load_model(model)
    sampling = None if isinstance(model, Model) else _sampling_of_run(Path(model))
    return Pretraining(loaded.pretraining, sampling)


def _sampling_of_run(path: Path) -> SamplingSettings | None:
    """The sampling settings of the pretraining run that a path or its parent is, if it is one."""
    for folder in (path, path.parent):
        file = folder / "settings.yaml"
        if file.is_file():
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
            if found.get("verb") == "pretrain":
                return SamplingSettings.parse(found["settings"]["sampling"], source=str(file))
    return None


def why_not_checked(pretraining: Pretraining | None, genome: Genome | None) -> str | None:
    """Why rows cannot be looked up in what a model was pretrained on; None if they can."""
    if genome is None:
        name = pretraining.provenance.get("genome", "the genome") if pretraining else "a genome"
        return f"the pretraining genome is needed: give the FASTA ({name})"
    if pretraining is None:
        return None
    if pretraining.digest is None:
        return "the model names no pretraining genome"
    if not pretraining.on(genome):
        name = pretraining.provenance.get("genome", "?")
        return f"{genome.source} is not the FASTA the model was pretrained on ({name})"
    return None


def seen_part(genome: Genome, pretraining: Pretraining | None) -> Seen:
    """The runs a model was trained on in its genome; without a model, the whole genome."""
    if pretraining is None:
        return Seen(genome.runs, "no model given: the whole genome counts as seen")
    each = [_seen_by(genome, told, sampling) for told, sampling in pretraining.on(genome)]
    notes = ["; before it went on, ".join(seen.note for seen in each)]
    if len(each) <= len(earlier_pretrainings(pretraining.provenance)):
        notes.append("the model was pretrained on another genome, too, which is not checked")
    return Seen(merge(np.concatenate([seen.runs for seen in each])), "; ".join(notes))


def _seen_by(genome: Genome, told: Mapping[str, Any], sampling: SamplingSettings | None) -> Seen:
    """The runs that one pretraining read, of which the `sampling` or the card is known."""
    if "placing" in told and told["placing"] != genome.placing:
        why = "its regions are placed otherwise than they were for the model"
        return Seen(genome.runs, f"the whole genome counts as seen: {why}")
    if sampling is None and not told.keys() & {"sampling", "trained_lengths"}:
        return Seen(genome.runs, "the whole genome counts as seen: the model does not say which")
    source = "the settings of the run"
    if sampling is None:
        sampling = _sampling_of_card(told)
        source = f"the model card, {_told_of_beds(told)}"
    try:
        runs = split_genome(genome, sampling).train
    except BadInput as error:
        return Seen(genome.runs, f"the whole genome counts as seen: {error.problem}")
    return Seen(runs, f"seen part from {source}")


def _sampling_of_card(provenance: Mapping[str, Any]) -> SamplingSettings:
    """Sampling as a model card tells it; an older one tells lengths and held-out chromosomes."""
    shortest, window = provenance.get("trained_lengths", (64, 512))
    named = provenance.get("held_out_chromosomes") or None
    older = {"window": window, "min_window": shortest, "validation_chroms": named}
    beds = {n: path for n, path in _bed_files(provenance).items() if _is_here(n, path, provenance)}
    return SamplingSettings.parse(
        {**provenance.get("sampling", older), **beds}, source="the model card"
    )


def _told_of_beds(provenance: Mapping[str, Any]) -> str:
    beds = _bed_files(provenance)
    if not beds:
        return "which names no --exclude or --include"
    said = [
        f"{name} {path}{'' if _is_here(name, path, provenance) else ' (not here)'}"
        for name, path in beds.items()
    ]
    return f"with {' and '.join(said)}"


def _is_here(name: str, path: Path, provenance: Mapping[str, Any]) -> bool:
    """Whether a BED file lies where it did and, where that is known, says what it said."""
    wanted = provenance.get("bed_digests", {}).get(name)
    return path.is_file() and wanted in (None, file_digest(path))


def _bed_files(provenance: Mapping[str, Any]) -> dict[str, Path]:
    """The BED files of --include and --exclude, where the model names them."""
    return {name: Path(provenance[name]) for name in ("include", "exclude") if provenance.get(name)}


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
        return "no row lies whole in the genome by its coordinates"
    if agreeing < _PLACES_THAT_MUST_AGREE * compared:
        return (
            f"only {agreeing} of {compared} rows read as the genome does at their coordinates:"
            " another build, or another way of counting"
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
