"""Both views and hiding of a batch against copying it, and against a training step on it.

    python benchmarks/views.py [--device cuda]

The copy is `codes.clone()` of 256 x 1,000 int64 codes: one of the three such tensors a batch has.
The step is that of the `tiny` preset on its usual 16,384 bases in windows of 512. Both sides of a
ratio are measured in turn, in one process, best of many. Prints one line of JSON and one for
people; exit code 1 above a limit, which a CPU has.
"""

import argparse
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
from timing import best_times

from findna.data.batches import PretrainBatch
from findna.data.masking import HidingSettings, embedding_noise, hide
from findna.data.sampling import SamplingSettings
from findna.data.views import ViewSettings, student_view, teacher_view
from findna.data.windows import RawWindows
from findna.model.model import new_model
from findna.training.engine import open_engine
from findna.training.self_distillation import DistillationSettings, SelfDistillation

COPY_LIMIT = 30.0
STEP_LIMIT = 0.10
WINDOWS, LENGTH = 256, 1000
VIEWS, HIDING, SAMPLING = ViewSettings(), HidingSettings(), SamplingSettings()


def random_windows(rows: int, length: int, device: str) -> RawWindows:
    """Windows of random bases with the margin that the teacher's view needs."""
    drawn = np.random.default_rng(0).integers(0, 4, (rows, length + VIEWS.indel), dtype=np.uint8)
    codes = torch.from_numpy(drawn)
    everywhere = torch.ones(codes.shape, dtype=torch.bool)
    return RawWindows(codes, everywhere, ~everywhere, length).to(device)


def views_and_hiding(raw: RawWindows) -> PretrainBatch:
    """What `make_batch` does with windows once they are read, noise aside."""
    ids = np.arange(len(raw.codes))
    student = student_view(raw, 0, 0, ids, VIEWS).codes
    teacher = teacher_view(raw, 0, 0, ids, VIEWS).codes.to(torch.int64)
    shown = hide(student, 0, 0, ids, HIDING)
    weights = torch.ones((1, 1), device=student.device).expand(student.shape)
    return PretrainBatch(shown.codes, shown.hidden, shown.targets, weights, teacher, None, ids)


def against_copy(repeats: int, device: str) -> dict[str, float]:
    """Seconds of copying one tensor of the batch and of making the batch."""
    raw = random_windows(WINDOWS, LENGTH, device)
    codes = raw.codes[:, :LENGTH].to(torch.int64)
    jobs: dict[str, Callable[[], object]] = {
        "copy": codes.clone,
        "views": lambda: views_and_hiding(raw),
    }
    return best_times(jobs, repeats, device)


def against_step(repeats: int, device: str) -> dict[str, float]:
    """Seconds of a step of `tiny` and of the views, hiding and noise it needs."""
    rows = SAMPLING.batch_bases // SAMPLING.window
    raw = random_windows(rows, SAMPLING.window, device)
    model = new_model("tiny", 0)
    learner = SelfDistillation(
        model, DistillationSettings(distillation_weight=0.2), open_engine(device), "fp32"
    )
    batch = views_and_hiding(raw)
    width = model.config.backbone.width

    def noise() -> torch.Tensor:
        return embedding_noise(0, 0, batch.ids, SAMPLING.window, width, VIEWS.noise, device)

    jobs: dict[str, Callable[[], object]] = {
        "views": lambda: views_and_hiding(raw),
        "noise": noise,
        "step": lambda: learner.step([batch], 0, 1000),
    }
    return best_times(jobs, repeats, device)


def main() -> int:
    """Measure, print, and fail above a limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of either side")
    parser.add_argument("--repeats", type=int, default=200, help="measurements against the copy")
    parser.add_argument("--steps", type=int, default=8, help="measurements against the step")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    step = against_step(options.steps, options.device)
    copy = against_copy(options.repeats, options.device)
    ratio, share = copy["views"] / copy["copy"], step["views"] / step["step"]
    result = {
        "benchmark": "views",
        "device": options.device,
        "threads": options.threads,
        "windows": WINDOWS,
        "length": LENGTH,
        "views_s": round(copy["views"], 6),
        "copy_s": round(copy["copy"], 6),
        "ratio": round(ratio, 2),
        "limit": COPY_LIMIT,
        "tiny_step_s": round(step["step"], 5),
        "share_of_step": round(share, 4),
        "share_limit": STEP_LIMIT,
        "noise_share_of_step": round(step["noise"] / step["step"], 4),
    }
    print(json.dumps(result))
    print(
        f"views and hiding: {1e3 * copy['views']:.2f} ms for {WINDOWS} x {LENGTH} bp, "
        f"{ratio:.1f} x the copy (limit {COPY_LIMIT:g}); {100 * share:.1f} % of a tiny step "
        f"(limit {100 * STEP_LIMIT:g} %)"
    )
    # A GPU waits for the host, who plans what each window draws: its limits are those of gpu.py.
    over = ratio > COPY_LIMIT or share > STEP_LIMIT
    return int(over and options.device == "cpu")


if __name__ == "__main__":
    sys.exit(main())
