"""Choosing a device and a batch size for it."""

from __future__ import annotations

import torch

from findna.files import BadInput

# On a CPU the activations of a batch should stay in its cache: `tiny` is 1.7 times as fast at 16 kb
# as at 64 kb (benchmarks/batch_size.py). A GPU wants enough work for every launch.
_CPU_BATCH_BASES, _GPU_BATCH_BASES = 16_384, 262_144


def pick_device(name: str) -> torch.device:
    """The device called `name`; auto is CUDA, else MPS, else CPU.

    Raises:
        BadInput: this machine has no such device.
    """
    name = str(name)
    have = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, here in have.items() if here))
    if not have.get(name.split(":")[0], False):
        listed = ", ".join(kind for kind, here in have.items() if here)
        raise BadInput(f"this machine has no device {name!r}", remedy=f"it has: {listed}")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadInput(f"{name!r} is not a device", remedy="cuda:1 is the second GPU") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(
            f"this machine has no device {name!r}",
            remedy=f"it has cuda:0 to cuda:{torch.cuda.device_count() - 1}",
        )
    return device


def usual_batch_bases(device: torch.device) -> int:
    """Bases a batch, padding included, that suit a device."""
    return _CPU_BATCH_BASES if device.type == "cpu" else _GPU_BATCH_BASES
