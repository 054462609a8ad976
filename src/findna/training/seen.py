"""What of a genome a model was trained on, as its files tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from findna.data.holdout import split_genome
from findna.data.sampling import SamplingSettings
from findna.files import BadInput, file_digest
from findna.model.loading import load_model
from findna.model.model import Model, earlier_pretrainings
from findna.sequence.genome import Genome
from findna.sequence.intervals import merge
from findna.sequence.regions import Integers
from findna.training.run_state import SETTINGS, described_in


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

    runs: Integers
    note: str


def pretraining_of(model: Model | str | Path) -> Pretraining:
    """From the provenance of a model, fine-tuned or not, and from its run if it lies in one."""
    loaded = model if isinstance(model, Model) else load_model(model)
    sampling = None if isinstance(model, Model) else _sampling_of_run(Path(model))
    return Pretraining(loaded.pretraining, sampling)


def _sampling_of_run(path: Path) -> SamplingSettings | None:
    """The sampling settings of the pretraining run that a path or its parent is, if it is one."""
    for folder in (path, path.parent):
        file = folder / SETTINGS
        if file.is_file() and (found := described_in(folder)).get("verb") == "pretrain":
            return SamplingSettings.parse(found["settings"]["sampling"], source=str(file))
    return None


def seen_part(genome: Genome, pretraining: Pretraining | None) -> Seen:
    """The runs a model was trained on in its genome; without a model, the whole genome."""
    if pretraining is None:
        return Seen(genome.runs, "no model given: the whole genome counts as seen")
    each = [_seen_by(genome, told, sampling) for told, sampling in pretraining.on(genome)]
    notes = ["; before it continued, ".join(seen.note for seen in each)]
    if len(each) <= len(earlier_pretrainings(pretraining.provenance)):
        notes.append("the model was also pretrained on another genome, which is not checked")
    return Seen(merge(np.concatenate([seen.runs for seen in each])), "; ".join(notes))


def _seen_by(genome: Genome, told: Mapping[str, Any], sampling: SamplingSettings | None) -> Seen:
    """The runs that one pretraining read, of which the `sampling` or the card is known."""
    if "placing" in told and told["placing"] != genome.placing:
        why = "its regions are not placed as they were for the model"
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
