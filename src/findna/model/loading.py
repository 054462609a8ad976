"""Loading models: from a folder, a run, or by the name of a published model.

Weights are loaded into a structure built from the config: anything missing, extra or of another
shape is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file

from findna.files import BadInput, log, read_json
from findna.model.model import CONFIG, FORMAT_VERSION, WEIGHTS, Model, new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.model.published import PUBLISHED
from findna.sequence.alphabet import ALPHABET_NAME

# The model that is used when none is given; it comes with the package.
DEFAULT = "findna-human-tiny"


def is_preset(name: object) -> bool:
    """Whether a preset with random weights is meant, even if a folder of that name exists: this is
    given as `./name` or a `Path`.
    """
    return isinstance(name, str) and name in PRESETS


def say_shadowed(preset: str) -> None:
    """Warn if a folder has the name of the preset."""
    if Path(preset).is_dir():
        log.warning(
            "%s is the preset, with random weights; for the folder write ./%s", preset, preset
        )


def model_or_preset(name: str | Path, seed: int) -> Model:
    """The trained model of a folder, run or published name, or a preset with random weights.

    Raises:
        BadInput: there is no such model or preset.
    """
    if not is_preset(name):
        return load_model(name)
    say_shadowed(str(name))
    return new_model(str(name), seed)


def pick_model(model: Model | str | Path | None) -> Model:
    """A model unchanged, or loaded from its folder or by its name; None is the one that comes with
    findna, which is logged with what it was trained on.

    Raises:
        BadInput: as `load_model`.
    """
    if isinstance(model, Model):
        return model
    if model is not None:
        return load_model(model)
    found = load_model(DEFAULT)
    log.info("no model given: using %s, trained on %s", DEFAULT, found.provenance["trained_on"])
    return found


def model_name(named: Model | str | Path | None, model: Model) -> str:
    """The name of a `model` in messages and files, from how it was given (`named`)."""
    return model.config.preset if isinstance(named, Model) else str(named or DEFAULT)


def model_folder(path: str | Path) -> Path:
    """The model folder for ``path``: itself, ``model/`` of a run folder, or that of a published
    name.

    Raises:
        BadInput: there is none, or a published model is absent or differs from what was published.
    """
    path = Path(path)
    if str(path) in PUBLISHED:
        if not path.exists():
            return PUBLISHED[str(path)].folder()
        log.warning("%s is the local folder, not the published model", path)
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            return folder
    # An evaluation has settings as well, but never a model.
    if (path / "settings.yaml").is_file() and not (path / "runs").is_dir():
        raise BadInput(
            "this run has written no model yet",
            file=path,
            remedy="continue with the command in its command.txt and --resume",
        )
    raise BadInput(
        "this is not a model folder: it has no config.json" if path.exists() else "no such model",
        file=path,
        remedy="give a folder written by findna pretrain or finetune, or the name of a published"
        f" model: {', '.join(PUBLISHED)}",
    )


def load_model(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model folder, the model of a run folder or a published name, in evaluation mode.

    Raises:
        BadInput: no such model, a published one that differs, an unknown format version or
        alphabet, or a tensor that is missing, extra, of another shape or not finite.
    """
    folder = model_folder(path)
    described = read_json(folder / CONFIG)
    if not isinstance(described, dict):
        raise BadInput("has no model", file=folder / CONFIG, remedy="copy the whole folder again")
    config = _read_config(described, folder / CONFIG)
    model = new_model(config, seed=0)
    _load_weights(model, folder / WEIGHTS)
    model.provenance = _past(described)
    return model.to(device).eval()


def _read_config(described: Mapping[str, Any], file: Path) -> ModelConfig:
    if "format_version" not in described:
        raise BadInput(
            "is not the config.json of a findna model",
            file=file,
            remedy="findna evaluate --hf compares with a Hugging Face model",
        )
    version = described.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise BadInput(
            f"format version {version!r} is unknown; this findna reads 1 to {FORMAT_VERSION}",
            file=file,
            remedy="update findna, or save the model again with this version",
        )
    if described.get("alphabet") != ALPHABET_NAME:
        raise BadInput(
            f"alphabet {described.get('alphabet')!r} is not {ALPHABET_NAME!r}",
            file=file,
            remedy="the model was trained on other codes and cannot be used",
        )
    for key, told in (("model", described.get("model")), ("provenance", _past(described))):
        if not isinstance(told, dict):
            raise BadInput(f"{key} is not a table", file=file, remedy="copy the whole folder again")
    config = ModelConfig.parse(described["model"], source=str(file))
    if described.get("offsets") != list(config.backbone.offsets):
        raise BadInput(
            f"rotation offsets {described.get('offsets')} differ from those of the configured"
            f" shape, {list(config.backbone.offsets)}",
            file=file,
            remedy="restore config.json: with another shape the same weights give other numbers",
        )
    return config


def _past(described: Mapping[str, Any]) -> Any:
    """Provenance of the weights; optional in a folder."""
    return described.get("provenance") or {}


def _load_weights(model: Model, file: Path) -> None:
    try:
        found = load_file(file)
    except FileNotFoundError:
        raise BadInput(
            "the weights are missing", file=file, remedy="copy the whole folder"
        ) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise BadInput(
            f"the weights cannot be read ({error})", file=file, remedy="copy the file again"
        ) from None
    wanted = model.state_dict()
    if model.config.projection.kind == "shared":
        found |= {
            name: found[name.replace("projection.", "base_head.")]
            for name in wanted
            if name.startswith("projection.") and name.replace("projection.", "base_head.") in found
        }
    problems = [f"tensor {name} is missing" for name in wanted.keys() - found.keys()]
    problems += [
        f"tensor {name} is not part of this model" for name in found.keys() - wanted.keys()
    ]
    problems += [
        f"tensor {name} has shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if found[name].shape != wanted[name].shape
    ]
    problems += [
        f"tensor {name} has values that are not finite"
        for name in wanted.keys() & found.keys()
        if not torch.isfinite(found[name]).all()
    ]
    if problems:
        raise BadInput(
            "; ".join(sorted(problems)[:5]),
            file=file,
            remedy="use weights and config.json that were saved together",
        )
    model.load_state_dict(found)
