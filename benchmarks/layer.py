"""A ChordMixer layer against the same layer without its rotation: what does rotating cost?

    python benchmarks/layer.py [--preset small --preset base] [--threads 2] [--device cuda]

Both sides do norm, two products, GELU and the residual on 8 windows of 1,000 bp; only the layer
rotates. They are run in turn in one process, best of many, as they stand and through torch.compile,
forward alone and forward with backward. Prints a line of JSON and one for people for each preset;
exit code 1 above a limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import torch
from timing import best_times
from torch import Tensor, nn
from torch.nn import functional as F

from findna.model.chordmixer import Layer
from findna.model.presets import PRESETS
from findna.model.rotation import Rings

WINDOWS, LENGTH = 8, 1000
LIMITS = {
    "eager forward": 1.20,
    "eager both": 1.15,
    "compiled forward": 1.05,
    "compiled both": 1.05,
}
GPU_LIMIT = 1.5  # against the matrix products alone


class Still(nn.Module):
    """The layer without rotation, on the same weights."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: Tensor, rings: Rings) -> Tensor:
        """Rows (R, D) -> (R, D)."""
        layer = self.layer
        update: Tensor = layer.down(F.gelu(layer.up(layer.norm(rows))))
        return rows + update


class Products(nn.Module):
    """The two matrix products alone."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: Tensor, rings: Rings) -> Tensor:
        """Rows (R, D) -> (R, D)."""
        result: Tensor = self.layer.down(self.layer.up(rows))
        return result


Job = Callable[[], object]


def job(module: Callable[..., Tensor], rows: Tensor, rings: Rings, train: bool) -> Job:
    """Forward without a graph, or forward and backward."""
    if not train:

        def forward() -> Tensor:
            with torch.inference_mode():
                return module(rows, rings)

        return forward
    inputs = rows.clone().requires_grad_(True)
    upstream = torch.randn_like(rows)

    def both() -> None:
        torch.autograd.backward(module(inputs, rings), upstream)

    return both


def measure(
    preset: str,
    device: str,
    repeats: int,
    compiled: bool,
    dtype: torch.dtype,
    windows: int = WINDOWS,
) -> dict[str, float]:
    """Ratios of the layer over its still twin, and over its products alone."""
    config = PRESETS[preset].backbone
    torch.manual_seed(0)
    layer = Layer(config, 1).to(device, dtype)
    rings = Rings(windows, LENGTH)
    rows = torch.randn(windows * LENGTH, config.width, device=device, dtype=dtype)
    forms: dict[str, Callable[..., Tensor]] = {
        "layer": layer,
        "still": Still(layer),
        "products": Products(layer),
    }
    jobs: dict[str, Job] = {}
    for name, form in forms.items():
        for kind, train in (("forward", False), ("both", True)):
            jobs[f"eager {kind} {name}"] = job(form, rows, rings, train)
            if compiled:
                jobs[f"compiled {kind} {name}"] = job(torch.compile(form), rows, rings, train)
    best_times(jobs, 2, device)  # compiles and warms up
    times = best_times(jobs, repeats, device)
    ratios = {}
    for key in LIMITS:
        if f"{key} layer" in times:
            ratios[key] = times[f"{key} layer"] / times[f"{key} still"]
            ratios[f"{key} products"] = times[f"{key} layer"] / times[f"{key} products"]
    return ratios


def main() -> int:
    """Measure, print, and fail above a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--no-compile", action="store_true", help="as it stands only")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cuda = given.device.startswith("cuda")
    dtype = torch.bfloat16 if cuda else torch.float32
    above = False
    for preset in given.preset or ("small", "base"):
        ratios = measure(preset, given.device, given.repeats, not given.no_compile, dtype)
        if cuda:
            above |= min(r for k, r in ratios.items() if k.endswith("both products")) > GPU_LIMIT
        else:
            above |= any(ratios[k] > limit for k, limit in LIMITS.items() if k in ratios)
        shown = {k: round(v, 3) for k, v in ratios.items()}
        print(json.dumps({"benchmark": "layer", "preset": preset, "device": given.device, **shown}))
        told = ", ".join(
            f"{k} {ratios[k]:.3f} (limit {v})" for k, v in LIMITS.items() if k in ratios
        )
        print(f"layer of {preset} over the same without rotation (limit): {told}")
    return int(above)


if __name__ == "__main__":
    sys.exit(main())
