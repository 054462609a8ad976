"""The folder of an evaluation: it goes on only with what it began with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from findna.data.labelled import LabelledSplit
from findna.evaluation.contenders.probes import digest_of
from findna.evaluation.settings import EvaluateSettings
from findna.files import BadInput, atomic_file

SETTINGS = "settings.yaml"
_REMEDY = "use the same to go on, another folder, or --overwrite"
# These may grow from one start to the next; everything else must stay as it was.
MAY_DIFFER = {"seeds", "resamples", "modes", "reference", "budget"}


def open_folder(
    folder: Path, settings: EvaluateSettings, digests: Mapping[str, str], overwrite: bool
) -> Path:
    """The folder of an evaluation, new or one that goes on.

    `digests` name what stands behind the names of models and tasks. They are kept: a name that
    comes back must mean the same.

    Raises:
        BadInput: it is something else, or settings or digests differ; it names them.
    """
    file = folder / SETTINGS
    known: dict[str, str] = {}
    if folder.exists() and not folder.is_dir():
        raise BadInput("is a file; a folder is needed", file=folder, remedy="name another with -o")
    if overwrite and folder.exists():
        _refuse_strange(folder)
        shutil.rmtree(folder)
    if folder.exists() and any(folder.iterdir()):
        _refuse_strange(folder)
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
        known = described.get("digests", {})
        _refuse_changed(folder, described["settings"], settings)
        _refuse_other(folder, known, digests)
    described = {
        "verb": "evaluate",
        "settings": settings.model_dump(mode="json"),
        "digests": {**known, **digests},
    }
    with atomic_file(file, overwrite=True) as made:
        made.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return folder


def _refuse_changed(folder: Path, kept: Mapping[str, Any], settings: EvaluateSettings) -> None:
    now = settings.model_dump(mode="json")
    source = str(folder / SETTINGS)
    before = EvaluateSettings.parse(kept, source=source).model_dump(mode="json")
    changed = [k for k in now if now[k] != before[k] and k not in MAY_DIFFER]
    if changed:
        listed = ", ".join(f"{k} (was {before[k]!r}, now {now[k]!r})" for k in changed)
        raise BadInput(
            f"holds an evaluation with other settings: {listed}", file=folder, remedy=_REMEDY
        )


def _refuse_other(folder: Path, known: Mapping[str, str], digests: Mapping[str, str]) -> None:
    """Runs of another model, or on other rows, must not be mixed with these."""
    other = [name for name, digest in digests.items() if known.get(name, digest) != digest]
    if other:
        raise BadInput(
            f"holds runs in which {', '.join(other)} was another", file=folder, remedy=_REMEDY
        )


def digest_of_rows(rows: LabelledSplit) -> str:
    """Digest of sequences and labels in their order."""
    digest = hashlib.sha256(digest_of(rows).encode() + rows.labels.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _refuse_strange(folder: Path) -> None:
    """Refuse to write into, or to remove, what is no evaluation."""
    file = folder / SETTINGS
    described = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    if not isinstance(described, dict) or described.get("verb") != "evaluate":
        raise BadInput(
            "is there and holds no evaluation", file=folder, remedy="name another folder with -o"
        )
