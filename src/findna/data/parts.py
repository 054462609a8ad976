"""The content of one source of labelled sequences, labels as text, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from findna.data.places import RowPlaces
from findna.files import BadInput
from findna.sequence.alphabet import Codes
from findna.settings import Settings

TaskKind = Literal["binary", "multiclass", "multilabel", "regression"]

# Names of the three splits in files; the first is the one used here.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "valid", "validation"),
    "test": ("test", "testing"),
}


class LabelSettings(Settings):
    """How labelled data is read; what is left open is guessed from the file, and printed."""

    sequence_column: str | None = Field(
        None, description="Column with the sequences. Default: guessed."
    )
    label_column: str | None = Field(
        None,
        description="Column with the labels, or several joined by commas. Default: guessed.",
    )
    group_column: str | None = Field(
        None,
        description="Column of groups: rows with the same value stay together when rows are split.",
    )
    label_table: Path | None = Field(
        None,
        description="Table with two columns, id and label, for sequences without labels of their"
        " own.",
    )
    task: Literal["auto", TaskKind] = Field(
        "auto", description="Kind of task; auto: guessed from the labels."
    )

    @model_validator(mode="after")
    def _columns_differ(self) -> LabelSettings:
        twice = [name for name in self.label_columns if self.label_columns.count(name) > 1]
        if twice:
            raise ValueError(f"label_column names {twice[0]!r} twice")
        return self

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns named in `label_column`."""
        return tuple(c.strip() for c in self.label_column.split(",")) if self.label_column else ()


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one source, labels as text.

    `words` has one tuple per row, with one text per label column; `columns` are their names; `rows`
    and `lines` the number of each row in its source, from 1, and its line there; `groups` one text
    per row, if a group column is given; `places` the genome coordinates, if the source has them.
    """

    source: Path
    ids: list[str]
    codes: list[Codes]
    words: list[tuple[str, ...]]
    columns: tuple[str, ...]
    rows: list[int]
    lines: list[int] | None = None
    groups: list[str] | None = None
    places: RowPlaces | None = None

    def bad(self, problem: str, at: int, remedy: str | None = None) -> BadInput:
        """An error about row `at` (from 0) of this part."""
        line = self.lines[at] if self.lines else None
        return BadInput(problem, file=self.source, record=self.ids[at], line=line, remedy=remedy)
