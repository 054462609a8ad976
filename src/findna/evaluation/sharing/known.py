"""What is known of a model: its own folder, and the run it came from if that is here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from findna.files import BadInput, file_digest, open_bytes, read_json, read_json_lines
from findna.model.loading import load_model, model_folder
from findna.model.model import Model
from findna.sequence.intervals import bases_in, merge, read_bed
from findna.training.run_state import METRICS, SETTINGS, described_in

# Places on the machine that trained a model: what is given away names the file alone.
_PATHS = (
    "genome",
    "task_data",
    "include",
    "exclude",
    "source",
    "label_table",
    "start_from",
    "data",
)
_NOTE = re.compile(r"#\s*(\w+):\s*(.+)")


@dataclass(frozen=True)
class RunFacts:
    """The files of a run folder: settings.yaml, environment.json and the numbers of the run.

    `rows` are those of metrics.jsonl, `judged` metrics.json of fine-tuning, `starts` how often the
    run was started.
    """

    described: Mapping[str, Any]
    environment: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    judged: Mapping[str, Any]
    starts: int

    @property
    def verb(self) -> str:
        """Which verb made it: pretrain or finetune."""
        return str(self.described["verb"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting, defaults filled in, files named without the folders they lay in."""
        return without_paths(self.described["settings"])

    @property
    def check(self) -> Mapping[str, Any]:
        """The last held-out check; empty where there was none."""
        return next((row for row in reversed(self.rows) if "verdict" in row), {})

    @property
    def seconds(self) -> float:
        """Wall-clock time over all starts, 0 where none was written. Pretraining notes a clock,
        which once began at 0 with each start, fine-tuning what each epoch took.
        """
        clock = [float(row["seconds"]) for row in self.rows if row.get("seconds") is not None]
        if self.described.get("verb") == "finetune":
            return sum(clock)
        ends = [now for now, after in pairwise(clock) if after < now]
        return sum(ends) + sum(clock[-1:])


@dataclass(frozen=True)
class Regions:
    """A BED of the regions that were read; `notes` are its comments of the form `# word: text`."""

    name: str
    digest: str
    intervals: int
    bases: int
    notes: Mapping[str, str]


@dataclass(frozen=True)
class Known:
    """A model, its folder, and its run; None where there is only the model."""

    model: Model
    folder: Path
    run: RunFacts | None


def known_model(path: str | Path) -> Known:
    """Read a run, a model folder or a published model; `BadInput` where there is no model yet."""
    folder = model_folder(path)
    run = folder.parent if folder.name == "model" else None
    facts = _run_facts(run) if run and (run / SETTINGS).is_file() else None
    return Known(load_model(path), folder, facts)


def _run_facts(folder: Path) -> RunFacts:
    described = described_in(folder)
    if described.get("verb") not in ("pretrain", "finetune"):
        raise BadInput(
            "is not the settings file of a run that made a model", file=folder / SETTINGS
        )
    environment, judged, commands = (
        folder / name for name in ("environment.json", "metrics.json", "command.txt")
    )
    return RunFacts(
        described,
        read_json(environment) if environment.is_file() else {},
        read_json_lines(folder / METRICS),
        read_json(judged) if judged.is_file() else {},
        len(commands.read_text(encoding="utf-8").splitlines()) if commands.is_file() else 1,
    )


def without_paths(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts, files named without the folders they lay in."""
    return {key: _without_path(key, value) for key, value in facts.items()}


def _without_path(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_paths(value)
    if key in _PATHS and isinstance(value, str):
        return ", ".join(PurePath(part).name for part in value.split(", "))
    return value


def read_regions(bed: str | Path, known: Known) -> Regions:
    """What a BED says of the regions that were read.

    Raises:
        BadInput: the model was trained on a FASTA of cut regions that holds another number of
            bases: the BED is of other regions.
    """
    table = read_bed(bed)
    runs = [merge(part[["start", "end"]].to_numpy()) for _, part in table.groupby("chrom")]
    bases = sum(bases_in(run) for run in runs)
    _refuse_other(bed, bases, known.run)
    with open_bytes(bed) as stream:
        notes = [
            _NOTE.fullmatch(line.decode("utf-8").strip()) for line in stream if line[:1] == b"#"
        ]
    told = {note[1]: note[2] for note in notes if note}
    return Regions(Path(bed).name, file_digest(bed), len(table), bases, told)


def refuse_changed(bed: Path, digest: str | None) -> None:
    """`BadInput` for a BED that is not what it was in training, where that is known."""
    if digest is not None and file_digest(bed) != digest:
        raise BadInput(
            "has changed since the model was trained",
            file=bed,
            remedy="restore that file",
        )


def _refuse_other(bed: str | Path, bases: int, run: RunFacts | None) -> None:
    if run is None or run.verb != "pretrain" or run.settings["sampling"]["include"]:
        return
    total = int(run.described["genome"]["bases"])
    if bases != total:
        raise BadInput(
            f"covers {bases:,} bases, but the genome of the run has {total:,}",
            file=bed,
            remedy="give the BED of the regions that the model was trained on, or none",
        )
