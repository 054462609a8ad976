"""Scores of variants: likelihood ratio, embedding distance, change of a task's prediction.

Every variant is scored on its own on the reference, from its own pair of windows
(`variants.windows`): no score depends on other variants. Swapping REF and ALT, on a genome that
carries ALT, negates the signed scores and leaves the distance unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from findna.files import BadInput
from findna.inference.answers import Floats, scores_of, task_outputs
from findna.inference.embed import embeddings
from findna.inference.masked import SETS, LogProbs, hidden_log_probs
from findna.inference.rows import LengthWarning
from findna.inference.tiles import usual_window
from findna.inference.variants.windows import (
    Haplotypes,
    Ints,
    check_references,
    circles_of,
    haplotypes,
    left_aligned,
    trimmed,
)
from findna.model.heads import TaskConfig
from findna.model.model import Model
from findna.sequence.alphabet import MASK, Codes, Flags, N, Strand
from findna.sequence.genome import Genome
from findna.sequence.variants import Variant

LLR, OWN, DIST = "FINDNA_LLR", "FINDNA_OWN", "FINDNA_DIST"
PERCENTILE = "_PCT"  # suffix of the percentile of a score, and of no other field

FLANK = 64  # bases on either side of an indel whose likelihoods are compared
_SHORTEST_WINDOW = 16
# Bases of windows held at once; likelihoods take 16 bytes per base.
_CHUNK_BASES = 1 << 20


@dataclass(frozen=True)
class ScoreField:
    """One score, as declared in a VCF: INFO id, and a description with unit and direction."""

    name: str
    description: str


class VariantScorer:
    """Scores variants of one genome with one model.

    Attributes: `model`, `genome`, `window` (bases), `strand`, `circles` (lengths of the circular
    chromosomes), `fields`.
    """

    def __init__(
        self,
        model: Model,
        genome: Genome,
        *,
        window: int | None = None,
        strand: Strand = "both",
        batch_bases: int | None = None,
        circular: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: used in its current mode and on its current device.
            genome: the reference of the variants.
            window: bases per window; None is the longest the model was trained on.
            strand: "both" averages the strands (for a task, if its setting says so), "forward"
                reads the given one.
            batch_bases: bases per batch; None chooses by device.
            circular: circular chromosomes, read across the origin.

        Raises:
            BadInput: a window below 16 bases, a circular chromosome that the genome lacks.
        """
        self.model, self.genome, self.strand = model, genome, strand
        self.window = usual_window(model) if window is None else window
        self.batch_bases = batch_bases
        if self.window < _SHORTEST_WINDOW:
            raise BadInput(
                f"a window of {self.window} bases leaves no context around a variant",
                remedy=f"use {_SHORTEST_WINDOW} or more",
            )
        LengthWarning(model).look_at(np.array([self.window]))
        self.circles = circles_of(genome, circular)
        self.fields = _fields(model, self.window, strand)

    def reason(self, variant: Variant) -> str | None:
        """Why a variant cannot be scored, or None if it can."""
        core = trimmed(variant)
        if "N" in variant.ref or "N" in variant.alt:
            return "REF or ALT holds N"
        if not core.ref and not core.alt:
            return "REF and ALT are the same"
        if max(len(core.ref), len(core.alt)) > self.window // 2:
            return f"longer than half of the window of {self.window} bases"
        circle = self.circles.get(variant.chrom)
        if circle is not None and circle + min(0, len(core.alt) - len(core.ref)) < self.window:
            return f"the circular chromosome is shorter than the window of {self.window} bases"
        return None

    def score(self, variants: Sequence[Variant]) -> pd.DataFrame:
        """One row per variant, in order; columns are the fields, NaN where one does not apply.

        A variant with a `reason` is NaN throughout.

        Raises:
            ValueError: a REF that differs from the genome.
        """
        names = [field.name for field in self.fields]
        table = np.full((len(variants), len(names)), np.nan)
        check_references(self.genome, variants, self.circles)
        rows = np.array([i for i, v in enumerate(variants) if self.reason(v) is None], np.int64)
        step = max(1, _CHUNK_BASES // self.window)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            found = self._score([variants[row] for row in part])
            table[part] = np.stack([found[name] for name in names], axis=1)
        return pd.DataFrame(table, columns=names)

    def _score(self, variants: Sequence[Variant]) -> dict[str, Floats]:
        placed = [left_aligned(self.genome, trimmed(v), self.circles) for v in variants]
        pairs = haplotypes(self.genome, placed, self.window, self.circles)
        return {**self._likelihoods(pairs), **self._differences(pairs)}

    # ------------------------------------------------------------ likelihoods

    def _likelihoods(self, pairs: Haplotypes) -> dict[str, Floats]:
        """FINDNA_LLR and FINDNA_OWN, (n,) each."""
        llr, own = np.full((2, len(pairs)), np.nan)
        changed = pairs.same_length
        if changed.any():
            llr[changed] = self._substitutions(pairs.at(changed))
        if not changed.all():
            llr[~changed], own[~changed] = self._indels(pairs.at(~changed))
        return {LLR: llr, OWN: own}

    def _substitutions(self, pairs: Haplotypes) -> Floats:
        """The log-ratio of ALT and REF at the bases that change, all hidden in one pass."""
        hidden = pairs.ref != pairs.alt
        found, of = self._hidden(pairs.ref, hidden)
        return _sums(found, of, pairs.alt, hidden) - _sums(found, of, pairs.ref, hidden)

    def _indels(self, pairs: Haplotypes) -> tuple[Floats, Floats]:
        """Log-ratio of ALT and REF at the shared flanks, and at the alleles themselves."""
        # Both windows share as many bases after the allele as before it, at least.
        left, flanks = pairs.left[:, None], np.minimum(pairs.left, FLANK)[:, None]
        sums = []
        for windows, lengths in ((pairs.ref, pairs.ref_lengths), (pairs.alt, pairs.alt_lengths)):
            place = np.arange(self.window) - left
            inside = (place >= 0) & (place < lengths[:, None])
            distance = np.where(place < 0, -1 - place, place - lengths[:, None])
            near = ~inside & (distance < flanks) & (windows != N)
            sums.append(
                (
                    self._interleaved(windows, distance, near),
                    self._interleaved(windows, place, inside),
                )
            )
        (ref_flanks, ref_allele), (alt_flanks, alt_allele) = sums
        return alt_flanks - ref_flanks, alt_allele - ref_allele

    def _interleaved(self, windows: Codes, place: Ints, asked: Flags) -> Floats:
        """Sums (n,) of ln P over the asked bases, in eight passes of every eighth `place`."""
        sums = np.zeros(len(windows))
        for phase in range(SETS):
            hidden = asked & (place % SETS == phase)
            rows = hidden.any(1)
            found, of = self._hidden(windows[rows], hidden[rows])
            sums[rows] += _sums(found, of, windows[rows], hidden[rows])
        return sums

    def _hidden(self, windows: Codes, hidden: Flags) -> tuple[LogProbs, Ints]:
        """Log-probabilities (m, W, 4) of the windows that are distinct once masked, and the index
        (n,) of each window's: all ALTs of a position share one pass.
        """
        shown, of = _distinct(np.where(hidden, np.uint8(MASK), windows))
        found = hidden_log_probs(
            self.model, shown, shown == MASK, strand=self.strand, batch_bases=self.batch_bases
        )
        return found, of

    # ------------------------------------------------------------ whole windows

    def _differences(self, pairs: Haplotypes) -> dict[str, Floats]:
        """FINDNA_DIST and the changes of a task's predictions, (n,) each."""
        windows, of = _distinct(np.concatenate([pairs.ref, pairs.alt]))
        ref, alt = np.split(of, 2)
        codes = list(windows)
        vectors = embeddings(
            self.model, codes, strand=self.strand, batch_bases=self.batch_bases
        ).astype(np.float64)
        distance = np.linalg.norm(vectors[alt] - vectors[ref], axis=1)
        task = self.model.config.task
        if task is None:
            return {DIST: distance}
        strand = None if self.strand == "both" else self.strand
        answers = task_outputs(self.model, codes, strand=strand, batch_bases=self.batch_bases)
        if task.kind == "regression":
            answers = scores_of(answers, task)
        change = (answers[alt] - answers[ref]).T
        return {DIST: distance, **dict(zip(_answer_names(task), change, strict=True))}


def _distinct(windows: Codes) -> tuple[Codes, Ints]:
    """The distinct windows (m, W) in order of appearance, and the index (n,) of each window."""
    seen: dict[bytes, int] = {}
    of = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in windows], np.int64)
    joined = np.frombuffer(bytearray(b"".join(seen)), np.uint8)
    return joined.reshape(len(seen), windows.shape[1]), of


def _sums(found: LogProbs, of: Ints, letters: Codes, hidden: Flags) -> Floats:
    """Sums (n,) over hidden bases of ln P of the bases (n, W) there."""
    rows, places = np.nonzero(hidden)
    values = found[of[rows], places, letters[rows, places]]
    return np.bincount(rows, values, minlength=len(letters)).astype(np.float64)


# ---------------------------------------------------------------- what the numbers mean


def _fields(model: Model, window: int, strand: Strand) -> tuple[ScoreField, ...]:
    task = model.config.task
    over = "mean of both strands" if strand == "both" else "forward strand"
    # Fine-tuning the encoder does not update the base head: see docs/decisions.md.
    moved = task is not None and model.provenance.get("trained") not in ("head", "probe")
    stale = "; made less reliable by fine-tuning for a task" if moved else ""
    fields = [
        ScoreField(
            LLR,
            f"ln P(ALT) - ln P(REF), {over}; negative = ALT less expected; SNV and MNV: the changed"
            f" bases, all hidden at once; indel: sum of ln P of the flanking bases within {FLANK}"
            f" bp given ALT minus given REF, every {SETS}th hidden at a time{stale}",
        ),
        ScoreField(
            OWN,
            f"indels only: sum of ln P of the bases of ALT minus that of REF, {over}; negative ="
            f" ALT less expected, as every longer allele is{stale}",
        ),
        ScoreField(
            DIST,
            f"Euclidean distance of the mean embeddings of REF and ALT windows of {window} bp,"
            f" {over}; no unit, 0 = no change, unsigned",
        ),
    ]
    if task is not None:
        over = over if task.strand == "both" else "forward strand"
        fields += [
            ScoreField(name, f"{what}, ALT minus REF, {over}; negative = lower with ALT")
            for name, what in zip(_answer_names(task), _answers_said(task), strict=True)
        ]
    return tuple(fields)


def _answers_said(task: TaskConfig) -> list[str]:
    """Description of each output of a task, without quotes, which a VCF header reserves."""
    names = [" ".join(re.sub(r'["\\]', "'", name).split()) for name in _asked(task)]
    kind = {
        "binary": "change of the log-odds (nats, before calibration) of class",
        "multiclass": "change of the logit (nats, before calibration and softmax) of class",
        "multilabel": "change of the log-odds (nats, before calibration) of label",
        "regression": "change of the prediction (unit of the training labels) of",
    }[task.kind]
    return [f"{kind} {name}" for name in names]


def _asked(task: TaskConfig) -> Sequence[str]:
    return task.classes[1:] if task.kind == "binary" else task.classes


def _answer_names(task: TaskConfig) -> list[str]:
    """Unique INFO ids of a task's outputs; characters that a VCF does not allow become `_`."""
    start = "FINDNA_CHANGE_" if task.kind == "regression" else "FINDNA_LOGIT_"
    names: list[str] = []
    for asked in _asked(task):
        name = start + re.sub(r"[^A-Za-z0-9_.]", "_", asked)
        while name in names or name.endswith(PERCENTILE):
            name += "_"
        names.append(name)
    return names
