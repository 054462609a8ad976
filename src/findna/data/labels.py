"""Labelled data read from files: the kind of task, its classes, and a label for every row.

Class names come from the training rows only, sorted (by value if all are whole numbers, so that 10
comes after 2; of two, one such as "not" or "background" comes first, so that the second is the
positive class). A row of another split whose label is not in training is refused. Nothing is
dropped: every row of every file is in its split, in the file's order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from findna.data.label_files import read_parts
from findna.data.labelled import LabelledData, LabelledSplit, Labels
from findna.data.parts import LabelSettings, Part, TaskKind
from findna.files import BadInput, first_of, log, refuse_stream
from findna.sequence.genome import Genome
from findna.sequence.tables import MISSING

# More distinct whole numbers than this are measurements, not classes.
_MOST_NUMBER_CLASSES = 50
# Largest share of distinct labels that are words among measurements.
_MOST_STRANGE = 0.1
# In more rows than this, labels are row names if there are more of them than half the rows.
_FEW_NAMES = 20
_CLASSES_SHOWN = 12
_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")
# Stricter than float(), for which 1_2 is 12: names of clusters look like that.
_NUMBER = re.compile(
    r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
# If these were decimals, some would begin with 0 or have more or fewer digits.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_SEPARATOR = ";"
_TWO_CLASSES = (
    "--label-column names the column of labels; if all rows are positives, --negatives GENOME.fa"
    " draws the other class"
)
# Names of a negative class.
_NEGATIVE = re.compile(
    r"-$|(not?|non|neg(ative)?s?|background|control|false|random|shuffled|absent|decoy|unbound"
    r"|inactive|intergenic|wt|wild[-_ ]?type|reference)(\b|_)",
    re.IGNORECASE,
)


def read_labelled(
    data: str | Path, *, genome: Genome | None = None, settings: LabelSettings | None = None
) -> LabelledData:
    """Read a folder or file of labelled sequences (see `label_files.read_parts` for the forms).

    Raises:
        BadInput: a missing column, an empty sequence, a row without label, a regression label that
            is not a number, a single class, row names instead of classes, a label that training
            lacks.
        TypeError: `data` is not a path.
    """
    if not isinstance(data, str | Path):
        raise TypeError(
            f"labelled data must be a file, a folder or LabelledData, not {type(data).__name__}:"
            " write a data frame to a file first"
        )
    settings = settings or LabelSettings()
    refuse_stream(data, "what reads labels")
    parts = read_parts(data, settings, genome)
    return understand(parts, settings, source=str(data))


def understand(parts: Mapping[str, Part], settings: LabelSettings, *, source: str) -> LabelledData:
    """Turn the label text of all parts into the labels of one task."""
    columns = parts["train"].columns
    parts = {name: _same_columns(part, columns) for name, part in parts.items()}
    kind = _guess_kind(parts["train"]) if settings.task == "auto" else settings.task
    _check_columns(parts["train"], kind)
    meaning = _MEANINGS[kind](parts["train"])
    _check_classes(parts["train"], kind, meaning, settings)
    if kind == "regression":
        _check_values(parts["train"], _values(parts["train"]))
    groups = _numbered_groups(parts)
    splits = {
        name: LabelledSplit(
            part.ids,
            part.codes,
            _labels(part, kind, meaning),
            np.array(part.rows, np.int64),
            groups.get(name),
            part.places,
        )
        for name, part in parts.items()
    }
    sizes = ", ".join(f"{name} {len(split):,} rows" for name, split in splits.items())
    positive = f"; {meaning[1]} is the positive class" if kind == "binary" else ""
    over = f"{first_of(meaning, _CLASSES_SHOWN)}{_how(settings)}{positive}"
    log.info("%s: %s; %s task over %s", source, sizes, kind, over)
    return LabelledData(splits, kind, meaning, source)


def _same_columns(part: Part, columns: tuple[str, ...]) -> Part:
    """The part with the column names of training: a single label column may be named differently,
    several may not.
    """
    if len(part.columns) != len(columns) or (len(columns) > 1 and part.columns != columns):
        raise BadInput(
            f"label columns are {', '.join(part.columns)}, in training {', '.join(columns)}",
            file=part.source,
        )
    return replace(part, columns=columns)


def _how(settings: LabelSettings) -> str:
    return " (guessed; the setting task overrides it)" if settings.task == "auto" else ""


def _kind_is(kind: str) -> str:
    """The option for the kind of task; in `evaluate`, `--task` names tasks of a suite."""
    return f"--task {kind} (evaluate: --set task={kind})"


def _numbered_groups(parts: Mapping[str, Part]) -> dict[str, NDArray[np.int64]]:
    """A number for each group; a row without one is a group of its own."""
    numbers: dict[object, int] = {}
    numbered = {}
    for split, part in parts.items():
        if part.groups is None:
            continue
        keys = [(split, at) if g in MISSING else g for at, g in enumerate(part.groups)]
        numbered[split] = np.array(
            [numbers.setdefault(key, len(numbers)) for key in keys], np.int64
        )
        alone = sum(group in MISSING for group in part.groups)
        if alone:
            log.warning("%s: %d rows have no group: each is a group of its own", part.source, alone)
    return numbered


def _guess_kind(part: Part) -> TaskKind:
    """The kind of task, from the training labels; `LabelSettings.task` overrides it."""
    distinct = [{row[c] for row in part.words} - MISSING for c in range(len(part.columns))]
    every = set().union(*distinct)
    if len(part.columns) > 1:
        return "multilabel" if {_plain(w) for w in every} <= {"0", "1"} else "regression"
    if any(_SEPARATOR in word for word in every):
        return "multilabel"
    numbers = {word for word in every if _as_number(word) is not None}
    whole = all(_WHOLE.fullmatch(word) for word in numbers)
    if numbers and (not whole or len(numbers) > _MOST_NUMBER_CLASSES):
        _refuse_some_words(part, every - numbers, len(every))
        if numbers == every:
            return "regression"
    return "binary" if len({_plain(w) for w in every}) == 2 else "multiclass"


def _refuse_some_words(part: Part, strange: set[str], distinct: int) -> None:
    """Refuse a few words, such as NA, among numbers: taken as classes, they would make every number
    a class.
    """
    if strange and len(strange) <= _MOST_STRANGE * distinct:
        at = next(at for at, words in enumerate(part.words) if words[0] in strange)
        raise BadInput(
            f"the labels are numbers, except {', '.join(map(repr, sorted(strange)[:5]))}",
            file=part.source,
            record=part.ids[at],
            remedy=f"remove these rows, or set {_kind_is('multiclass')} if the numbers are classes",
        )


def _plain(word: str) -> str:
    """A whole number without decimals ("1.0" is class 1: columns with missing values are stored as
    floats), else the word.
    """
    whole = _WHOLE.fullmatch(word)
    return whole[1] if whole else word


def _as_number(word: str) -> float | None:
    """A number, possibly with a decimal comma; None for anything else. NaN and infinity count."""
    if _DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    return float(word) if _NUMBER.fullmatch(word) else None


def sort_classes(names: set[str]) -> tuple[str, ...]:
    """Class names in the order of a model's outputs: by value if all are whole numbers, else
    alphabetical.
    """
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _single_classes(part: Part) -> tuple[str, ...]:
    found = sort_classes({_plain(word) for (word,) in part.words if word not in MISSING})
    negative = [bool(_NEGATIVE.match(name)) for name in found]
    return found[::-1] if negative == [False, True] else found


def _multilabel_classes(part: Part) -> tuple[str, ...]:
    if len(part.columns) > 1:
        return part.columns
    return sort_classes({tag for (word,) in part.words for tag in _tags(word)} - MISSING)


def _target_names(part: Part) -> tuple[str, ...]:
    return part.columns


_MEANINGS = {
    "binary": _single_classes,
    "multiclass": _single_classes,
    "multilabel": _multilabel_classes,
    "regression": _target_names,
}


def _tags(word: str) -> list[str]:
    return [_plain(tag.strip()) for tag in word.split(_SEPARATOR) if tag.strip()]


def _check_columns(part: Part, kind: TaskKind) -> None:
    if kind in ("binary", "multiclass") and len(part.columns) > 1:
        raise BadInput(
            f"a {kind} task has one label column, not {len(part.columns)}",
            file=part.source,
            remedy=f"name one with --label-column, or use {_kind_is('multilabel')}",
        )


def _check_classes(
    part: Part, kind: TaskKind, classes: tuple[str, ...], settings: LabelSettings
) -> None:
    rows = len(part.words)
    if kind in ("binary", "multiclass") and len(classes) < 2:
        problem = (
            f"all {rows:,} training rows have the same class: {first_of(classes, _CLASSES_SHOWN)}"
        )
        if not classes:
            problem = f"no row has a label in {part.columns[0]}"
        raise BadInput(problem, file=part.source, remedy=_TWO_CLASSES)
    names = kind == "multiclass" and rows > _FEW_NAMES and 2 * len(classes) > rows
    if names and settings.task == "auto":
        raise BadInput(
            f"{len(classes):,} different labels in {rows:,} rows of {part.columns[0]}: these look"
            " like names of rows, not like classes",
            file=part.source,
            remedy=f"{_TWO_CLASSES}; {_kind_is('multiclass')} uses them as they are",
        )
    if kind == "binary" and len(classes) > 2:
        raise BadInput(
            f"a binary task has two classes, found {len(classes)}:"
            f" {first_of(classes, _CLASSES_SHOWN)}",
            file=part.source,
            remedy=f"use {_kind_is('multiclass')} or {_kind_is('regression')}",
        )
    if kind == "multilabel" and not classes:
        raise BadInput("no training row has a label", file=part.source)


def _check_values(part: Part, values: Labels) -> None:
    """Refuse a target that is constant over the training rows: there is nothing to learn."""
    for at, name in enumerate(part.columns):
        if len(values) > 1 and np.ptp(values[:, at]) == 0:
            raise BadInput(
                f"all {len(values)} training rows have the value {values[0, at]:g} in {name}",
                file=part.source,
                remedy="values must differ; --label-column names another column",
            )


def _labels(part: Part, kind: TaskKind, classes: tuple[str, ...]) -> Labels:
    if kind == "regression":
        return _values(part)
    number = {name: k for k, name in enumerate(classes)}
    if kind == "multilabel":
        return _indicators(part, number)
    return np.array(
        [_class_of(_plain(word), at, part, number) for at, (word,) in enumerate(part.words)],
        np.int64,
    )


def _class_of(word: str, at: int, part: Part, number: Mapping[str, int]) -> int:
    if word in MISSING:
        problem = "the row has no label" + (f": {word}" if word else "")
        raise part.bad(problem, at, "fill it in or remove the row")
    if word not in number:
        raise part.bad(
            f"label {word!r} does not occur in training, which has"
            f" {first_of(number, _CLASSES_SHOWN)}",
            at,
            "add rows of this class to training, or remove it here",
        )
    return number[word]


def _indicators(part: Part, number: Mapping[str, int]) -> NDArray[np.int64]:
    """0/1 (n, K) from text such as `a;b`, or from a 0/1 column per label."""
    table = np.zeros((len(part.words), len(number)), np.int64)
    if len(part.columns) > 1:
        for at, words in enumerate(part.words):
            table[at] = [_zero_or_one(word, at, part) for word in words]
        return table
    for at, (word,) in enumerate(part.words):
        for tag in _tags(word):
            table[at, _class_of(tag, at, part, number)] = 1
    return table


def _zero_or_one(word: str, at: int, part: Part) -> int:
    if _plain(word) not in ("0", "1"):
        raise part.bad(f"{word!r} is neither 0 nor 1", at, "one 0/1 column is needed per label")
    return int(_plain(word))


def _values(part: Part) -> NDArray[np.float64]:
    """Target values (n, T); decimal commas are read as points."""
    commas = [w for row in part.words for w in row if _DECIMAL_COMMA.fullmatch(w)]
    if commas:
        if all(map(_THOUSANDS.fullmatch, commas)):
            raise BadInput(
                f"the comma in {commas[0]!r} may be a decimal comma or a thousands separator",
                file=part.source,
                remedy=f"write {commas[0].replace(',', '')} or {commas[0].replace(',', '.')}",
            )
        log.info("%s: decimal commas in the labels are read as points", part.source)
    return np.array(
        [[_finite(word, at, part) for word in row] for at, row in enumerate(part.words)], np.float64
    )


# Networks compute in float32.
_LARGEST = float(np.finfo(np.float32).max)


def _finite(word: str, at: int, part: Part) -> float:
    number = _as_number(word)
    if number is None:
        problem = "the row has no label" if word in MISSING else f"label {word!r} is not a number"
        raise part.bad(problem, at, "a regression needs a number in every row")
    if not math.isfinite(number):
        raise part.bad(f"label {word!r} is not finite", at, "remove the row or fill in a number")
    if abs(number) > _LARGEST:
        raise part.bad(f"label {word!r} is too large for computation", at, "use another unit")
    return number
