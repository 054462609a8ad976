"""The plan of a scan: which tracks, with which windows, over which bases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from findna.files import BadInput, log
from findna.inference.answers import require_task
from findna.inference.precision import ResolvedPrecision
from findna.inference.scanning.browser import KINDS, Kind, Track
from findna.inference.scanning.sliding import flank_of
from findna.model.model import Model
from findna.sequence.alphabet import Strand
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in
from findna.sequence.regions import Integers

# One value per base of 200 Mb makes a bigWig of about 1 GB; above that, bins of ten are used.
_SINGLE_BASES, _BIN = 200_000_000, 10


@dataclass(frozen=True)
class Plan:
    """What is scanned, with what, and how finely."""

    model: Model
    genome: Genome
    asked: Integers
    kinds: tuple[Kind, ...]
    window: int
    step: int
    bin: int
    components: int
    sets: int
    strand: Strand | None
    batch_bases: int | None
    seed: int
    precision: ResolvedPrecision = "fp32"

    @property
    def flank(self) -> int:
        """Context on either side of the bases that a window gives values for."""
        return (self.window - self.step) // 2

    @property
    def bases(self) -> int:
        """Number of bases to scan."""
        return bases_in(self.asked)

    @property
    def both(self) -> Strand:
        """The strand setting where no task decides it."""
        return self.strand or "both"


def pick_kinds(tracks: Sequence[Kind] | Kind | None, model: Model) -> tuple[Kind, ...]:
    """The requested kinds of track, or those that suit the model (None).

    Raises:
        BadInput: an unknown kind, or classes of a model that has none.
    """
    tuned = model.config.task is not None
    if tracks is None:
        return ("classes",) if tuned else ("surprise", "components")
    asked = (tracks,) if isinstance(tracks, str) else tuple(tracks)
    unknown = [kind for kind in asked if kind not in KINDS]
    if unknown or not asked:
        raise BadInput(
            f"there is no track {unknown[0]!r}" if unknown else "no track is requested",
            remedy=f"choose from {', '.join(KINDS)}",
        )
    if "classes" in asked and not tuned:
        raise BadInput(
            "this model has no classes: it was pretrained, not fine-tuned",
            remedy="leave classes out, or run findna finetune on labelled sequences first",
        )
    if "surprise" in asked and tuned:
        log.warning(
            "fine-tuning has changed how this model predicts bases: trust its surprise less"
        )
    return tuple(kind for kind in KINDS if kind in asked)


def usual_bin(asked: Integers) -> int:
    """Bases per value of surprise, for a file of reasonable size over the runs (K, 2)."""
    if bases_in(asked) <= _SINGLE_BASES:
        return 1
    log.info(
        "more than 200 Mb are scanned: each value of surprise is the mean of %d bases; see --bin",
        _BIN,
    )
    return _BIN


def refuse_impossible(plan: Plan) -> None:
    """Raise `BadInput` for invalid numbers."""
    flank_of(plan.window, plan.step)
    if min(plan.bin, plan.components, plan.sets) < 1:
        raise BadInput(
            f"bins of {plan.bin}, {plan.components} components, {plan.sets} sets of hidden bases",
            remedy="each must be at least 1",
        )


# ---------------------------------------------------------------- tracks


def tracks_of(plan: Plan, ending: str = "") -> list[Track]:
    """The tracks of a plan: of single bases, then of windows."""
    return [*surprise_tracks(plan, ending), *window_tracks(plan, ending)]


def surprise_tracks(plan: Plan, ending: str = "") -> list[Track]:
    """The track of surprise, if requested."""
    if "surprise" not in plan.kinds:
        return []
    per = "base" if plan.bin == 1 else f"mean of {plan.bin} bases"
    return [
        Track("surprise", f"surprise{ending}", f"-log2 P(base | rest), bits, one value per {per}")
    ]


def window_tracks(plan: Plan, ending: str = "") -> list[Track]:
    """The tracks of windows: components, then classes."""
    tracks: list[Track] = []
    if "components" in plan.kinds:
        tracks += [
            Track(f"pc{k}", f"pc{k}{ending}", f"principal component {k} of window embeddings")
            for k in range(1, plan.components + 1)
        ]
    if "classes" in plan.kinds:
        tracks += _class_tracks(plan, ending)
    return tracks


def _class_tracks(plan: Plan, ending: str) -> list[Track]:
    task = require_task(plan.model)
    names = task.classes[-task.outputs :]
    if task.kind == "regression":
        titles = [f"prediction_{name}" if len(names) > 1 else "prediction" for name in names]
        whats = [f"predicted {name}" for name in names]
    else:
        titles = [f"p_{name}" for name in names]
        whats = [f"probability of class {name}" for name in names]
    files = [re.sub(r"[^\w.+-]", "_", title) for title in titles]
    if len(set(files)) < len(files):
        raise BadInput(f"class names {', '.join(names)} do not give different file names")
    return [
        Track(title, f"{file}{ending}", what)
        for title, file, what in zip(titles, files, whats, strict=True)
    ]
