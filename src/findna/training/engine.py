"""One engine for every device: accelerate finds it."""

from __future__ import annotations

from typing import Literal

from accelerate import Accelerator
from torch import Tensor

from findna.inference.devices import pick_device

Device = Literal["auto", "cpu", "cuda", "mps"]


def open_engine(device: str = "auto") -> Accelerator:
    """The accelerator of this process; torchrun, SLURM or ``accelerate launch`` decide how many
    there are.

    Raises:
        BadInput: this machine has no such device.
    """
    if device != "auto":
        pick_device(device)
    return Accelerator(cpu=device == "cpu", mixed_precision="no")


def total(accelerator: Accelerator, value: Tensor) -> Tensor:
    """Sum of ``value`` over all ranks."""
    summed: Tensor = accelerator.reduce(value, reduction="sum")
    return summed
