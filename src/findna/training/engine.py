"""One engine for every device: accelerate finds it."""

from __future__ import annotations

from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor

from findna.files import BadInput
from findna.inference.devices import pick_device

T = TypeVar("T")


def open_engine(device: str = "auto") -> Accelerator:
    """The accelerator of this process; torchrun, SLURM or ``accelerate launch`` decide how many
    there are.

    Raises:
        BadInput: this machine has no such device.
    """
    wanted = pick_device(device)
    _forget_other(wanted.type)
    if wanted.type == "cuda" and wanted.index is not None:
        torch.cuda.set_device(wanted)
    # On a CPU accelerate counts the processes only if it is told that no other device is meant.
    return Accelerator(cpu=wanted.type == "cpu", mixed_precision="no")


def _forget_other(kind: str) -> None:
    """A notebook may compute on one device and then on another; accelerate keeps the first for the
    life of a process, and has no other way to be told.
    """
    if PartialState._shared_state:
        known = PartialState()
        if known.num_processes == 1 and known.device.type != kind:
            AcceleratorState._reset_state(reset_partial_state=True)


def one_device(device: str, what: str) -> torch.device:
    """The device of work that one process does alone.

    Raises:
        BadInput: there are several processes, or this machine has no such device.
    """
    engine = open_engine(device)
    if engine.num_processes > 1:
        raise BadInput(
            f"{what} runs in one process, not in {engine.num_processes}",
            remedy="start it without torchrun, one run per device",
        )
    return engine.device if device == "auto" else torch.device(device)


def agreed(accelerator: Accelerator, value: T) -> T:
    """What the first rank says, on all of them."""
    if accelerator.num_processes == 1:
        return value
    told: list[T] = broadcast_object_list([value])
    return told[0]


def total(accelerator: Accelerator, value: Tensor) -> Tensor:
    """Sum of ``value`` over all ranks."""
    summed: Tensor = accelerator.reduce(value, reduction="sum")
    return summed
