"""A watch over operators on the CPU: would a GPU make the host wait?"""

import traceback
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU: reading a number, or a result whose size
    depends on numbers, or a tensor made on the host otherwise than by `sent`.
    """

    waits = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func.overloadpacket.__name__
        by_mask = name == "index" and _by_mask(args[1])
        from_host = name == "lift_fresh" and not _called_by("sent")
        if name.startswith(self.waits) or by_mask or from_host:
            raise AssertionError(f"{name} would wait")
        return func(*args, **(kwargs or {}))


def _by_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype == torch.bool for index in indices)


def _called_by(function: str) -> bool:
    return any(frame.name == function for frame in traceback.extract_stack())
