"""A model folder to give away: weights, config without paths of this machine, and a card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from findna.evaluation.sharing.card import Sharing, model_card
from findna.evaluation.sharing.evidence import read_evidence
from findna.evaluation.sharing.halving import Agreement, agreement, halved
from findna.evaluation.sharing.known import (
    Known,
    known_model,
    read_regions,
    refuse_changed,
    without_paths,
)
from findna.files import BadInput, log, several
from findna.model.model import WEIGHTS, weights_digest
from findna.sequence.genome import Genome

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# An SPDX identifier, as the licence field of a model card wants it.
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")

# What people say of a model, beside what its run wrote down.
_SAID = ("name", "species", "trained_on")


@dataclass(frozen=True)
class ExportResult:
    """The folder, bytes of its weights, their digest by name, and what half precision changed."""

    folder: Path
    bytes: int
    digest: str
    agreement: Agreement | None


def export(
    model: str | Path,
    output: str | Path,
    *,
    half: bool = False,
    name: str | None = None,
    evaluation: Sequence[str | Path] = (),
    regions: str | Path | None = None,
    genome: Genome | str | Path | None = None,
    species: str | None = None,
    trained_on: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write a model folder to give away, with a card of everything that is known of the model.

    Args:
        model: a run (its settings, numbers and environment go into the card), a model folder or a
            published name.
        output: the folder, to be uploaded or copied as it is.
        half: keep 16 bits a weight, after a look at how far that moves the answers.
        name: what the card calls it; the name of the folder if None.
        evaluation: folders of findna evaluate in which this model took part.
        regions: BED of the regions it was trained on; that of the run's --include if None.
        genome: FASTA of the run: half precision is then checked on its held-out windows, and on
            simulated letters without it.
        species: for the card and for who loads the model.
        trained_on: what it has seen, in a line.
        licence: SPDX identifier of the weights' licence; that of this package if None.
        overwrite: replace `output`.

    Raises:
        BadInput: no model there yet, an evaluation of other models, a BED of other regions, another
            genome, a name or licence that is none, weights that 16 bits cannot hold.
    """
    name = _named(name or Path(output).resolve().name)
    licence = _licence(licence)
    known = known_model(model)
    bed = regions or _included(known)
    given = {"name": name, "species": species, "trained_on": trained_on}
    known.model.provenance = _told(known, {k: v for k, v in given.items() if v is not None})
    genome = Genome.of(genome)
    rounded = halved(known.model) if half else known.model
    found = agreement(known.model, rounded, known.run, genome) if half else None
    digests = (weights_digest(known.model), weights_digest(rounded))
    sharing = Sharing(
        name,
        licence,
        digests[1],
        found,
        read_regions(bed, known) if bed else None,
        tuple(read_evidence(folder, digests) for folder in several(evaluation)),
    )
    output = Path(output)
    known.model.save(output, card=model_card(known, sharing), half=half, overwrite=overwrite)
    size = (output / WEIGHTS).stat().st_size
    if found:
        log.info("%s", found.text)
    log.info("%s: %s bytes of weights, %s", output, f"{size:,}", digests[1])
    return ExportResult(output, size, digests[1], found)


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is not a valid name for a model",
            remedy="use only letters, digits, -, _ and .: --name findna-human-tiny",
        )
    return name


def _licence(licence: str | None) -> str:
    chosen = licence or str(metadata("findna")["License-Expression"])
    if not _LICENCE.fullmatch(chosen):
        raise BadInput(
            f"{chosen!r} is not a licence identifier",
            remedy="use one of https://spdx.org/licenses, such as Apache-2.0 or CC-BY-4.0",
        )
    return chosen


def _told(known: Known, given: dict[str, str]) -> dict[str, Any]:
    """Provenance to give away: what was said of the model first, and no path of this machine."""
    kept = without_paths(known.model.provenance)
    first = {key: kept[key] for key in _SAID if key in kept}
    return {**first, **given, **{key: kept[key] for key in kept if key not in _SAID}}


def _included(known: Known) -> Path | None:
    """The BED of the run's --include, if it still lies where it did.

    Raises:
        BadInput: it is another one than that which the model was trained on.
    """
    seen = known.model.pretraining
    include = seen.get("include")
    if not include or not Path(include).is_file():
        return None
    refuse_changed(Path(include), (seen.get("bed_digests") or {}).get("include"))
    return Path(include)
