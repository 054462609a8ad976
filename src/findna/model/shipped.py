"""The model that is used when none is named: it comes with the package."""

from __future__ import annotations

from pathlib import Path

from findna.files import log
from findna.model.loading import load_model
from findna.model.model import Model

DEFAULT = "findna-human-tiny"


def pick_model(model: Model | str | Path | None) -> Model:
    """A model as it is, from its folder or by its name; None is the one that comes with findna.

    What is used without being asked for is said: the model, its species and how much of the genome
    it has seen.

    Raises:
        BadInput: as `load_model`.
    """
    if isinstance(model, Model):
        return model
    if model is not None:
        return load_model(model)
    found = load_model(DEFAULT)
    log.info("no model is named: using %s, trained on %s", DEFAULT, found.provenance["trained_on"])
    return found


def model_name(named: Model | str | Path | None, model: Model) -> str:
    """What to call a `model` in a message or a file, by how it was `named`."""
    return model.config.preset if isinstance(named, Model) else str(named or DEFAULT)
