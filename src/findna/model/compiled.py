"""torch.compile for the layers of a network, with the plain form to fall back on."""

from __future__ import annotations

from typing import Literal

import torch

from findna.files import log
from findna.model.model import Model

Compile = Literal["auto", "on", "off"]


# Windows of one run differ in number and length, and a layer at a time counts as one function.
_GRAPHS = 32


def compile_layers(model: Model, wanted: Compile, bases: int = 0) -> bool:
    """Compile the layers in place where it is wanted and works; True if they now are.

    "auto" is a GPU: on a CPU the layers, whose time goes into matrix products, became 2 to 8 %
    slower (docs/performance.md). One graph serves all lengths. On a GPU it is made for batches of
    about `bases`: how a sum over rows is cut up is fixed at the first call. Names and values of the
    weights stay what they are. Where the compiler fails, the network goes on as it was, and that is
    said.
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
        # Some versions of torch name the compiler first and what it lacks in the next line.
        reason = f"{first} {more[0]}" if first.endswith(":") and more else first
        log.warning("torch.compile does not work here, going on without it: %s", reason)
        return False
    return True


def _try_out(model: Model, bases: int) -> None:
    """A step over about so many bases, and one over another length: compiling happens at the first
    call.
    """
    length = max(48, min(1000, bases // 2))
    try:
        for shape in ((max(2, bases // length), length), (2, 65)):
            codes = torch.zeros(shape, dtype=torch.long, device=model.device)
            model.encode(codes).bases.sum().backward()
    finally:
        # What a first length left would be learned from if a second one fails.
        model.zero_grad()
