"""Settings of a fine-tuning run."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from findna.data.parts import LabelSettings
from findna.inference.precision import Precision
from findna.model.heads import Pooling
from findna.sequence.alphabet import Strand

ClassWeights = Literal["none", "balanced"]

BATCH_ROWS = 32
# What pooling auto chooses from.
LAYERED: tuple[Pooling, ...] = ("mean", "max", "summary", "layers")
PLACED: tuple[Pooling, ...] = (*LAYERED, "bins", "early-bins")
WORDED: tuple[tuple[Pooling, ...], ...] = (
    (*LAYERED, "deviations", "4-mers"),
    (*LAYERED, "deviations", "6-mers"),
    (*PLACED, "deviations", "6-mers"),
)
# Of rows that are cut to one length, where a place may mean the same in all of them.
PAIRED: tuple[Pooling, ...] = (*LAYERED, "deviations", "4-mers", "placed-pairs")


class FinetuneSettings(LabelSettings):
    """Everything that decides what a fine-tuning run computes."""

    epochs: int = Field(10, ge=1, description="Passes over the training rows.")
    batch_rows: int | None = Field(
        None,
        ge=1,
        description=f"Sequences an optimizer step; {BATCH_ROWS} if not given, fewer for few rows.",
    )
    batch_bases: int = Field(
        65_536, ge=1, description="Bases computed at once; larger batches are taken in parts."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Highest learning rate of the backbone; 0.384 / width if not given: 3e-3 of"
        " tiny, 1e-3 of base.",
    )
    head_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Highest rate of the task head; three tenths of the backbone's if not given.",
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay of matrices.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which rates rise.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    train: Literal["auto", "probe", "head", "last", "full"] = Field(
        "auto",
        description="What is trained: a linear model on the frozen network, the head, the last"
        " layers and the head, everything, or what inner validation finds best.",
    )
    last_layers: int = Field(2, ge=1, description="Layers that are trained with the head as last.")
    strand: Literal["auto", "both", "forward"] = Field(
        "auto",
        description="Average both strands and augment by reverse complement, read the given strand"
        " only, or the latter where validation is clearly better for it.",
    )
    class_weights: ClassWeights = Field(
        "none", description="Weight rows equally, or every class equally."
    )
    pooling: tuple[Literal[Pooling, "auto"], ...] = Field(
        ("auto",),
        min_length=1,
        description="What the head reads of a sequence; auto: mean, max, summary and the means of"
        " all layers, and of bins, or their deviations and the shares of k-mers, or, of rows of one"
        " length, the pairs of letters at their places, as well where validation is clearly better"
        " for them.",
    )
    bins: int = Field(
        16, ge=1, description="Parts of equal length whose means are read by pooling over bins."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in front of the last layer.")
    begin: Literal["probe", "zeros"] = Field(
        "probe",
        description="The head begins as a linear probe of the network as it is, which also chooses"
        " what auto leaves open; or it says nothing, and auto is its first choice.",
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Rate of each layer as a share of the rate of the next one."
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Momentum of a running average of the weights, which is then what is kept;"
        " 0 keeps the weights themselves.",
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Share of the training rows that chooses; of fewer than 1,000 rows three parts"
        " choose in turn instead, and all epochs are run.",
    )
    folds: int = Field(
        5, ge=0, description="Folds of cross-validation where no test split is given; 0 skips it."
    )
    repeats: int | None = Field(
        None,
        ge=1,
        description="Repeats of cross-validation with other folds; if not given 1, or 2 of probes"
        " alone.",
    )
    precision: Precision = Field("auto", description="fp32, bf16, or what this device does best.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every draw.")

    @field_validator("folds")
    @classmethod
    def _no_single_fold(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves no row to learn from: use 2 or more, or 0 for none")
        return folds

    @model_validator(mode="after")
    def _auto_stands_alone(self) -> Self:
        if "auto" in self.pooling and len(self.pooling) > 1:
            raise ValueError("pooling auto stands alone: name what is read, or leave it to auto")
        return self

    @property
    def repeated(self) -> int:
        """How often cross-validation is made. Networks take hours where probes take minutes."""
        return self.repeats or (2 if self.train == "probe" else 1)

    @property
    def strands(self) -> tuple[Strand, ...]:
        """How the strands may be read, the preferred way first."""
        return ("both", "forward") if self.strand == "auto" else (self.strand,)

    @property
    def readings(self) -> tuple[tuple[Pooling, ...], ...]:
        """What the head may read of any rows, the preferred one first."""
        named = tuple(part for part in self.pooling if part != "auto")
        return (named,) if named else (LAYERED, PLACED, *WORDED)

    def readings_of(self, places: int) -> tuple[tuple[Pooling, ...], ...]:
        """What it may read where rows have so many places in common (`tasks.common_places`)."""
        open_to_choose = self.pooling == ("auto",)
        return (*self.readings, PAIRED) if open_to_choose and places else self.readings
