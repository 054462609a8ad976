"""How far half precision moves a model's answers: measured before it is given away."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from findna.data.holdout import split_genome
from findna.data.sampling import SamplingSettings
from findna.evaluation.sharing.known import RunFacts, refuse_changed
from findna.files import BadInput
from findna.inference.tiles import usual_window
from findna.model.model import Model
from findna.sequence.alphabet import MASK
from findna.sequence.genome import Genome
from findna.training.validation import HeldOut, ValidationSettings, held_out, masked_score

ROWS = 32
# Sequences to compare answers on are no longer than this: `long` would take minutes.
_LONGEST = 2048
_HIDDEN = 0.15
# Mean difference of answers above which half precision is refused: a hundredth of a nat.
TOLERATED = 0.01


@dataclass(frozen=True)
class Agreement:
    """Largest and mean difference of answers, in what `unit` says, on `where`; `losses` are the
    MASK-only losses (nats a base) on all held-out windows of a check, in full and half precision.
    """

    largest: float
    mean: float
    unit: str
    where: str
    losses: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """One sentence."""
        said = (
            f"On {self.where} half precision changes {self.unit} by {self.mean:.1e} on average"
            f" and {self.largest:.1e} at most."
        )
        if self.losses:
            full, half = self.losses
            said += (
                f" MASK-only loss on the held-out windows of a check: {full:.5f} in full,"
                f" {half:.5f} in half precision."
            )
        return said


def halved(model: Model) -> Model:
    """The model as it will be read from 16 bits a weight.

    Raises:
        BadInput: a weight is beyond what 16 bits can hold.
    """
    half = copy.deepcopy(model)
    half.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    if not all(bool(v.isfinite().all()) for v in half.state_dict().values()):
        raise BadInput(
            "a weight is not a number, or larger than the 65,504 that 16 bits can hold",
            remedy=_REMEDY,
        )
    return half


_REMEDY = "export it without --half"


def agreement(
    model: Model, half: Model, run: RunFacts | None = None, genome: Genome | None = None
) -> Agreement:
    """Compare answers on held-out windows of the run's genome, else on simulated letters.

    Raises:
        BadInput: `genome` is not the one of the run, or there is no run; or the answers differ by
            more than `TOLERATED` on average, or are no numbers.
    """
    if genome is None:
        found = _differences(model, half, _simulated(model), "simulated sequences, 15 % hidden")
    else:
        data = _held_out(genome, run)
        full, rounded = (masked_score(m, data, precision="fp32").loss for m in (model, half))
        found = _differences(model, half, data.codes[:ROWS], "held-out windows", (full, rounded))
    if not found.mean <= TOLERATED:  # NaN is above it, too
        raise BadInput(f"half precision changes the predictions: {found.text}", remedy=_REMEDY)
    return found


def _simulated(model: Model) -> Tensor:
    """Uniform letters (32, L) of the longest trained length, some hidden; seed 0."""
    rng = np.random.default_rng(0)
    shape = (ROWS, min(usual_window(model), _LONGEST))
    letters = rng.integers(0, 4, shape)
    return torch.from_numpy(np.where(rng.random(shape) < _HIDDEN, MASK, letters))


def _held_out(genome: Genome, run: RunFacts | None) -> HeldOut:
    if run is None or run.verb != "pretrain":
        raise BadInput(
            "held-out windows need the pretraining run, which this model does not have here",
            remedy="leave out --genome: half precision is then checked on simulated sequence",
        )
    if genome.digest != run.described["genome"]["digest"]:
        raise BadInput(
            f"is not the genome of the run, {run.described['genome']['source']}",
            file=genome.source,
        )
    asked = run.described["settings"]["sampling"]
    sampling = SamplingSettings.parse(asked, source="the settings of the run")
    for name, bed in sampling.beds.items():
        refuse_changed(bed, run.described.get(name))
    validation = ValidationSettings.parse(
        run.settings["validation"], source="the settings of the run"
    )
    return held_out(
        genome,
        split_genome(genome, sampling).validation,
        length=sampling.window,
        bases=validation.bases,
        hidden=validation.hidden,
        max_n=sampling.max_n,
        seed=int(run.settings["seed"]),
    )


@torch.no_grad()
def _differences(
    model: Model,
    half: Model,
    codes: Tensor,
    what: str,
    losses: tuple[float, float] | None = None,
) -> Agreement:
    full, rounded = (_answers(each, codes) for each in (model, half))
    gap = (full - rounded).abs()
    unit = "the logits of the task" if model.task_head is not None else "ln P of a base"
    where = f"{len(codes)} {what}, {codes.shape[1]:,} bp"
    return Agreement(float(gap.max()), float(gap.mean()), unit, where, losses)


def _answers(model: Model, codes: Tensor) -> Tensor:
    """Logits of the task (n, K), or ln P of each letter (n, L, 4)."""
    model = model.eval()
    if model.task_head is not None:
        return model.task_logits(codes)
    return model.base_logits(model.encode(codes).bases).log_softmax(-1)
