"""A device that computes on the CPU and refuses what a GPU would refuse.

Its tensors say that they lie on `PRETEND`, and their numbers lie on the CPU. As on a CUDA device,
an operation wants all its tensors there, numpy reads none of them, and a result comes back by
`.cpu()` or `.item()` only; as on a Mac's GPU, no number is a float64. So code meets its first
device before it meets a GPU.

    with PretendGpu():
        model.to(PRETEND)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

PRETEND = "pretend"
# A way for Python to be a device, which not every torch has and the next may change.
_SETUP = "_setup_privateuseone_for_python_backend"
HAS_PRETEND = hasattr(backend_registration, _SETUP)
if HAS_PRETEND:
    # At once: autograd counts the devices there are at the first gradient of the process.
    getattr(backend_registration, _SETUP)(PRETEND)
    getattr(torch, PRETEND).get_amp_supported_dtype = lambda: [torch.bfloat16]

_aten = torch.ops.aten
# CUDA takes indices from the host, and copies between the two.
_EITHER = {
    _aten.copy_.default,
    _aten._to_copy.default,
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}


class OnPretend(Tensor):
    """A tensor that lies on `PRETEND`; `held` has its numbers."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        assert not isinstance(held, OnPretend)
        if held.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"{PRETEND} has no {held.dtype}, as a Mac's GPU has none")
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(PRETEND, 0),
        )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        """Made by `__new__`."""

    def tolist(self) -> Any:
        """CUDA tensors have it."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


class PretendGpu(TorchDispatchMode):
    """Inside, `PRETEND` is a device of this machine."""

    def __enter__(self) -> Self:
        """Let tensors be made there."""
        self._kept = torch.tensor, torch.as_tensor
        torch.tensor, torch.as_tensor = map(_through_the_host, self._kept)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Put back what was in the way."""
        super().__exit__(*error)
        torch.tensor, torch.as_tensor = self._kept

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


def _through_the_host(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.tensor` asks the device for memory behind the back of every mode."""

    def made(data: Any, *args: Any, device: Any = None, **how: Any) -> Tensor:
        if device is None or not _is_pretend(device):
            return make(data, *args, device=device, **how)
        return make(data, *args, **how).to(device)

    return made


def _is_pretend(device: Any) -> bool:
    return torch.device(device).type == PRETEND


def _computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation on the numbers, and its result where CUDA would have it."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, OnPretend)]
    device = kwargs.get("device")
    if not there and (device is None or not _is_pretend(device)):
        return func(*args, **kwargs)
    _refuse_mixed(func, args, tensors)
    how = {**kwargs, "device": torch.device("cpu")} if device is not None else kwargs
    found = func(*tree_map(_numbers, args), **tree_map(_numbers, how))
    if func is _aten._local_scalar_dense.default:
        return found
    if func is _aten.copy_.default:
        return args[0]
    if device is not None and not _is_pretend(device):
        return found
    found = tree_map(lambda leaf: OnPretend(leaf) if isinstance(leaf, Tensor) else leaf, found)
    return return_and_correct_aliasing(func, args, kwargs, found) if there else found


def _numbers(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, OnPretend) else leaf


def _refuse_mixed(func: Any, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """What CUDA refuses; a single number may come from the host."""
    on_host = [t for t in tensors if not isinstance(t, OnPretend) and t.dim()]
    if func in _EITHER:
        copies = func in (_aten.copy_.default, _aten._to_copy.default)
        on_host = [] if copies or isinstance(args[0], OnPretend) else on_host
    if on_host and len(on_host) < len(tensors):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {func} met"
            f" {[tuple(t.shape) for t in on_host]} on the host"
        )
