"""A whole pretraining step against the block it is made of, and that block against a product.

    python benchmarks/step.py [--preset tiny] [--threads 1] [--precision fp32]

The step is everything: windows, views, hiding, student forward and backward, teacher forward,
losses, clipping, optimizer, EMA. The block is the backbone's layers without rotation (norm, two
products, GELU, residual), forward and backward, at the same shapes. Rates are floating-point
operations of the layers' products a second: a step does those of the block and, for the teacher, a
third as many again. Measured in turn in one process, best of many. Prints a line of JSON and one
for people; exit code 1 below a limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Literal, cast, get_args

import numpy as np
import torch
from layer import Still
from timing import best_times

from findna.data.batches import PretrainBatch
from findna.data.masking import HidingSettings, embedding_noise, hide
from findna.data.sampling import SamplingSettings
from findna.data.views import ViewSettings, student_view, teacher_view
from findna.data.windows import RawWindows
from findna.inference.precision import autocast
from findna.model.chordmixer import Layer
from findna.model.compiled import Compile
from findna.model.model import Model, new_model
from findna.model.rotation import Rings
from findna.training.engine import open_engine
from findna.training.self_distillation import DistillationSettings, SelfDistillation

STEP_LIMIT, BLOCK_LIMIT = 0.70, 0.45
VIEWS, HIDING = ViewSettings(), HidingSettings()
# With a teacher, which the default recipe does not ask: the whole step of the method.
DISTILLING = DistillationSettings(distillation_weight=0.2)
SIDE = 2048


def batch_of(raw: RawWindows, ids: np.ndarray, width: int, device: str) -> PretrainBatch:
    """Views, hiding and noise, as `make_batch` makes them of windows that were read."""
    student = student_view(raw, 0, 0, ids, VIEWS).codes
    shown = hide(student, 0, 0, ids, HIDING)
    return PretrainBatch(
        student=shown.codes,
        hidden=shown.hidden,
        targets=shown.targets,
        weights=torch.ones((1, 1), device=device).expand(student.shape),
        teacher=teacher_view(raw, 0, 0, ids, VIEWS).codes.to(torch.int64),
        noise=embedding_noise(0, 0, ids, student.shape[1], width, VIEWS.noise, device),
        ids=ids,
    )


def operations(model: Model, rows: int) -> float:
    """Of the layers' products, one forward pass over `rows` positions."""
    shape = model.config.backbone
    return 4.0 * rows * shape.width * shape.hidden * shape.depth


def main() -> int:
    """Measure, print, and fail below a limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", default="auto", choices=get_args(Compile))
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--bases", type=int, default=SamplingSettings().batch_bases)
    parser.add_argument("--repeats", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device: str = given.device
    precision = cast(Literal["fp32", "bf16"], given.precision)
    model = new_model(given.preset, 0)
    shape = model.config.backbone
    windows = given.bases // given.window
    drawn = np.random.default_rng(0).integers(0, 4, (windows, given.window + VIEWS.indel), np.uint8)
    everywhere = torch.ones(drawn.shape, dtype=torch.bool)
    raw = RawWindows(torch.from_numpy(drawn), everywhere, ~everywhere, given.window).to(device)
    ids = np.arange(windows)
    learner = SelfDistillation(model, DISTILLING, open_engine(device), precision, given.compile)
    layers = new_model(given.preset, 0).to(device).encoder.layers
    still = [Still(cast(Layer, layer)) for layer in layers]
    rings = Rings(windows, given.window + shape.summary_tokens)
    rows = torch.randn(rings.count * (rings.length or 0), shape.width, device=device)
    upstream = torch.randn_like(rows)
    left = torch.randn(SIDE, SIDE, device=device)

    def step() -> None:
        learner.step([batch_of(raw, ids, shape.width, device)], 0, 1000)

    def block() -> None:
        with autocast(torch.device(device), precision):
            out = rows.clone().requires_grad_(True)
            for layer in still:
                out = layer(out, rings)
        torch.autograd.backward(out, upstream)

    times = best_times({"step": step, "block": block, "product": lambda: left @ left}, 2, device)
    times = best_times(
        {"step": step, "block": block, "product": lambda: left @ left}, given.repeats, device
    )
    forward = operations(model, len(rows))
    rates = {
        "step": 4 * forward / times["step"],
        "block": 3 * forward / times["block"],
        "product": 2.0 * SIDE**3 / times["product"],
    }
    of_block, of_product = rates["step"] / rates["block"], rates["block"] / rates["product"]
    result = {
        "benchmark": "step",
        "preset": given.preset,
        "device": device,
        "threads": given.threads,
        "precision": precision,
        "compiled": learner.compiled,
        "gflops": {name: round(rate / 1e9, 1) for name, rate in rates.items()},
        "bases_per_s": round(windows * given.window / times["step"]),
        "step_of_block": round(of_block, 3),
        "block_of_product": round(of_product, 3),
    }
    print(json.dumps(result))
    print(
        f"{given.preset}: a step runs at {100 * of_block:.0f} % of its block's rate (limit"
        f" {100 * STEP_LIMIT:.0f} %), the block at {100 * of_product:.0f} % of a {SIDE}^3 fp32"
        f" product (limit {100 * BLOCK_LIMIT:.0f} %)"
    )
    return int(of_block < STEP_LIMIT or of_product < BLOCK_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
