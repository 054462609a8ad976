"""Percentiles of scores among random variants of the same genome and stratum.

The variants of a stratum (see `variants.strata`) are drawn with a seed, scored when first needed,
and kept in the cache by model, genome and settings: a VCF of SNVs never needs indels.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from findna.files import BadInput, cache_folder, log, read_json, write_json
from findna.inference.answers import Floats
from findna.inference.variants import strata
from findna.inference.variants.scores import PERCENTILE, ScoreField, VariantScorer
from findna.inference.variants.strata import Stratum, random_variants, strata_of
from findna.inference.variants.windows import Ints
from findna.model.model import software_versions, weights_digest
from findna.sequence.variants import Variant

# Version of drawing and scoring; cached scores of another one are not used.
FORMAT = 2
# Fewest random variants for a percentile.
_FEWEST = 50


class Background:
    """Percentiles of the scores of one scorer; make it with `of`.

    Attributes: `fields`, one percentile for each field of the scorer; `folder` in the cache.
    """

    def __init__(self, scorer: VariantScorer, identity: dict[str, Any], folder: Path) -> None:
        """Use `Background.of`."""
        self.scorer, self.identity, self.folder = scorer, identity, folder
        self.fields = tuple(_percentile_field(field) for field in scorer.fields)
        self._known: dict[Stratum, dict[str, Floats]] = {}

    @classmethod
    def of(cls, scorer: VariantScorer, *, seed: int = 0) -> Self:
        """The background of a scorer's model and genome; its variants are drawn by `seed`."""
        identity = {
            "format": FORMAT,
            "findna": software_versions()["findna"],
            "model": weights_digest(scorer.model),
            "config": scorer.model.config.model_dump(mode="json"),
            "genome": scorer.genome.digest,
            "placing": scorer.genome.placing,
            "window": scorer.window,
            "strand": scorer.strand,
            "circular": sorted(scorer.circles),
            "seed": seed,
            "variants": [strata.SUBSTITUTIONS, strata.INDELS],
        }
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        return cls(scorer, identity, cache_folder() / "backgrounds" / key)

    def percentiles(self, variants: Sequence[Variant], scores: pd.DataFrame) -> pd.DataFrame:
        """One row per variant, in order, for their scores (n, fields).

        A percentile is the percentage of the background's scores that are lower, plus half of those
        that are equal. NaN where the score is NaN, or where the genome has too few variants of the
        stratum, with one warning.

        Raises:
            BadInput: the cache has another background under this name, or cannot be written.
        """
        table = np.full((len(variants), len(self.fields)), np.nan)
        scored = np.flatnonzero(scores.notna().any(axis=1).to_numpy())
        asked_of = [variants[row] for row in scored.tolist()]
        kinds = strata_of(self.scorer.genome, asked_of, self.scorer.circles)
        for stratum, rows in _rows_of(kinds, scored).items():
            known = self._scores_of(stratum)
            for column, field in enumerate(self.scorer.fields):
                asked = scores[field.name].to_numpy(np.float64)[rows]
                table[rows, column] = percentile(known[field.name], asked)
        return pd.DataFrame(table, columns=[field.name for field in self.fields])

    def _scores_of(self, stratum: Stratum) -> dict[str, Floats]:
        """Sorted scores of a stratum by field: from memory, from the cache, or computed now."""
        if stratum not in self._known:
            file = self.folder / f"{_file_name(stratum.group)}.json"
            if not file.exists():
                self._make(stratum.group, file)
            self._known |= self._read(stratum.group, file)
        return self._known[stratum]

    def _make(self, group: Stratum, file: Path) -> None:
        began = time.monotonic()
        drawn = random_variants(self.scorer, group, self.identity["seed"])
        count = sum(map(len, drawn.values()))
        log.info(
            "percentiles: scoring %s random variants like %s, once for this model and genome",
            f"{count:,}",
            group,
        )
        # In one call: the ALTs of a position share windows.
        scores = self.scorer.score([variant for of in drawn.values() for variant in of])
        member = np.repeat([str(stratum) for stratum in drawn], [len(of) for of in drawn.values()])
        kept = {
            str(stratum): {
                name: sorted(scores[name][member == str(stratum)].dropna().tolist())
                for name in scores
            }
            for stratum in drawn
        }
        write_json(file, {"identity": self.identity, "scores": kept})
        log.info("percentiles: %s took %.0f s, saved in %s", group, time.monotonic() - began, file)

    def _read(self, group: Stratum, file: Path) -> dict[Stratum, dict[str, Floats]]:
        try:
            described = read_json(file)
        except BadInput as error:
            remedy = "delete it: it will be made again"
            raise BadInput(error.problem, file=file, line=error.line, remedy=remedy) from None
        if not isinstance(described, dict) or described.get("identity") != self.identity:
            raise BadInput(
                "is the background of another model, genome or setting",
                file=file,
                remedy="delete it: it will be made again",
            )
        return {
            stratum: self._enough(stratum, described["scores"][str(stratum)])
            for stratum in group.members
        }

    def _enough(self, stratum: Stratum, scores: dict[str, list[float]]) -> dict[str, Floats]:
        count = max(map(len, scores.values()))
        if count < _FEWEST:
            log.warning(
                "no percentiles for %s: %s has %s of the %s that are needed for comparison",
                stratum,
                self.scorer.genome.source,
                count,
                _FEWEST,
            )
        return {
            name: np.array(values if count >= _FEWEST else [], np.float64)
            for name, values in scores.items()
        }


def percentile(background: Floats, scores: Floats) -> Floats:
    """Percent (n,) of the sorted background (m,) below each score; ties count half.

    NaN for a score that is NaN, and for an empty background.
    """
    if not len(background):
        return np.full(len(scores), np.nan)
    ranks = [np.searchsorted(background, scores, side) for side in ("left", "right")]
    found = 50.0 * (ranks[0] + ranks[1]) / len(background)
    return np.where(np.isnan(scores), np.nan, found)


def _rows_of(kinds: Sequence[Stratum], rows: Ints) -> dict[Stratum, list[int]]:
    found: dict[Stratum, list[int]] = {}
    for stratum, row in zip(kinds, rows.tolist(), strict=True):
        found.setdefault(stratum, []).append(row)
    return found


def _file_name(group: Stratum) -> str:
    return str(group).replace(" ", "-").replace(">", "-to-")


def _percentile_field(field: ScoreField) -> ScoreField:
    return ScoreField(
        f"{field.name}{PERCENTILE}",
        f"percentile (0 to 100) of {field.name} among random variants of this genome with the"
        " same substitution and CpG context, or kind and length of indel; ties count half",
    )
