"""Speed on a GPU: every figure of the speed table that needs one, in one command.

    python benchmarks/gpu.py [--hyena standalone_hyenadna.py] [-o build/gpu.json] [--publish FOLDER]
    python benchmarks/gpu.py --device cpu --quick      # the same code on small shapes, as tests do

A step is everything from the genome to the moving average: windows, views, hiding, noise, student
forward and backward, teacher, losses, optimizer, EMA, in bf16. MFU is the rate of the layers'
products (forward, twice backward, once more for a teacher) over that of one large bf16 product on
the same card. The plain form of a step is eager and rotates by split, roll and concatenate. The two
sides of a ratio run in turn, best of many; a section that fails is told and the others go on; none
is begun after `--budget` seconds. Exit code 1 below a bar or after a failure; bars of rates and
minutes are an H200's.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from layer import measure
from peers import Transformer, hyena
from timing import best_times, wait
from torch import Tensor, nn
from torch.nn import functional as F

from findna.data.batches import make_batch
from findna.data.sampling import usable_runs
from findna.data.windows import WindowSampler
from findna.files import log
from findna.inference.precision import autocast
from findna.model import chordmixer
from findna.model.chordmixer import Layer
from findna.model.model import Model, new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.model.rotation import Rings
from findna.sequence.genome import Genome
from findna.training.engine import open_engine
from findna.training.recipes import PretrainSettings
from findna.training.self_distillation import SelfDistillation

RATE, AGAINST_PLAIN, MFU, PAPER_MINUTES, LAYER, LENGTH = 2.5e6, 4.0, 0.5, 20.0, 1.5, 1.2
PAPER_WINDOWS, PAPER_EPOCHS = 100_000, 30


@dataclass(frozen=True)
class Row:
    """A figure: ``bar`` is the least it may be, or with ``at_most`` the most."""

    what: str
    value: float
    unit: str = ""
    bar: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def missed(self) -> bool:
        """On the wrong side of its bar."""
        return self.bar is not None and (self.value > self.bar) == self.at_most


@dataclass(frozen=True)
class Scale:
    """How large everything is: for a card, or so small that a test can run it."""

    device: str
    side: int
    kilobase: int
    bases: int
    long: int
    repeats: int
    layer_windows: int
    depth: int | None
    genome: int
    lengths: tuple[int, ...]
    in_a_row: int

    def config(self, preset: str) -> ModelConfig:
        """The shape of a preset, with few layers where only the code is tried."""
        config = PRESETS[preset]
        if self.depth is None:
            return config
        slim = config.backbone.model_copy(update={"depth": self.depth})
        return config.model_copy(update={"backbone": slim})


def full(device: str) -> Scale:
    """The scale of the bars."""
    return Scale(
        device, 8192, 1000, 65_536, 131_072, 6, 256, None, 1 << 25, (1024, 16_384, 131_072), 4
    )


def quick(device: str) -> Scale:
    """Seconds on one core."""
    return Scale(device, 128, 64, 256, 300, 1, 1, 2, 1 << 16, (64,), 1)


class PlainLayer(nn.Module):
    """A layer as one first writes it: split, roll, concatenate, add."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, rows: Tensor, rings: Rings) -> Tensor:
        """Rows (R, D) of equal rings -> (R, D)."""
        layer = self.layer
        update = layer.down(F.gelu(layer.up(layer.norm(rows))))
        ring = cast(int, rings.length)
        tracks = update.view(rings.count, ring, -1).chunk(len(layer.offsets), -1)
        turned = [
            track.roll(-layer.sign * offset % ring, 1)  # ONNX knows no turn of more than a ring
            for track, offset in zip(tracks, layer.offsets, strict=True)
        ]
        return rows + torch.cat(turned, -1).view_as(rows)


def plain(model: Model) -> Model:
    """The same network in plain layers."""
    layers = [PlainLayer(cast(Layer, layer)) for layer in model.encoder.layers]
    model.encoder.layers = nn.ModuleList(layers)
    return model


class Pretraining:
    """Whole steps of a preset's recipe on windows of one length."""

    def __init__(
        self, scale: Scale, genome: Genome, preset: str, window: int, bases: int, as_plain: bool
    ) -> None:
        settings = PretrainSettings.resolve(
            {
                "preset": preset,
                "sampling": {"window": window, "batch_bases": bases},
                # With a teacher, which the default recipe does not ask: the method's whole step.
                "distillation": {"distillation_weight": 0.2},
            }
        )
        sampling = settings.sampling.model_copy(update={"one_length": True})
        config = scale.config(preset)
        model = new_model(config, 0)
        self.settings, self.shape = settings, config.backbone
        self.sampler = WindowSampler(genome, usable_runs(genome, sampling), sampling, 0)
        self.learner = SelfDistillation(
            plain(model) if as_plain else model,
            settings.distillation,
            open_engine(scale.device),
            "bf16",
            "off" if as_plain else "auto",
            bases,
        )
        self.windows = bases // window
        self.bases = self.windows * window
        self.number = 0

    def data(self) -> Any:
        """The next batch."""
        self.number += 1
        return make_batch(
            self.sampler,
            0,
            self.number,
            self.learner.device,
            self.settings.views,
            self.settings.hiding,
            width=self.shape.width,
        )

    def step(self) -> None:
        """The next batch and what is learned from it."""
        self.learner.step([self.data()], self.number, 100_000)

    @property
    def operations(self) -> float:
        """Of the layers' products in a step."""
        rows = self.bases + self.windows * self.shape.summary_tokens
        passes = 4 if self.settings.distillation.distillation_weight > 0 else 3
        return passes * 4.0 * rows * self.shape.width * self.shape.hidden * self.shape.depth

    @property
    def note(self) -> str:
        """What was run."""
        teacher = "with" if self.settings.distillation.distillation_weight > 0 else "without"
        compiled = "compiled" if self.learner.compiled else "eager"
        return f"{self.windows} x {self.bases // self.windows:,} bp, {compiled}, {teacher} teacher"


Section = Callable[[Scale, Genome, argparse.Namespace], Iterator[Row]]


def matrix_job(scale: Scale) -> Callable[[], object]:
    """One large bf16 product."""
    left = torch.randn(scale.side, scale.side, device=scale.device, dtype=torch.bfloat16)
    return lambda: left @ left


def timed(scale: Scale, jobs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Least seconds of each job, once warm, several in a row: as in a run, the host is ahead."""

    def repeated(job: Callable[[], object]) -> Callable[[], object]:
        return lambda: [job() for _ in range(scale.in_a_row)]

    rows = {name: repeated(job) for name, job in jobs.items()}
    best_times(rows, min(2, scale.repeats), scale.device)
    found = best_times(rows, scale.repeats, scale.device)
    return {name: seconds / scale.in_a_row for name, seconds in found.items()}


def steps(scale: Scale, genome: Genome, given: argparse.Namespace) -> Iterator[Row]:
    """Rate and share of the matrix rate of whole steps at 1 kb."""
    for preset in ("tiny", "small", "medium", "base"):
        ours = Pretraining(scale, genome, preset, scale.kilobase, scale.bases, as_plain=False)
        jobs = {"step": ours.step, "data": ours.data, "matrix": matrix_job(scale)}
        if preset == "base":
            jobs["plain"] = Pretraining(
                scale, genome, preset, scale.kilobase, scale.bases, as_plain=True
            ).step
        times = timed(scale, jobs)
        rate, matrix = ours.bases / times["step"], 2.0 * scale.side**3 / times["matrix"]
        share = ours.operations / times["step"] / matrix
        bars = (RATE, MFU) if preset == "base" else (None, None)
        yield Row(f"{preset}: pretraining", rate, "bases/s", bars[0], note=ours.note)
        yield Row(f"{preset}: MFU", share, bar=bars[1])
        yield Row(f"{preset}: batch over step", times["data"] / times["step"])
        if preset == "base":
            yield Row("matrix product, bf16", matrix / 1e12, "TFLOP/s")
            yield Row("base: step over plain, in speed", times["plain"] / times["step"],
                      bar=AGAINST_PLAIN)  # fmt: skip
        del ours, jobs
        release(scale)


def layers(scale: Scale, genome: Genome, given: argparse.Namespace) -> Iterator[Row]:
    """A layer over its products, and the two forms of rotation that could be compiled."""
    cuda = scale.device == "cuda"
    for preset in ("small", "base"):
        found = {}
        for form, where in (("look-up", scale.device), ("slices", "nowhere")):
            with changed("_GATHERED_ON", where):
                found[form] = measure(
                    preset, scale.device, scale.repeats, cuda, torch.bfloat16, scale.layer_windows
                )
        kind = "compiled both products" if cuda else "eager both products"
        bar = LAYER if preset == "base" else None
        yield Row(f"{preset}: layer forward and backward over its products",
                  found["look-up"][kind], bar=bar, at_most=True)  # fmt: skip
        yield Row(f"{preset}: the same with rotation by slices", found["slices"][kind])
        yield Row(f"{preset}: eager", found["look-up"]["eager both products"])
        release(scale)


def paper(scale: Scale, genome: Genome, given: argparse.Namespace) -> Iterator[Row]:
    """The published pretraining, from steps of it; and what padding its width is worth."""
    bases = scale.bases // scale.kilobase * scale.kilobase
    with changed("_PADDED_ON", scale.device):
        ours = Pretraining(scale, genome, "paper", scale.kilobase, bases, as_plain=False)
        seconds = timed(scale, {"step": ours.step})["step"]
    minutes = PAPER_EPOCHS * PAPER_WINDOWS / ours.windows * seconds / 60
    note = f"extrapolated from steps of {ours.note}; checks left out"
    yield Row("paper: 100,000 windows, 30 epochs", minutes, "min", PAPER_MINUTES, True, note)
    del ours
    release(scale)
    with changed("_PADDED_ON", "nowhere"):
        bare = Pretraining(scale, genome, "paper", scale.kilobase, bases, as_plain=False)
        narrow = timed(scale, {"step": bare.step})["step"]
    yield Row("paper: step at width 308 over padded to 320", narrow / seconds)


def long(scale: Scale, genome: Genome, given: argparse.Namespace) -> Iterator[Row]:
    """Training at 131 kb with checkpointing: whether it fits, and what a base costs."""
    bases = 2 * scale.long
    ours = Pretraining(scale, genome, "long", scale.long, bases, as_plain=False)
    assert ours.shape.checkpointing
    if scale.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    far = timed(scale, {"step": ours.step})["step"] / ours.bases
    if scale.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
        yield Row(f"long: peak memory of training at {scale.long:,} bp", peak, "GiB")
    yield Row(f"long: pretraining at {scale.long:,} bp", 1 / far, "bases/s", note=ours.note)
    del ours
    release(scale)
    short = Pretraining(scale, genome, "long", scale.kilobase, bases, as_plain=False)
    near = timed(scale, {"step": short.step})["step"] / short.bases
    yield Row(f"long: a base at {scale.long:,} over {scale.kilobase:,} bp", far / near,
              bar=LENGTH, at_most=True)  # fmt: skip


def peers(scale: Scale, genome: Genome, given: argparse.Namespace) -> Iterator[Row]:
    """Forward passes beside networks of the same size, all eager and in bf16."""
    device = torch.device(scale.device)
    for length in scale.lengths:
        forms: dict[str, nn.Module] = {
            "findna": new_model(scale.config("tiny"), 0).encoder,
            "transformer": Transformer(),
        }
        if given.hyena:
            forms["HyenaDNA"] = hyena(given.hyena, length)
        windows = torch.randint(0, 4, (max(1, 4 * scale.bases // length), length), device=device)
        jobs = {
            name: forward(form.to(device).eval(), windows, device) for name, form in forms.items()
        }
        times = timed(scale, jobs)
        for name in list(jobs)[1:]:
            yield Row(f"findna tiny over {name}, forward at {length:,} bp",
                      times[name] / times["findna"], bar=1.0)  # fmt: skip
        del forms, jobs
        release(scale)


def forward(model: nn.Module, windows: Tensor, device: torch.device) -> Callable[[], object]:
    """A pass in bf16 without a graph."""

    def run() -> None:
        with torch.inference_mode(), autocast(device, "bf16"):
            model(windows)

    return run


SECTIONS: dict[str, Section] = {
    "steps": steps,
    "layers": layers,
    "paper": paper,
    "long": long,
    "peers": peers,
}


@contextmanager
def changed(name: str, value: str) -> Iterator[None]:
    """A constant of the backbone, for as long as the block lasts."""
    before = getattr(chordmixer, name)
    torch.compiler.reset()
    setattr(chordmixer, name, value)
    try:
        yield
    finally:
        setattr(chordmixer, name, before)
        torch.compiler.reset()


def release(scale: Scale) -> None:
    """Compiled graphs and memory of what was measured."""
    torch.compiler.reset()
    gc.collect()
    if scale.device == "cuda":
        torch.cuda.empty_cache()
    wait(scale.device)


def random_genome(folder: Path, bases: int) -> Genome:
    """Eight records of random letters."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", np.uint8)
    file = folder / "genome.fa"
    with file.open("wb") as out:
        for number in range(8):
            drawn = letters[rng.integers(4, size=bases // 8, dtype=np.uint8)]
            out.write(b">chr%d\n%s\n" % (number + 1, drawn.tobytes()))
    return Genome.open(file, cache=folder)


def run(scale: Scale, given: argparse.Namespace) -> dict[str, Any]:
    """All sections, and those that failed or were not begun."""
    began = time.monotonic()
    rows: list[Row] = []
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        genome = random_genome(Path(scratch), scale.genome)
        for name in given.sections:
            if time.monotonic() - began > given.budget:
                failed[name] = f"not begun: {given.budget:g} s were over"
                continue
            try:
                for row in SECTIONS[name](scale, genome, given):
                    rows.append(row)
                    print(shown(row), flush=True)
            except Exception as error:  # the other figures are still wanted
                failed[name] = f"{type(error).__name__}: {str(error).strip()[:500]}"
                log.exception("section %s failed", name)
            release(scale)
            # Whoever ends this early keeps what was measured.
            write(told(scale, given, began, rows, failed), given.output)
    return told(scale, given, began, rows, failed)


def told(
    scale: Scale, given: argparse.Namespace, began: float, rows: list[Row], failed: dict[str, str]
) -> dict[str, Any]:
    """All figures so far and where they are from."""
    card = torch.cuda.get_device_name() if scale.device == "cuda" else "CPU"
    return {
        "benchmark": "gpu",
        "card": card,
        "torch": torch.__version__,
        "quick": given.quick,
        "seconds": round(time.monotonic() - began),
        "rows": [{**asdict(row), "missed": row.missed} for row in rows],
        "failed": failed,
    }


def shown(row: Row) -> str:
    """A row in words."""
    bar = "" if row.bar is None else f" (bar {'≤' if row.at_most else '≥'} {row.bar:,g})"
    note = f"  [{row.note}]" if row.note else ""
    return f"{row.what}: {row.value:,.4g} {row.unit}".rstrip() + bar + note


def write(result: dict[str, Any], file: Path | None) -> None:
    """The figures as JSON, if a file is wanted."""
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def publish(result: dict[str, Any], folder: Path) -> None:
    """The figures as JSON and as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = pd.DataFrame(result["rows"])
    table.to_csv(folder / "gpu.tsv", sep="\t", index=False, float_format="%.6g")


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, and fail below a bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--device", default="cuda", choices=("cuda", "cpu"), help="cuda, or cpu to try the code"
    )
    parser.add_argument("--quick", action="store_true", help="small shapes: the code is tried")
    parser.add_argument("--hyena", type=Path, help="standalone_hyenadna.py of a local clone")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=SECTIONS)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds to begin sections in")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--publish", type=Path, help="folder for gpu.json and gpu.tsv")
    given = parser.parse_args(arguments)
    if (given.device == "cpu" and not given.quick) or (given.publish and given.quick):
        parser.error("--quick tries the code: a CPU does nothing else, and nobody publishes it")
    if given.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: PyTorch sees no CUDA device here; --device cpu --quick tries the code")
        return 2
    result = run((quick if given.quick else full)(given.device), given)
    write(result, given.output)
    if given.publish:
        publish(result, given.publish)
    for name, why in result["failed"].items():
        print(f"{name}: {why}")
    return int(bool(result["failed"]) or any(row["missed"] for row in result["rows"]))


if __name__ == "__main__":
    sys.exit(main())
