"""What fine-tuning trains, and how fast each part of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from findna.model.model import Model
from findna.training.finetune_settings import FinetuneSettings
from findna.training.optimizer import parameter_groups

# Rate times width, as in the recipes of pretraining: 3e-3 at 128 channels.
_RATE = 0.384
# A wide head wants a slow rate (docs/results/tuning).
_OF_HEAD = 0.3


def finetuning_adamw(model: Model, settings: FinetuneSettings) -> torch.optim.AdamW:
    """AdamW over what is trained; the rest is frozen. A group's `highest_rate` is what a schedule
    multiplies.

    The head has a rate of its own. The last layer has the rate of the backbone, which is smaller
    the wider that is; what lies below a layer, `layer_decay` of its rate (Howard and Ruder 2018,
    section 3.2).
    """
    if model.task_head is None:
        raise ValueError("the model has no task head")
    model.requires_grad_(False)
    for part in (model.task_head, *trained_parts(model, settings)):
        part.requires_grad_(True)
    highest = settings.learning_rate or _RATE / model.config.backbone.width
    of_head = settings.head_learning_rate or _OF_HEAD * highest
    head = parameter_groups(model.task_head, settings.weight_decay)
    groups = [_rated(group, of_head) for group in head]
    for group in parameter_groups(model.encoder, settings.weight_decay):
        for below, some in _by_depth(model, group["params"]).items():
            rate = highest * settings.layer_decay**below
            groups.append(_rated({**group, "params": some}, rate))
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def trained_parts(model: Model, settings: FinetuneSettings) -> list[nn.Module]:
    """Modules of the backbone that are trained."""
    if settings.train == "full":
        return [model.encoder]
    if settings.train == "last":
        return [*model.encoder.layers[-settings.last_layers :], model.encoder.norm]
    if settings.train == "head":
        return []
    raise ValueError(f"a training run trains head, last or full, not {settings.train}")


def _by_depth(model: Model, parameters: list[nn.Parameter]) -> dict[int, list[nn.Parameter]]:
    """Parameters by how many layers they lie below the last one, the embeddings below the first."""
    layers = model.encoder.layers
    depth = {id(p): 0 for p in model.encoder.norm.parameters()}
    for below, layer in enumerate(reversed(layers)):
        depth.update({id(p): below for p in layer.parameters()})
    found: dict[int, list[nn.Parameter]] = {}
    for parameter in parameters:
        found.setdefault(depth.get(id(parameter), len(layers)), []).append(parameter)
    return found


def _rated(group: dict[str, Any], rate: float) -> dict[str, Any]:
    return {**group, "highest_rate": rate, "lr": rate}
