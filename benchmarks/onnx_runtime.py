"""ONNX Runtime on a CPU against our own forward pass.

    python -m venv --system-site-packages /tmp/onnx && /tmp/onnx/bin/pip install onnx onnxruntime
    PYTHONPATH=$(echo /tmp/onnx/lib/python3*/site-packages) python benchmarks/onnx_runtime.py

`tiny` and `small`, batches of 8 windows of 1,000 bp, one thread and two. ONNX Runtime gets the
network in operators that ONNX has (a rotation is split, roll and concatenate), in fp32, with all
its optimisations; ours runs eager in fp32 and in bf16. The sides run in turn in one process, best
of many. Prints a line of JSON and one for people for each; ONNX Runtime would be used if it won by
more than a quarter. Without it, says so and exits with 2.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu import plain
from lengths import codes
from timing import best_times
from torch import Tensor, nn

from findna.inference.precision import autocast
from findna.model.model import Model, new_model

WINDOWS, LENGTH = 8, 1000
WINS = 1.25


class Exported(nn.Module):
    """What is written to ONNX: codes to vectors of bases."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = plain(model)

    def forward(self, windows: Tensor) -> Tensor:
        """Codes (B, L) -> (B, L, D)."""
        return self.model.encode(windows).bases


def session(preset: str, windows: Tensor, threads: int, folder: Path) -> Any:
    """ONNX Runtime's session of a preset, for batches of this shape."""
    runtime = importlib.import_module("onnxruntime")
    file = folder / f"{preset}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without onnxscript is the old one
        torch.onnx.export(
            Exported(new_model(preset, 0)).eval(),
            (windows,),
            str(file),
            input_names=["codes"],
            opset_version=17,
            dynamo=False,
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def measure(preset: str, threads: int, repeats: int, folder: Path) -> dict[str, float]:
    """Seconds of ONNX Runtime and of ours over a batch; both give the same numbers."""
    torch.set_num_threads(threads)
    windows = codes(WINDOWS, LENGTH)
    exported = session(preset, windows, threads, folder)
    model = new_model(preset, 0).eval()

    def ours(precision: Any) -> Callable[[], object]:
        def run() -> Tensor:
            with torch.inference_mode(), autocast(torch.device("cpu"), precision):
                return model.encode(windows).bases

        return run

    given = {"codes": windows.numpy()}
    jobs: dict[str, Callable[[], object]] = {
        "onnx": lambda: exported.run(None, given),
        "fp32": ours("fp32"),
        "bf16": ours("bf16"),
    }
    found, wanted = torch.from_numpy(exported.run(None, given)[0]), jobs["fp32"]()
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    best_times(jobs, 2)
    return best_times(jobs, repeats)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", nargs="+", default=["tiny", "small"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    if importlib.util.find_spec("onnxruntime") is None:
        print("onnx_runtime.py: needs onnx and onnxruntime in an environment of their own:")
        print(str(__doc__).split("\n\n")[1])
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        for preset in given.preset:
            for threads in given.threads:
                times = measure(preset, threads, given.repeats, Path(scratch))
                ratios = {name: times["onnx"] / times[name] for name in ("fp32", "bf16")}
                shown = {f"onnx_over_{name}": round(ratio, 3) for name, ratio in ratios.items()}
                found = {"benchmark": "onnx_runtime", "preset": preset, "threads": threads, **shown}
                print(json.dumps(found), flush=True)
                best = min(ratios["fp32"], ratios["bf16"])
                print(
                    f"{preset}, {threads} threads: ONNX Runtime takes {ratios['fp32']:.2f} x our"
                    f" time in fp32, {ratios['bf16']:.2f} x in bf16; it"
                    f" {'wins' if 1 / best > WINS else 'does not win'} by a quarter"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
