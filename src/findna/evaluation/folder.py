"""The folder of an evaluation: it goes on only with what it began with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from findna.evaluation.settings import EvaluateSettings
from findna.files import BadInput, claimed, make_folder, write_text
from findna.inference.precision import Precision, resolve_precision
from findna.training.run_state import COMMAND, SETTINGS, described_in, differences, note_start

_REMEDY = "use the same to continue, another folder, or --overwrite"
# These may grow from one start to the next; everything else must stay as it was.
MAY_DIFFER = {"seeds", "resamples", "modes", "reference", "budget"}


def precision_of(
    folder: Path, asked: Precision, device: torch.device, overwrite: bool
) -> Precision:
    """The precision of all runs of an evaluation: rows of two must not meet in one table, and how
    busy a machine is can make another of "auto" at each start.

    A folder of the time before this was kept says "auto", which every start finds for itself.
    """
    described = None if overwrite else evaluation_in(folder)
    if asked != "auto" or described is None:
        return resolve_precision(asked, device)
    return _kept_settings(folder, described).precision


@contextmanager
def open_folder(
    folder: Path,
    settings: EvaluateSettings,
    digests: Mapping[str, str],
    device: torch.device,
    overwrite: bool,
) -> Iterator[Path]:
    """The folder of an evaluation, new or one that goes on; each start leaves its command. Inside
    the block no other process may write there.

    `digests` name what stands behind the names of models and tasks. They are kept: a name that
    comes back must mean the same.

    Raises:
        BadInput: it is something else, or settings or digests differ, which it names, or another
            process writes there.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput("is a file; a folder is needed", file=folder, remedy="name another with -o")
    if not _free(folder):
        _refuse_strange(folder)
    make_folder(folder)
    with claimed(folder / COMMAND):
        # What another process did before the claim is seen only now.
        known: dict[str, str] = {}
        if overwrite and not _free(folder):
            _refuse_strange(folder)
            _empty(folder)
        elif not _free(folder):
            before = _refuse_strange(folder)
            known = before.get("digests", {})
            _refuse_changed(folder, _kept_settings(folder, before), settings)
            _refuse_other(folder, known, digests)
        described = {
            "verb": "evaluate",
            "settings": settings.model_dump(mode="json"),
            "digests": {**known, **digests},
        }
        write_text(folder / SETTINGS, yaml.safe_dump(described, sort_keys=False))
        note_start(folder, device)
        yield folder


def _free(folder: Path) -> bool:
    """Whether nothing is there but what a start that got no further leaves, or is just making."""
    names = [entry.name for entry in folder.iterdir()] if folder.exists() else []
    return all(name == COMMAND or name.startswith(".tmp-") for name in names)


def _empty(folder: Path) -> None:
    """Remove an evaluation; the file that is claimed stays, and one that is stopped here is still
    an evaluation.
    """
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in (COMMAND, SETTINGS):
            entry.unlink()
    (folder / COMMAND).write_bytes(b"")
    (folder / SETTINGS).unlink()


def evaluation_in(folder: Path) -> dict[str, Any] | None:
    """What the folder of an evaluation says of itself; None where there is no evaluation."""
    if not (folder / SETTINGS).is_file():
        return None
    described = described_in(folder)
    return described if described.get("verb") == "evaluate" else None


def _kept_settings(folder: Path, described: Mapping[str, Any]) -> EvaluateSettings:
    return EvaluateSettings.parse(described["settings"], source=str(folder / SETTINGS))


def _refuse_changed(folder: Path, kept: EvaluateSettings, settings: EvaluateSettings) -> None:
    before, now = (each.model_dump(mode="json", exclude=MAY_DIFFER) for each in (kept, settings))
    changed = differences(before, now)
    if changed:
        raise BadInput(
            f"holds an evaluation with other settings: {changed}", file=folder, remedy=_REMEDY
        )


def _refuse_other(folder: Path, known: Mapping[str, str], digests: Mapping[str, str]) -> None:
    """Runs of another model, or on other rows, must not be mixed with these."""
    other = [name for name, digest in digests.items() if known.get(name, digest) != digest]
    if other:
        raise BadInput(f"holds runs that differ in {', '.join(other)}", file=folder, remedy=_REMEDY)


def _refuse_strange(folder: Path) -> dict[str, Any]:
    """What an evaluation says of itself; what is none is neither written into nor removed."""
    described = evaluation_in(folder)
    if described is None:
        raise BadInput(
            "exists and is not an evaluation", file=folder, remedy="name another folder with -o"
        )
    return described
