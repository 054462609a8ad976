"""One model, or several seeds of one, whose effects are averaged and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from findna.files import BadInput
from findna.inference.attribution.effects import (
    Attribution,
    Matrix,
    Target,
    Tick,
    against_reference,
    agreement,
    centred,
    gradients,
    marginals,
    substitution_effects,
    target_of,
)
from findna.inference.devices import pick_device
from findna.inference.tiles import usual_flank, usual_window
from findna.model.heads import TaskConfig
from findna.model.loading import DEFAULT, pick_model
from findna.model.model import Model, weights_digest
from findna.sequence.alphabet import Codes, Strand
from findna.sequence.genome import Genome
from findna.sequence.records import Record

AnyModel = Model | str | Path


def named_models(model: AnyModel | Sequence[AnyModel] | None) -> list[tuple[str, Model]]:
    """Names and models, at least one."""
    given = [model] if model is None or isinstance(model, AnyModel) else list(model)
    if not given:
        raise ValueError("no model is given; None stands for the one that comes with findna")
    names = [DEFAULT if m is None else "given" if isinstance(m, Model) else str(m) for m in given]
    return list(zip(names, map(pick_model, given), strict=True))


@dataclass(frozen=True, eq=False)
class Panel:
    """Models with the same task or pretraining, and how they are read."""

    names: list[str]
    models: list[Model]
    target: Target | None
    strands: list[Strand]
    window: int | None
    sets: int | None
    batch_bases: int | None

    @classmethod
    def of(
        cls,
        named: list[tuple[str, Model]],
        target: str | None,
        strand: Strand | None,
        window: int | None,
        sets: int | None,
        batch_bases: int | None,
        device: str,
    ) -> Panel:
        """Models on their device; `BadInput` if they differ in task, genome or what they accept."""
        names = [name for name, _ in named]
        models = [model.to(pick_device(device)).eval() for _, model in named]
        task = models[0].config.task
        _refuse_other_questions(names, models)
        _refuse_repeated(names, models)
        if task is None and target is not None:
            raise BadInput(
                "--target needs a fine-tuned model, and this one was only pretrained",
                remedy="leave it out",
            )
        if task is not None and (window is not None or sets is not None):
            raise BadInput(
                "--window and --sets are only for pretrained models",
                remedy="a fine-tuned model reads whole sequences: leave them out",
            )
        return cls(
            names,
            models,
            target_of(task, target) if task else None,
            [strand or (m.config.task.strand if m.config.task else "both") for m in models],
            None if task else window or min(map(usual_window, models)),
            sets,
            batch_bases,
        )

    @property
    def unit(self) -> str:
        """The unit of effects."""
        return self.target.unit if self.target else "ln P(base) − ln P(reference base)"

    def bases_read(self, record: Record, genome: Genome | None) -> int:
        """Length of the sequence that the models read for a record."""
        if self.window is None:
            return len(record.codes)
        return min(self.window, len(_in_context(record, genome, self.window)[0]))

    def answer(self, record: Record, genome: Genome | None, tick: Tick) -> Attribution:
        """Effects of a record, averaged over strands, then over models, and their agreement."""
        if self.target:
            answers = [self._explained(*one, record.codes, tick) for one in self._asked()]
        else:
            answers = [self._expected(*one, record, genome, tick) for one in self._asked()]
        effects = [effect.mean(0) for effect, _ in answers]
        by_strand = [
            agreement(list(effect), record.codes) for effect, _ in answers if len(effect) > 1
        ]
        return Attribution(
            record,
            np.mean(effects, 0),
            np.mean([given.mean(0) for _, given in answers], 0),
            float(np.mean(by_strand)) if by_strand else float("nan"),
            agreement(effects, record.codes),
        )

    def _asked(self) -> Iterator[tuple[Model, Strand]]:
        return zip(self.models, self.strands, strict=True)

    def _explained(
        self, model: Model, strand: Strand, codes: Codes, tick: Tick
    ) -> tuple[Matrix, Matrix]:
        """Effects and contributions (S, L, 4) of a fine-tuned model."""
        # Each in its own units: if the seed drew the rows, deviations of the targets differ.
        target = target_of(cast(TaskConfig, model.config.task), cast(Target, self.target).name)
        effects = substitution_effects(
            model, codes, target, strand=strand, batch_bases=self.batch_bases, tick=tick
        )
        return effects, gradients(model, codes, target, strand=strand)

    def _expected(
        self, model: Model, strand: Strand, record: Record, genome: Genome | None, tick: Tick
    ) -> tuple[Matrix, Matrix]:
        """Effects and contributions (S, L, 4) of a pretrained model."""
        window = cast(int, self.window)
        codes, inside = _in_context(record, genome, window)
        asked = np.zeros(len(codes), np.bool_)
        asked[inside] = True
        found = marginals(
            model,
            codes,
            asked,
            window=window,
            sets=self.sets,
            strand=strand,
            batch_bases=self.batch_bases,
            tick=tick,
        )[:, inside]
        return against_reference(found, record.codes), centred(found)

    def facts(self, genome: Genome | None) -> dict[str, Any]:
        """How the effects were computed, for `mutagenesis.json`."""
        return {
            "models": [
                {"name": name, "digest": weights_digest(model), "strand": strand}
                for name, model, strand in zip(self.names, self.models, self.strands, strict=True)
            ],
            "genome": genome and {"source": genome.source, "digest": genome.digest},
            "kind": "task" if self.target else "pretrained",
            "target": self.target and self.target.name,
            "unit": self.unit,
            "contributions": _CONTRIBUTIONS["task" if self.target else "pretrained"],
            "window": self.window,
            "sets": self.sets,
        }


_CONTRIBUTIONS = {
    "task": "gradient of the target along a one-hot input, centred over the four bases; at the"
    " reference base: gradient x input",
    "pretrained": "ln P(base), the base hidden, minus its mean over the four bases",
}


def _refuse_other_questions(names: list[str], models: list[Model]) -> None:
    asked = [(m.config.task.kind, m.config.task.classes) if m.config.task else None for m in models]
    for name, question in zip(names, asked, strict=True):
        if question != asked[0]:
            raise BadInput(
                f"{names[0]} and {name} are not models of the same task",
                remedy="several models must differ only in their seed: the same task, or all"
                " pretrained",
            )
    taught = {m.pretraining["genome_digest"]: n for n, m in zip(names, models, strict=True)
              if not m.config.task and "genome_digest" in m.pretraining}  # fmt: skip
    if len(taught) > 1:
        raise BadInput(
            f"{' and '.join(taught.values())} were pretrained on different genomes",
            remedy="several models must differ only in their seed: give models of one genome",
        )


def _refuse_repeated(names: list[str], models: list[Model]) -> None:
    """The same weights given twice always agree, and would pass for two seeds."""
    seen: dict[str, str] = {}
    for name, digest in zip(names, map(weights_digest, models), strict=True):
        if digest in seen:
            raise BadInput(
                f"{seen[digest]} and {name} have the same weights: their agreement means nothing",
                remedy="give each model once; seeds differ after findna finetune --train full (a"
                " probe does not depend on --seed)",
            )
        seen[digest] = name


def _in_context(record: Record, genome: Genome | None, window: int) -> tuple[Codes, slice]:
    """Codes to read, and the slice of the record in them: with its genomic context, if known.

    A short record is read in the middle of a whole window, a long one with a flank on either side.
    """
    if genome is None or record.chrom is None or record.start is None or record.end is None:
        return record.codes, slice(0, len(record.codes))
    flank = max(usual_flank(window), (window - len(record.codes)) // 2)
    place = (record.start - flank, record.end + flank, record.strand or "+")
    codes = genome.fetch(record.chrom, *place).codes
    inside = slice(flank, flank + len(record.codes))
    if not np.array_equal(codes[inside], record.codes):
        raise BadInput(
            f"the genome has other bases at {record.chrom}:{record.start}-{record.end}",
            record=record.id,
            remedy=f"is {genome.source} another build than the one it was cut from?",
        )
    return codes, inside
