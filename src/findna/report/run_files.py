"""What the folder of a run says about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from findna.files import BadInput, read_json, read_json_lines

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What a run folder says about itself; parts that are missing are empty."""

    folder: Path
    settings: Row
    metrics: Sequence[Row]
    environment: Row
    commands: Sequence[str]

    def points(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a number, as `rows_with` has it."""
        return [(row["step"], row[name]) for row in self.rows_with(name)]

    def rows_with(self, name: str) -> list[Row]:
        """Rows with a number that was written during training.

        The closing check is on other windows: its numbers are no points of a curve, but all there
        is where training was too short for another check.
        """
        rows = [row for row in self.metrics if row.get(name) is not None and "step" in row]
        return [row for row in rows if "by_length" not in row] or rows

    def last(self, name: str) -> Any:
        """The value written last, None where there is none."""
        found = [row[name] for row in self.metrics if row.get(name) is not None]
        return found[-1] if found else None

    @property
    def distilling(self) -> bool:
        """Whether pretraining taught the projection: without, its numbers are those of chance."""
        settings = self.settings.get("settings") or {}
        weight = (settings.get("distillation") or {}).get("distillation_weight")
        return weight is None or weight > 0


def read_run(folder: Path) -> RunFiles:
    """Read the small files of a run folder."""
    settings = folder / "settings.yaml"
    if not settings.is_file():
        raise BadInput("is not a run folder: it has no settings.yaml", file=folder)
    environment = folder / "environment.json"
    commands = folder / "command.txt"
    return RunFiles(
        folder,
        _read_settings(settings),
        read_json_lines(folder / "metrics.jsonl"),
        read_json(environment) if environment.is_file() else {},
        commands.read_text(encoding="utf-8").splitlines() if commands.is_file() else [],
    )


def _read_settings(path: Path) -> Row:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"is not YAML: {error}", file=path) from None
    if not isinstance(found, Mapping):
        raise BadInput("contains no settings", file=path)
    return found
