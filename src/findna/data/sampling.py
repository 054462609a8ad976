"""Which parts of a genome may be sampled: settings, and the usable runs that follow from them.

A run is a half-open span of store offsets (int64, K x 2) within one record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from findna.files import BadInput, file_digest, log, refuse_stream
from findna.sequence.genome import Genome
from findna.sequence.intervals import intersect, read_bed, subtract, to_store
from findna.sequence.organelles import organelles
from findna.settings import Settings

Runs = NDArray[np.int64]
Offsets = NDArray[np.int64]

# Most windows in a batch: an epoch's windows are numbered batch * MAX_ROWS + row.
MAX_ROWS = 1 << 20
# As shares of the usable bases.
LEAST_HELD_OUT, MOST_HELD_OUT = 0.02, 0.10


class SamplingSettings(Settings):
    """Which windows of a genome are trained on, and which are held out."""

    window: int = Field(512, ge=1, description="Longest window in bp.")
    min_window: int = Field(64, ge=1, description="Shortest window in bp; lengths are log-uniform.")
    one_length: bool = Field(False, description="All windows have the length of the longest.")
    max_n: float = Field(0.05, ge=0, le=1, description="Largest fraction of N in a window.")
    include: Path | None = Field(None, description="BED file: windows lie within these regions.")
    exclude: Path | None = Field(
        None, description="BED file: windows do not overlap these regions."
    )
    contigs: tuple[str, ...] | None = Field(
        None, min_length=1, description="Read only these chromosomes or contigs."
    )
    validation_chroms: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Chromosomes held out for validation. Default: chosen by findna.",
    )
    validation_fraction: float = Field(
        0.05,
        ge=LEAST_HELD_OUT,
        le=MOST_HELD_OUT,
        description="Fraction of the usable bases to hold out if no chromosomes are named.",
    )
    organelles: bool = Field(False, description="Also read mitochondria and plastids.")
    soft_mask: Literal["keep", "exclude", "downweight"] = Field(
        "keep",
        description="Lower case: keep (read like upper case), exclude (drop windows in which it"
        " is more than half), or downweight (less weight in the loss).",
    )
    soft_mask_weight: float = Field(
        0.1, ge=0, le=1, description="Loss weight of a lower-case base with soft_mask downweight."
    )
    batch_bases: int = Field(
        16_384, ge=1, description="Bases per batch, over all processes and parts."
    )

    @model_validator(mode="after")
    def _lengths_fit(self) -> SamplingSettings:
        if not self.one_length and self.min_window > self.window:
            raise ValueError(
                f"min_window {self.min_window} is longer than window {self.window}; lower it or"
                " use one_length"
            )
        if self.batch_bases // self.shortest > MAX_ROWS:
            raise ValueError(
                f"batch_bases {self.batch_bases} makes more than {MAX_ROWS} windows per batch"
            )
        return self

    @property
    def beds(self) -> dict[str, Path]:
        """The given BED files by the name of their setting."""
        named = {"include": self.include, "exclude": self.exclude}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def shortest(self) -> int:
        """Shortest window that is drawn, in bp."""
        return self.window if self.one_length else self.min_window


def digests_of_beds(settings: SamplingSettings) -> dict[str, str]:
    """Digests of the BED files: they affect what is held out, so a resumed run, or a check of what
    a model has seen, must find the same files.
    """
    return {name: file_digest(path) for name, path in settings.beds.items()}


def usable_runs(genome: Genome, settings: SamplingSettings) -> Runs:
    """Runs that windows may be drawn from, before anything is held out.

    Records, without organelles and unwanted contigs, within `include`, without `exclude`, and cut
    at runs of N too long for any window. Runs shorter than the shortest window are dropped.
    Raises `BadInput` if no window fits.
    """
    wanted = _wanted_records(genome, settings)
    runs = genome.runs[wanted]
    if settings.include is not None:
        runs = intersect(runs, _bed_runs(genome, settings.include))
    if settings.exclude is not None:
        runs = subtract(runs, _bed_runs(genome, settings.exclude))
    gaps = genome.n_runs[sizes_of(genome.n_runs) > most_of(settings.max_n, settings.window)]
    runs = subtract(runs, gaps)
    longest = int(sizes_of(runs).max(initial=0))
    if longest < settings.window:
        raise BadInput(
            f"no window of {settings.window:,} bp fits: the longest usable stretch of the genome"
            f" has {longest:,} bp",
            file=genome.source,
            remedy="use a smaller --window, or check --include, --exclude, --contigs and"
            " --organelles",
        )
    return runs[sizes_of(runs) >= settings.shortest]


def _wanted_records(genome: Genome, settings: SamplingSettings) -> NDArray[np.bool_]:
    """Whether each record (R,) is used; an organelle is if `contigs` names it."""
    if settings.contigs is not None:
        named = {genome.resolve(chrom) for chrom in settings.contigs}
        return np.array([chrom in named for chrom in genome.chroms], dtype=np.bool_)
    if settings.organelles:
        return np.ones(len(genome.chroms), dtype=np.bool_)
    wanted = ~organelles(genome.chroms)
    if not wanted.any():
        raise BadInput(
            "has only organelle contigs, which are excluded",
            file=genome.source,
            remedy="give --organelles to read them",
        )
    left = dict.fromkeys(c for c, kept in zip(genome.chroms, wanted, strict=True) if not kept)
    if left:
        names = ", ".join(list(left)[:6]) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
        log.info("excluded as organelles: %s (--organelles reads them)", names)
    return wanted


def _bed_runs(genome: Genome, path: Path) -> Runs:
    # The digest, taken by reading the file again, would be that of an empty file.
    refuse_stream(path, "pretraining")
    return to_store(genome, read_bed(path), source=str(path))


def most_of(share: float, length: int) -> int:
    """The largest number of bases that is at most `share` of a window of `length`."""
    return int(share * length + 1e-9)


def sizes_of(runs: Runs) -> Offsets:
    """Bases of each run, (K,)."""
    return runs[:, 1] - runs[:, 0]
