"""The rows of a registered task: found below a data root, read, and held against the registry.

Understood are our own layout (`gue/tf/0/train.csv.gz`, `mtcdna/1024/random/train.csv.gz`), that of
the unpacked GUE archive and of its mirror on the Hub (`GUE/tf/0`, `GUE/human_tf_0`), and that of
the genomic-benchmarks library (`human_nontata_promoters/train/positive/0.txt`). What differs from
the registry, a subset for instance, is said in a note and in the log; it is never passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from findna.data.label_files import read_parts
from findna.data.labelled import LabelledData
from findna.data.labels import understand
from findna.data.parts import SPLIT_NAMES, LabelSettings, Part
from findna.evaluation.suites.registry import Task
from findna.files import BadInput, log, open_bytes
from findna.sequence.tables import open_table

# How the folder of a suite may be called below a data root; "" is the root itself.
_SUITE_FOLDERS = {
    "gue": ("gue", "GUE", ""),
    "genomic_benchmarks": ("genomic_benchmarks", ".genomic_benchmarks", ""),
    "mtcdna": ("mtcdna", "MTcDNA", ""),
}
# The paper's split of MTcDNA lies beside the one by species.
_PAPER_SPLIT = {"mtcdna": "random"}
_FETCH = {
    "gue": "findna fetch {name}",
    "genomic_benchmarks": "findna fetch {name} --build",
    "mtcdna": "findna fetch mtcdna --build",
}
_TABLES = (".csv", ".tsv", ".parquet")
_CLASS_COLUMN = "class"


@dataclass(frozen=True, eq=False)
class TaskData:
    """Labelled rows, and what is to be said with every result on them.

    `notes` are sentences: splits whose rows are not the official ones, how numbered labels were
    named. `dev_as_train`: the official dev rows serve as training rows, and there is no dev split.
    """

    data: LabelledData
    notes: tuple[str, ...] = ()
    dev_as_train: bool = False


def task_folder(task: Task, root: str | Path) -> Path:
    """The folder with the split files, or split folders, of a task below `root`.

    Raises:
        BadInput: none is there; it says where it looked.
    """
    places = list(_places(task, Path(root)))
    found = next((place for place in places if place.is_dir() and _entries(place)), None)
    if found is None:
        looked = "".join(f"\n    {place}" for place in places)
        raise BadInput(
            f"no data for {task.name}; searched{looked}",
            remedy=_fetch(task),
        )
    return found


def read_task(
    task: Task,
    root: str | Path,
    settings: LabelSettings | None = None,
    *,
    dev_as_train: bool = False,
) -> TaskData:
    """Read a task, name its classes as the registry does, and compare the sizes of its splits.

    Args:
        task: from `registry.find_task`.
        root: folder of data, searched as by `task_folder`.
        settings: how tables are read; the kind of task is taken from the registry.
        dev_as_train: where there is no train split, let the dev rows be the training rows.

    Raises:
        BadInput: no data, no train split, classes that are not those of the task or that differ
            between the folders of two splits, and whatever `label_files.read_parts` refuses.
    """
    folder = task_folder(task, root)
    entries = _entries(folder)
    _refuse_other_class_folders(entries)
    settings = _settings(task, settings or LabelSettings(), next(iter(entries.values())))
    promoted = "train" not in entries
    if promoted and not (dev_as_train and "dev" in entries):
        raise _no_train(task, folder, entries)
    parts = _dev_and_test(entries, settings) if promoted else read_parts(folder, settings)
    data, notes = _named(understand(parts, settings, source=str(folder)), task)
    notes += _differences(data, task, promoted)
    for note in notes:
        log.warning("%s: %s", task.name, note)
    return TaskData(data, tuple(notes), promoted)


# ---------------------------------------------------------------- finding


def _places(task: Task, root: Path) -> Iterator[Path]:
    for suite in _SUITE_FOLDERS[task.suite]:
        yield root / suite / task.path
        if task.hub_name:
            yield root / suite / task.hub_name
        if task.suite in _PAPER_SPLIT:
            yield root / suite / task.path / _PAPER_SPLIT[task.suite]


def _fetch(task: Task) -> str:
    return "fetch it with: " + _FETCH[task.suite].format(name=task.name)


def _entries(folder: Path) -> dict[str, Path]:
    """The file or folder of each split, in the order train, dev, test."""
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        same = [path for path in sorted(folder.iterdir()) if _stem(path) in names]
        if len(same) > 1:
            listed = ", ".join(path.name for path in same)
            raise BadInput(
                f"{listed} all claim to be the {split} split", file=folder, remedy="keep one"
            )
        if same:
            found[split] = same[0]
    return found


def _stem(path: Path) -> str:
    return path.name.split(".")[0].lower()


def _refuse_other_class_folders(entries: dict[str, Path]) -> None:
    """Class numbers come from the names of folders, so that these must agree in all splits."""
    folders = {split: entry for split, entry in entries.items() if entry.is_dir()}
    classes = {
        split: sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
        for split, folder in folders.items()
    }
    for split, names in classes.items():
        first = next(iter(classes))
        if names != classes[first]:
            raise BadInput(
                f"class folders are {', '.join(names)}, in {first} {', '.join(classes[first])}",
                file=folders[split],
                remedy="every split needs the same class folders",
            )


def _no_train(task: Task, folder: Path, entries: dict[str, Path]) -> BadInput:
    remedy = _fetch(task)
    if "dev" in entries:
        remedy += ", or use the dev rows as training rows with --dev-as-train"
    there = ", ".join(entries)
    return BadInput(f"there is no train split, only {there}", file=folder, remedy=remedy)


# ---------------------------------------------------------------- reading


def _settings(task: Task, settings: LabelSettings, example: Path) -> LabelSettings:
    """The kind of task from the registry; names of classes, where a table has them, before numbers.

    Numbers may come from an unsorted folder, names cannot.
    """
    if settings.task == "auto":
        kind = "binary" if len(task.classes) == 2 else "multiclass"
        settings = settings.model_copy(update={"task": kind})
    if settings.label_column is None and _has_class_column(example):
        settings = settings.model_copy(update={"label_column": _CLASS_COLUMN})
    return settings


def _has_class_column(path: Path) -> bool:
    if path.is_dir() or not path.name.lower().removesuffix(".gz").endswith(_TABLES):
        return False
    with open_bytes(path) as stream, open_table(stream, path) as table:
        return _CLASS_COLUMN in table.columns


def _dev_and_test(entries: dict[str, Path], settings: LabelSettings) -> dict[str, Part]:
    """Dev rows as the part "train"; one file read by itself is always called so."""
    roles = {"train": "dev", "test": "test"}
    return {
        role: read_parts(entries[split], settings)["train"]
        for role, split in roles.items()
        if split in entries
    }


def _named(data: LabelledData, task: Task) -> tuple[LabelledData, list[str]]:
    """The data with the registry's classes: found as names, or as numbers in its order."""
    if set(data.classes) == set(task.classes):
        return data, []
    listed = ", ".join(task.classes)
    if data.classes == tuple(str(number) for number in range(len(task.classes))):
        note = f"labels are numbers, read as {listed} from 0 upwards; the files do not say so"
        return replace(data, classes=task.classes), [note]
    raise BadInput(
        f"the classes are {', '.join(data.classes)}; those of {task.name} are {listed}",
        file=data.source,
        remedy="check that the folder holds this task, and which column holds its labels; to"
        f" evaluate a task of your own, leave out --suite: findna evaluate {data.source}",
    )


def _differences(data: LabelledData, task: Task, promoted: bool) -> list[str]:
    """Sentences on what the splits have and the registry has not, or the reverse."""
    found = {split: len(rows) for split, rows in data.splits.items()}
    notes = []
    if promoted:
        found["dev"] = found.pop("train")
        notes.append(
            f"the {found['dev']:,} dev rows serve as training rows: reduced training data, and"
            " validation rows are taken from them"
        )
    for split in SPLIT_NAMES:
        here, official = found.get(split, 0), task.rows.get(split, 0)
        if official is not None and here != official:
            stated = "" if split in task.counted or not official else " (as stated, not counted)"
            notes.append(f"{split}: {here:,} rows found, {official:,} officially{stated}")
    return notes
