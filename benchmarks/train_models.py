"""Train the models to ship, in pieces of under ten minutes, and write each to be given away.

    python benchmarks/train_models.py --data ../shared/data --budget 9m     # or: make gpu-train

The same command goes on where it stopped: a run is pretrained by steps that are fixed in `MODELS`,
so its schedules do not depend on how often it was interrupted. Runs lie in `-o` (runs/models),
finished models in fp16 in `--to` (build/models); weights above 16 MiB are cut into parts there,
which `cat model.safetensors.part-* > model.safetensors` joins. What is left is printed at the end.

`--steps 20 -o build/trial --to build/tried` tries everything on a CPU. `--only NAME` trains some. A
finished model becomes one that is shipped by `cp -r build/models/NAME models/` (or
`src/findna/model/weights/`) and `python benchmarks/publish.py`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from findna.evaluation.sharing.export import export
from findna.files import FindnaError, read_json
from findna.model.model import CONFIG, WEIGHTS
from findna.training.pretrain import pretrain
from findna.training.recipes import seconds
from findna.training.run_state import LAST

# A file that is brought back from a lent machine may have so many bytes.
LIMIT = 16 << 20
# No run is started with less time left than reading a genome and a first checkpoint take.
LEAST_SECONDS = 30.0
HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Source:
    """What models are trained on: FASTA below the data folder, and what their cards say of it."""

    fasta: str
    species: str
    trained_on: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    regions: Path | None = None


HUMAN = Source(
    "human_hg38/hg38_regions.fa.gz",
    "Homo sapiens",
    "human GRCh38, 54 Mb in 684 regions (2 % of the genome, clinical genes over-represented)",
    {"validation_chroms": ["chr10", "chr21"]},
    HERE / "models" / "human-regions.bed",
)
YEAST = Source(
    "yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz",
    "Saccharomyces cerevisiae",
    "baker's yeast R64-1-1, 12 Mb",
)


@dataclass(frozen=True)
class Training:
    """One model: preset (and with it recipe), source, optimizer steps, and why so many."""

    name: str
    preset: str
    source: Source
    steps: int
    why: str


MODELS = (
    Training("findna-human-tiny", "tiny", HUMAN, 30_000,
             "16 kb a step, 0.49 Gb, 9 passes; what is shipped made 7,000 steps"),
    Training("findna-yeast-tiny", "tiny", YEAST, 8_000, "0.13 Gb, 11 passes over the 12 Mb"),
    Training("findna-human-small", "small", HUMAN, 30_000,
             "the bases of tiny, so that the two differ in shape alone"),
    Training("findna-human-medium", "medium", HUMAN, 25_000, "33 kb a step, 0.82 Gb, 15 passes"),
    Training("findna-human-base", "base", HUMAN, 20_000,
             "66 kb a step, 1.3 Gb, 24 passes; 9 of its 12 minutes at 2.5 million bases a second"),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is not trained, export what is not exported, say what is left."""
    given = _parser().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    deadline = time.monotonic() + (seconds(given.budget) if given.budget else threading.TIMEOUT_MAX)
    wanted = [
        replace(plan, steps=given.steps or plan.steps)
        for plan in MODELS
        if not given.only or plan.name in given.only
    ]
    for plan in wanted:
        run, folder = given.output / plan.name, given.to / plan.name
        if not finished(run, plan.steps) and time.monotonic() + LEAST_SECONDS < deadline:
            train(plan, run, given, deadline)
        if finished(run, plan.steps):
            give_away(plan, run, folder, given.regions)
    for plan in wanted:
        print(f"{plan.name}\t{state(plan, given.output / plan.name)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/models"), help="runs")
    parser.add_argument("--to", type=Path, default=Path("build/models"), help="finished models")
    parser.add_argument(
        "--budget", help="end after this time, such as 9m; go on with the next call"
    )
    parser.add_argument("--only", action="append", choices=[plan.name for plan in MODELS])
    parser.add_argument("--steps", type=int, help="so many for every model instead: a trial")
    parser.add_argument(
        "--regions", type=Path, default=HUMAN.regions, help="BED of the human FASTA"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, help="CPU threads")
    return parser


# One model ------------------------------------------------------------------------------------


def train(plan: Training, run: Path, given: argparse.Namespace, deadline: float) -> None:
    """Pretrain until the steps are made or the time is over, when a checkpoint is left."""
    settings = {
        "preset": plan.preset,
        "steps": plan.steps,
        "sampling": dict(plan.source.sampling),
    }
    begun = (run / LAST).is_dir()
    try:
        with interrupted_at(deadline):
            pretrain(
                given.data / plan.source.fasta,
                run,
                settings,
                device=given.device,
                resume=begun,
                overwrite=not begun,
            )
    except KeyboardInterrupt:
        if time.monotonic() < deadline:
            raise
        logging.info("%s: the time of this piece is over", plan.name)


@contextmanager
def interrupted_at(deadline: float) -> Iterator[None]:
    """Interrupt the block at `deadline` (of `time.monotonic`) as Ctrl-C does."""
    # What a shell starts in the background ignores Ctrl-C otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    left = max(0.0, deadline - time.monotonic())
    timer = threading.Timer(left, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def provenance(model: Path) -> dict[str, Any]:
    """What a model folder says of its training; nothing if it is not there."""
    config = model / CONFIG
    return dict(read_json(config)["provenance"]) if config.is_file() else {}


def finished(run: Path, steps: int) -> bool:
    """Whether a run has made all its steps, not those of a trial, and written its model."""
    return provenance(run / "model").get("steps") == steps


def state(plan: Training, run: Path) -> str:
    """Where a run stands, in a word."""
    if finished(run, plan.steps):
        return f"finished, {plan.steps:,} steps ({plan.preset}: {plan.why})"
    file = run / LAST / "state.json"
    made = int(read_json(file)["step"]) if file.is_file() else 0
    return f"left: {plan.steps - made:,} of {plan.steps:,} steps"


# Giving away ----------------------------------------------------------------------------------


def give_away(plan: Training, run: Path, folder: Path, regions: Path) -> None:
    """The model in half precision, with its card, in files that can be brought back; what is done
    of it is not done again.
    """
    told, given = provenance(run / "model"), provenance(folder)
    if any(given.get(key) != told[key] for key in ("genome_digest", "steps", "mask_loss")):
        export(
            run,
            folder,
            half=True,
            species=plan.source.species,
            trained_on=plan.source.trained_on,
            regions=regions if plan.source.regions else None,
            overwrite=True,
        )
    # Apart, because a call may have been killed between the two.
    if (folder / WEIGHTS).is_file():
        for part in cut(folder / WEIGHTS):
            logging.info("%s: %s bytes", part, f"{part.stat().st_size:,}")


def cut(file: Path, limit: int = LIMIT) -> list[Path]:
    """The file in parts of at most `limit` bytes that take its place; itself if it is short."""
    whole = file.read_bytes()
    if len(whole) <= limit:
        return [file]
    parts = [file.with_name(f"{file.name}.part-{i}") for i in range(-(-len(whole) // limit))]
    for i, part in enumerate(parts):
        part.write_bytes(whole[i * limit : (i + 1) * limit])
    file.unlink()
    return parts


if __name__ == "__main__":
    try:
        main()
    except FindnaError as error:
        sys.exit(f"error: {error}")
