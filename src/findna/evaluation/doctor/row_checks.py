"""Labelled rows by themselves: sizes, equal files, classes, lengths, letters, shortcuts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from findna.data.labelled import LabelledData
from findna.data.sampling import SamplingSettings
from findna.data.similarity import lengths_of
from findna.data.splits import splits_like_test
from findna.evaluation.doctor.finding import Finding, Level, counted, share
from findna.evaluation.doctor.shortcuts import check_shortcuts
from findna.model.model import Model
from findna.sequence.alphabet import N
from findna.training.recipes import RECIPES

Ints = NDArray[np.int64]

_FEW_ROWS = 20
_RARE_CLASS = 0.1
# Whole numbers that are more than this are more often counts or measurements than classes.
_MANY_NUMBERS = 10
_WHOLE = re.compile(r"[+-]?\d+")
# Fewer bases than a short motif and a little around it.
_SHORT = 20
_LONG_PRESET = "long"


def check_rows(data: LabelledData, model: Model | None, stop_n: float) -> Iterator[Finding]:
    """All that rows say without a look at what else they stand beside.

    Args:
        data: the rows.
        model: against whose trained lengths theirs are held; None for those of the presets.
        stop_n: share of rows of N only from which a run is worthless.
    """
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in data.splits.items())
    yield Finding("ok", "rows", f"{sizes}; {data.kind} task of {_names(data)}")
    yield from _equal_files(data)
    yield from _check_classes(data)
    yield from _check_lengths(data, model)
    yield _check_unknown(data, stop_n)
    yield from check_shortcuts(data)


def _names(data: LabelledData) -> str:
    """How many classes, labels or targets there are."""
    words = {"multilabel": ("label", ""), "regression": ("target", "")}
    return counted(len(data.classes), *words.get(data.kind, ("class", "classes")))


def _equal_files(data: LabelledData) -> Iterator[Finding]:
    """A split with the same sequences as the test split, in whatever order."""
    for name in splits_like_test(data):
        yield Finding(
            "stop",
            "splits",
            f"the {name} split has the same sequences as the test split: choosing or training on"
            " it makes the test meaningless",
            f"give a {name} file with other rows, or none",
        )


# ---------------------------------------------------------------- classes


def _check_classes(data: LabelledData) -> Iterator[Finding]:
    if data.kind == "regression":
        return
    yield from _alike(data.classes)
    if data.kind == "multilabel":
        return
    yield from _numbers(data.classes)
    yield _rarest(data)
    for name, split in data.splits.items():
        missing = set(range(len(data.classes))) - set(split.labels.astype(np.int64).tolist())
        if missing:
            listed = ", ".join(data.classes[k] for k in sorted(missing))
            yield Finding(
                "warn",
                "classes",
                f"no {name} row has class {listed}",
                "split the rows stratified by class",
            )


def _alike(classes: tuple[str, ...]) -> Iterator[Finding]:
    """Names that a person would read as one."""
    spelled = defaultdict(list)
    for name in classes:
        spelled[" ".join(name.split()).casefold()].append(name)
    for names in spelled.values():
        if len(names) > 1:
            listed = ", ".join(map(repr, names))
            said = f"{listed} differ only in case or spaces and count as separate classes"
            yield Finding("warn", "classes", said, "spell them alike in the table")


def _numbers(classes: tuple[str, ...]) -> Iterator[Finding]:
    """Many whole numbers, which may be counts."""
    if len(classes) > _MANY_NUMBERS and all(map(_WHOLE.fullmatch, classes)):
        values = sorted(map(int, classes))
        said = f"the {len(classes)} classes are whole numbers, {values[0]:,} to {values[-1]:,}"
        remedy = "if they are counts or measurements: --task regression"
        yield Finding("warn", "classes", said, remedy)


def _rarest(data: LabelledData) -> Finding:
    train = data.splits["train"].labels.astype(np.int64)
    counts = np.bincount(train, minlength=len(data.classes))
    rare = int(counts.argmin())
    said = f"{data.classes[rare]}, the rarest class, has {counts[rare]:,} of {len(train):,} rows"
    few, uneven = counts[rare] < _FEW_ROWS, counts[rare] < _RARE_CLASS * len(train)
    if few or uneven:
        remedy = "look at MCC or average precision, not accuracy; --class-weights balanced may help"
        return Finding("warn", "classes", said, "add rows of this class" if few else remedy)
    return Finding("ok", "classes", said)


# ---------------------------------------------------------------- lengths


def _check_lengths(data: LabelledData, model: Model | None) -> Iterator[Finding]:
    """Shortest, median and longest, held against what a model, or any preset, is trained on."""
    lengths = np.concatenate([split.lengths for split in data.splits.values()])
    said = (
        f"shortest {int(lengths.min()):,}, median {float(np.median(lengths)):,.0f},"
        f" longest {int(lengths.max()):,} bp"
    )
    yield _beyond_presets(lengths, said) if model is None else _beyond(lengths, model, said)
    short = int((lengths < _SHORT).sum())
    if short:
        few = share(short, len(lengths), "rows", "is", "are")
        remedy = "so few bases say little: include the flanking sequence, or remove the rows"
        yield Finding("warn", "lengths", f"{few} shorter than {_SHORT} bp", remedy)


def _beyond(lengths: Ints, model: Model, said: str) -> Finding:
    trained = model.trained_lengths
    if trained is None:
        return Finding("ok", "lengths", f"{said}; the model records no trained lengths")
    low, high = trained
    outside = int(((lengths < low) | (lengths > high)).sum())
    said += f"; {outside:,} of {len(lengths):,} outside the model's {low:,} to {high:,} bp"
    if outside:
        return Finding("warn", "lengths", said, "pretrain with a --window that covers them")
    return Finding("ok", "lengths", said)


def _beyond_presets(lengths: Ints, said: str) -> Finding:
    """Rows longer than what all presets but the one for long sequences are pretrained on."""
    windows = {name: _window(name) for name in RECIPES}
    longest = windows.pop(_LONG_PRESET)
    usual = max(windows.values())
    beyond = int((lengths > usual).sum())
    if not beyond:
        return Finding("ok", "lengths", said)
    said += f"; {share(beyond, len(lengths), 'rows', 'is', 'are')} longer than the {usual:,} bp"
    said += " that presets are pretrained on"
    remedy = f"pretrain with a --window that covers them; preset {_LONG_PRESET}: {longest:,} bp"
    return Finding("warn", "lengths", said, remedy)


def _window(preset: str) -> int:
    """Longest window in bp of a preset's recipe."""
    return SamplingSettings(**RECIPES[preset].get("sampling", {})).window


# ---------------------------------------------------------------- letters


def _check_unknown(data: LabelledData, stop_n: float) -> Finding:
    """N and rows that hold nothing else; lower case is upper case by the time rows are read."""
    rows = [row for split in data.splits.values() for row in split.codes]
    unknown = np.array([int((row >= N).sum()) for row in rows], np.int64)
    lengths = lengths_of(rows)
    empty = int((unknown == lengths).sum())
    said = f"{unknown.sum() / max(int(lengths.sum()), 1):.2%} N"
    if not empty:
        return Finding("ok", "letters", said)
    level: Level = "stop" if empty >= stop_n * len(rows) else "warn"
    said += f"; {share(empty, len(rows), 'rows', 'holds', 'hold')} nothing but N"
    return Finding(level, "letters", said, "remove these rows: they say nothing")
