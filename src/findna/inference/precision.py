"""Precision of matrix products: which one suits a device, and how to use it."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cache
from typing import Literal, get_args

import torch

# As requested, and as used.
Precision = Literal["auto", "fp32", "bf16"]
ResolvedPrecision = Literal["fp32", "bf16"]


def resolve_precision(precision: Precision, device: torch.device) -> ResolvedPrecision:
    """The precision for "auto": bf16 where the hardware multiplies it faster than fp32.

    On a CPU only timing shows it (AVX512-BF16 and AMX are faster, emulation is slower), so a small
    product is timed.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"no such precision: {precision!r}; choose from auto, fp32, bf16")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        # By default, torch includes emulation on older cards (V100, T4), slower than fp32.
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if fast else "fp32"
    if device.type != "cpu":
        return "fp32"
    return "bf16" if _cpu_prefers_bf16() else "fp32"


@cache
def _cpu_prefers_bf16() -> bool:
    """Timed once per process, so that results to be compared have one precision. A small product
    comes first: a large one takes seconds if bf16 is emulated.
    """
    return all(
        _product_time(torch.bfloat16, side) < share * _product_time(torch.float32, side)
        for side, share in ((128, 4.0), (1024, 0.75))
    )


def _product_time(dtype: torch.dtype, side: int) -> float:
    left = torch.ones(side, side, dtype=dtype)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - start)
    return min(times)


def autocast(device: torch.device, precision: ResolvedPrecision) -> AbstractContextManager[None]:
    """Matrix products in bf16 with fp32 weights, or everything in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
