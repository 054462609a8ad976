"""The network that a pretraining run begins with: new, or one that is continued."""

from __future__ import annotations

from pathlib import Path

from findna.files import BadInput
from findna.model.loading import load_model
from findna.model.model import Model, new_model
from findna.model.presets import PRESETS
from findna.training.recipes import PretrainSettings


def preset_of(start_from: str | Path | None) -> dict[str, str]:
    """Preset and head of the model that is continued, whose recipe fits it; none of others."""
    config = None if start_from is None else load_model(start_from).config
    if config is None or config.preset not in PRESETS:
        return {}
    return {"preset": config.preset, "head": config.projection.kind}


def starting_model(settings: PretrainSettings, start_from: str | Path | None) -> Model:
    """A new model of the preset, or the weights that are continued, without a task head.

    Raises:
        BadInput: the settings ask for another shape than that of the weights.
    """
    if start_from is None:
        preset = PRESETS[settings.preset]
        head = preset.projection.model_copy(update={"kind": settings.head})
        return new_model(preset.model_copy(update={"projection": head}), settings.seed)
    model = load_model(start_from)
    _refuse_other_shape(settings, model, start_from)
    return model.with_task(None, settings.seed) if model.config.task else model


def _refuse_other_shape(settings: PretrainSettings, model: Model, source: str | Path) -> None:
    """A preset or head that was asked for is another shape than that of the weights."""
    shape = {"preset": model.config.preset, "head": model.config.projection.kind}
    for name, has in shape.items():
        asked, usual = getattr(settings, name), PretrainSettings.model_fields[name].default
        # A shape of one's own goes by the recipe of the usual preset.
        unnamed = has == "custom" and asked == usual
        if name in settings.model_fields_set and asked != has and not unnamed:
            raise BadInput(
                f"{name} {asked} is requested, but {source} has {name} {has}",
                remedy=f"leave out --{name}, also in a --config file: the shape comes from"
                " --from; settings of a recipe can be given one by one",
            )
