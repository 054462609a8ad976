"""torch.compile for the layers of a network, with a fallback to the uncompiled form."""

from __future__ import annotations

from typing import Literal

import torch

from findna.files import log
from findna.model.model import Model

Compile = Literal["auto", "on", "off"]


# Graphs per layer: windows of a run differ in number and length.
_GRAPHS = 32


def compile_layers(model: Model, wanted: Compile, bases: int = 0) -> bool:
    """Compile the layers in place if wanted and possible; True if they are now compiled.

    "auto" compiles on a GPU: on a CPU the layers, which spend their time in matrix products, became
    2 to 8 % slower (docs/performance.md). One graph serves all lengths. On a GPU it is made for
    batches of about `bases`, because the first call fixes how sums over rows are split. Names and
    values of the weights do not change. If the compiler fails, the network stays uncompiled, with a
    warning.
    """
    if wanted == "off" or (wanted == "auto" and model.device.type != "cuda"):
        return False
    try:
        torch._dynamo.config.cache_size_limit = _GRAPHS
        for layer in model.encoder.layers:
            layer.compile(dynamic=True)
        _try_out(model, bases if model.device.type == "cuda" else 0)
    except Exception as error:  # compilers fail in many ways: no C++ or Triton, an unknown card
        for layer in model.encoder.layers:
            layer._compiled_call_impl = None
        first, *more = str(error).strip().splitlines() or [type(error).__name__]
        # Some versions of torch put the compiler in the first line and the problem in the next.
        reason = f"{first} {more[0]}" if first.endswith(":") and more else first
        log.warning("torch.compile does not work here, continuing without it: %s", reason)
        return False
    return True


def _try_out(model: Model, bases: int) -> None:
    """A step over about `bases` bases, and one of another length: the first call compiles."""
    length = max(48, min(1000, bases // 2))
    try:
        for shape in ((max(2, bases // length), length), (2, 65)):
            codes = torch.zeros(shape, dtype=torch.long, device=model.device)
            model.encode(codes).bases.sum().backward()
    finally:
        # Gradients of the first length must not remain if the second one fails.
        model.zero_grad()
