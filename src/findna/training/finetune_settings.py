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
        description=f"Sequences per optimizer step. Default: {BATCH_ROWS}, fewer for few rows.",
    )
    batch_bases: int = Field(
        65_536, ge=1, description="Bases computed at once; larger batches are processed in parts."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Highest learning rate of the backbone. Default: 0.384 / width, 3e-3 for"
        " tiny, 1e-3 for base.",
    )
    head_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Highest learning rate of the task head. Default: three tenths of the"
        " backbone's.",
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of the matrices (AdamW).")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Fraction of the steps over which the rates rise."
    )
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    train: Literal["auto", "probe", "head", "last", "full"] = Field(
        "auto",
        description="What is trained: probe (a linear model on the frozen network), head, last"
        " (the last layers and the head), full (everything), or auto, the best on validation"
        " rows.",
    )
    last_layers: int = Field(
        2, ge=1, description="Number of layers that last trains together with the head."
    )
    strand: Literal["auto", "both", "forward"] = Field(
        "auto",
        description="both: average both strands and augment by reverse complement; forward: read"
        " only the given strand; auto: both, unless validation is clearly better with forward.",
    )
    class_weights: ClassWeights = Field(
        "none", description="Weight every row equally, or every class equally."
    )
    pooling: tuple[Literal[Pooling, "auto"], ...] = Field(
        ("auto",),
        min_length=1,
        description="What the head reads. auto: mean, max, summary and the means of all layers;"
        " where validation is clearly better for it, also bins, or standard deviations and k-mer"
        " frequencies, or, for rows of one length, which pair of bases begins at each position.",
    )
    bins: int = Field(
        16,
        ge=1,
        description="Number of equal parts of the sequence whose means pooling over bins reads.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout before the last layer.")
    begin: Literal["probe", "zeros"] = Field(
        "probe",
        description="The head starts as a linear probe of the frozen network, which also chooses"
        " what auto leaves open; or as zeros, and auto takes its first option.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of each layer as a fraction of that of the next one.",
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Momentum of a running average of the weights, which is then kept instead of"
        " the weights; 0: no average.",
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Fraction of the training rows used as validation rows; below 1,000 rows"
        " three parts take turns instead, and all epochs are run.",
    )
    folds: int = Field(
        5, ge=0, description="Folds of cross-validation if there is no test split; 0 skips it."
    )
    repeats: int | None = Field(
        None,
        ge=1,
        description="Repeats of cross-validation with other folds. Default: 1, or 2 with only"
        " probes.",
    )
    precision: Precision = Field(
        "auto", description="fp32, bf16, or auto, whichever is faster here."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of all random draws.")

    @field_validator("folds")
    @classmethod
    def _no_single_fold(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves no row to train on: use 2 or more, or 0 for none")
        return folds

    @model_validator(mode="after")
    def _auto_stands_alone(self) -> Self:
        if "auto" in self.pooling and len(self.pooling) > 1:
            raise ValueError(
                "auto cannot be combined with other poolings: name them all, or use auto alone"
            )
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
