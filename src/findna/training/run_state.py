"""A run is a folder: resolved settings, command, environment, metrics, checkpoints and the model.

settings.yaml      every setting, with defaults filled in
command.txt        the command line that started it (one line a start)
environment.json   versions, device and threads
metrics.jsonl      one JSON object a line
checkpoints/       last/ with state.safetensors and state.json, or folds/ of a cross-validation
model/             the model folder, written at the end
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from findna.files import (
    BadInput,
    FindnaError,
    OutputExists,
    atomic_folder,
    claimed,
    command_line,
    full_disk_told,
    is_free,
    read_json,
    read_json_lines,
    write_json,
    write_text,
)
from findna.model.model import software_versions

SETTINGS, METRICS, COMMAND = "settings.yaml", "metrics.jsonl", "command.txt"
_ANEW = "put it back, or start again with --overwrite"
# What a run goes on from: its last step, or the folds that are finished.
LAST, FOLDS = "checkpoints/last", "checkpoints/folds"
STATE = "state.json"


@dataclass(frozen=True)
class Run:
    """An open run folder."""

    folder: Path
    resumed: bool

    @property
    def model(self) -> Path:
        """Where the model folder goes."""
        return self.folder / "model"

    @property
    def metrics(self) -> Path:
        """The metrics file."""
        return self.folder / METRICS


@contextmanager
def open_run(
    folder: str | Path,
    *,
    settings: Mapping[str, Any],
    device: torch.device | str,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Run]:
    """Make a run folder with what is known at the start, all of it or nothing, or go on with one;
    inside the block no other process may.

    With ``resume`` a run that was stopped before its first checkpoint begins anew.

    Raises:
        BadInput: the folder exists and neither ``resume`` nor ``overwrite`` was asked for, or is
            no run, or another process writes it, or there is no checkpoint to resume from, or the
            settings differ from those of the run to be resumed.
    """
    folder = Path(folder)
    resumed, only_begun = resume and can_go_on(folder), resume and _only_begun(folder)
    if resumed or only_begun:
        _same_settings(folder, settings)
    elif resume and not is_free(folder):
        _refuse_foreign(folder, any)
        raise BadInput(
            "there is no checkpoint to resume from",
            file=folder,
            remedy="leave out --resume; --overwrite starts again",
        )
    else:
        refuse_taken(folder, overwrite)
    with ExitStack() as held:
        if (folder / COMMAND).is_file():
            held.enter_context(claimed(folder / COMMAND))
        if resumed:
            _describe(folder, settings, device)
        else:
            with atomic_folder(folder, overwrite=overwrite or only_begun) as made:
                (made / "checkpoints").mkdir()
                _describe(made, settings, device)
                held.enter_context(claimed(made / COMMAND))
        yield Run(folder, resumed)


def _only_begun(folder: Path) -> bool:
    """Whether a run folder says how the run was started and holds nothing else that could be
    lost: half of a first checkpoint is nothing.
    """
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir() or (folder / "model").exists():
        return False
    kept = [path for path in checkpoints.iterdir() if not _half_saved(path)]
    return not kept and (folder / SETTINGS).is_file()


def _half_saved(checkpoint: Path) -> bool:
    """Whether saving ended before its last file."""
    return checkpoint.name.startswith(".tmp-") and not (checkpoint / STATE).exists()


def _describe(folder: Path, settings: Mapping[str, Any], device: torch.device | str) -> None:
    write_text(folder / SETTINGS, yaml.safe_dump(dict(settings), sort_keys=False))
    note_start(folder, device)


def note_start(folder: Path, device: torch.device | str) -> None:
    """Add the command to those of earlier starts, and say in what environment this one computes."""
    with (folder / COMMAND).open("a", encoding="utf-8") as command:
        command.write(command_line() + "\n")
    write_json(folder / "environment.json", environment(device))


def refuse_start(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Asked before the work: `BadInput` where a run can neither begin nor go on as it is wanted."""
    if resume and overwrite:
        raise BadInput(
            "resume continues a run, and overwrite replaces it",
            file=folder,
            remedy="give either --resume or --overwrite",
        )
    if resume:
        _refuse_foreign(folder, any)
    else:
        refuse_taken(folder, overwrite)


def refuse_taken(folder: Path, overwrite: bool) -> None:
    """`OutputExists` for a folder that holds something, a run of ours without `overwrite`."""
    if is_free(folder):
        return
    _refuse_foreign(folder, all)
    if not overwrite:
        go_on = "--resume continues it, " if can_go_on(folder) else ""
        raise OutputExists(
            "this run already exists", file=folder, remedy=f"{go_on}--overwrite replaces it"
        )


def _refuse_foreign(folder: Path, enough: Callable[[Iterable[bool]], bool]) -> None:
    """Refuse what holds something and is no run: `enough` of its two files say that it is one."""
    ours = enough((folder / name).is_file() for name in (SETTINGS, COMMAND))
    if not is_free(folder) and not ours:
        raise OutputExists(
            "was not written by findna and is not overwritten",
            file=folder,
            remedy="choose another --output",
        )


def can_go_on(folder: Path) -> bool:
    """Whether there is something to resume a run from."""
    return any((folder / checkpoint).is_dir() for checkpoint in (LAST, FOLDS))


def described_in(folder: Path) -> dict[str, Any]:
    """What the folder of a run or an evaluation was begun with.

    Raises:
        BadInput: its settings are missing or no settings.
    """
    file = folder / SETTINGS
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        told = None
    if not isinstance(told, dict):
        raise BadInput("does not say what the run was started with", file=file, remedy=_ANEW)
    return told


def _same_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    changed = differences(described_in(folder), settings)
    if changed:
        raise BadInput(
            f"the settings differ from those of the run: {changed}",
            file=folder / SETTINGS,
            remedy="resume with the same command, or start another run",
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two nested mappings, in words: "settings.seed (was 0, now 1)"."""
    old, new = dict(_leaves(before)), dict(_leaves(now))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{k} (was {old.get(k)!r}, now {new.get(k)!r})" for k in changed)


def _leaves(nested: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def environment(device: torch.device | str) -> dict[str, Any]:
    """Versions and hardware that a result may depend on."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        **software_versions(),
        "platform": platform.platform(),
        "device": device.type,
        "device_name": name,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


# What only the closing check of a pretraining run has.
CLOSING_KEY = "by_length"


class MetricsLog:
    """Appends numbers to ``metrics.jsonl``; not-finite ones are written as null, since JSON has no
    NaN.
    """

    def __init__(self, file: Path, keep: Callable[[Mapping[str, Any]], bool] | None = None) -> None:
        """Of a run that goes on, the lines are kept that `keep` says are not written again."""
        self.file = file
        if keep is not None:
            rows = [row for row in read_json_lines(file) if keep(row)]
            write_text(file, "".join(json.dumps(row) + "\n" for row in rows))

    def write(self, **numbers: Any) -> None:
        """Append one line."""
        line = json.dumps(_plain(numbers))
        try:
            with full_disk_told(self.file), self.file.open("a", encoding="utf-8") as out:
                out.write(line + "\n")
        except OSError as error:
            raise FindnaError(f"{self.file}: cannot write ({error.strerror})") from error


def until(step: int) -> Callable[[Mapping[str, Any]], bool]:
    """Lines that a run wrote up to its last checkpoint, so that no step stands twice: none of later
    steps, and not the closing check, which is made again.
    """
    return lambda row: row.get("step", 0) <= step and CLOSING_KEY not in row


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value


def save_checkpoint(run: Run, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Replace the last checkpoint, all of it or nothing."""
    contiguous = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    with atomic_folder(run.folder / LAST, overwrite=True) as made:
        save_file(contiguous, made / "state.safetensors")
        write_json(made / STATE, dict(numbers))


def load_checkpoint(run: Run) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and numbers of the last checkpoint.

    Raises:
        BadInput: it is damaged.
    """
    folder = run.folder / LAST
    try:
        return load_file(folder / "state.safetensors"), read_json(folder / STATE)
    except (OSError, SafetensorError, BadInput) as error:
        raise BadInput(f"is damaged ({error})", file=folder, remedy=_ANEW) from None
