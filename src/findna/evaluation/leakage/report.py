"""What a leakage report says, and what may be dropped by it.

Each line counts the rows of `split` that have at least one match in `against` (other than
themselves), so that "43 of 5,920" is a share of the rows being judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.similarity import Bools
from findna.files import BadInput, log

COLUMNS = ("check", "split", "against", "rows", "of", "threshold", "note")
IDENTICAL, NEAR, CONTAINED = "identical", "near-duplicate", "contained"
OVERLAPPING, IN_GENOME, IN_SEEN = "overlapping", "in pretraining genome", "in pretraining, seen"
PLACED_IN_SEEN = "in pretraining, seen, by coordinates"


Pair = tuple[str, str]
Marks = Mapping[Pair, Bools]


@dataclass(frozen=True, eq=False)
class LeakageReport:
    """What was found. `table` has the columns check, split, against, rows, of, threshold, note.

    `rows` is missing where nothing could be checked; the note then begins with "not checked" and
    says why. `marks` holds, for each ordered pair of splits, which rows (n,) of the first have a
    match of any kind in the second, or hold one of its rows.
    """

    table: pd.DataFrame
    marks: Marks

    def share(self, split: str, against: str) -> float:
        """Share of the rows of `split` that have a match of any kind in `against`."""
        found = self.marks.get((split, against))
        return 0.0 if found is None or not len(found) else float(found.mean())

    def as_dict(self) -> dict[str, Any]:
        """Plain values; None where nothing was checked."""
        rows = self.table.astype(object).where(self.table.notna(), None)
        return {"leakage": rows.to_dict("records")}

    def text(self) -> str:
        """One line a check, for the screen."""
        return "\n".join(_line(row) for row in self.as_dict()["leakage"])


def _line(row: Mapping[str, Any]) -> str:
    where = f"{row['split']} against {row['against']}"
    if row["rows"] is None:
        return f"{row['check']}: {where}: {row['note']}"
    share = f" ({row['rows'] / row['of']:.1%})" if row["of"] else ""
    said = "; ".join(part for part in (row["threshold"], row["note"]) if part)
    return f"{row['check']}: {where}: {row['rows']:,} of {row['of']:,} rows{share}; {said}"


# ---------------------------------------------------------------- dropping


def drop_leaks(data: LabelledData, report: LeakageReport, *, dev: bool = False) -> LabelledData:
    """The task without the training rows that match a dev or test row in any way of the report.

    With `dev`, dev rows that match a test row go too. Test rows never go. What goes is counted in
    the log.

    Raises:
        BadInput: a class would lose all its training rows.
    """
    splits = dict(data.splits)
    for name in ("train", "dev") if dev else ("train",):
        if name in splits:
            splits[name] = _kept(splits[name], name, report)
    labels, left = data.splits["train"].labels, splits["train"].labels
    gone = data.kind in ("binary", "multiclass") and set(np.unique(labels)) - set(np.unique(left))
    if gone or not len(left):
        raise BadInput(
            f"dropping leaking rows would leave no training row of {_names(data, gone)}",
            remedy="split again, with similar rows kept together",
        )
    return replace(data, splits=splits)


def _names(data: LabelledData, gone: Any) -> str:
    return ", ".join(data.classes[int(k)] for k in sorted(gone)) if gone else "any class"


def _kept(rows: LabelledSplit, name: str, report: LeakageReport) -> LabelledSplit:
    """The rows without a match in a split that comes later."""
    later = {"train": ("dev", "test"), "dev": ("test",)}[name]
    leaking = np.zeros(len(rows), np.bool_)
    for against in later:
        leaking |= report.marks.get((name, against), np.zeros(len(rows), np.bool_))
    count = f"{int(leaking.sum()):,} of {len(rows):,}"
    log.info("dropped %s %s rows that match rows of %s", count, name, " or ".join(later))
    return rows.where(~leaking)
