"""AdamW and what it decays."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices decay; biases, norms and embeddings do not. Frozen parameters are left
    out.
    """
    tables = {
        id(p)
        for part in module.modules()
        if isinstance(part, nn.Embedding)
        for p in part.parameters()
    }
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    spared = [p for n, p in trained if p.ndim < 2 or id(p) in tables or n.endswith("summary")]
    kept = {id(p) for p in spared}
    decayed = [p for _, p in trained if id(p) not in kept]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]


def adamw(
    module: nn.Module, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """Fused AdamW over :func:`parameter_groups`."""
    groups = parameter_groups(module, weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the learning rate ``rate``."""
    for group in optimizer.param_groups:
        group["lr"] = rate
