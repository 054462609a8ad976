"""report.html of a run, from the files of its folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

from findna.files import read_json
from findna.report.finetuning import finetuning_parts
from findna.report.page import Part, flat, write_page
from findna.report.pretraining import pretraining_parts
from findna.report.run_files import RunFiles, read_run


def write_report(run: str | Path, stopped: str = "") -> Path:
    """Write `report.html` into a run folder, again if it is there, and return its path.

    Args:
        run: the folder.
        stopped: why the run ended before its end, which does not stand in its folder.

    Raises:
        BadInput: the folder holds no settings.yaml, or a file of it is damaged.
    """
    files = read_run(Path(run))
    verb = str(files.settings.get("verb", "run"))
    own = _PARTS[verb](files) if verb in _PARTS else []
    parts = [*own, *_common_parts(files)]
    name, verdict = files.folder.resolve().name, _verdict(files, stopped)
    return write_page(files.folder / "report.html", f"findna {verb}", name, verdict, parts)


def _common_parts(files: RunFiles) -> list[Part]:
    return [
        Part("Settings", "", (), ("setting", "value"), flat(files.settings)),
        Part("Environment", "", (), ("what", "value"), flat(files.environment)),
        Part("Command", "", (), ("command",), [(command,) for command in files.commands]),
    ]


def _verdict(files: RunFiles, stopped: str) -> str:
    """What the last check said; first that the run is not finished, where it is not."""
    said = str(files.last("verdict") or "")
    unfinished = _unfinished(files)
    if not unfinished:
        return said
    why = f" Stopped: {stopped}." if stopped else ""
    return f"Not finished: {unfinished}.{why}" + (f" At the last check: {said}" if said else "")


def _unfinished(files: RunFiles) -> str:
    """How far a run came that has no model, or a model of fewer steps than planned."""
    config = files.folder / "model" / "config.json"
    if files.settings.get("verb") not in _PARTS:
        return ""
    if config.is_file():
        seen = read_json(config).get("provenance", {})
        finished = seen.get("finished") is not False
        return "" if finished else f"step {seen['steps']:,} of {seen['planned_steps']:,}"
    checkpoint = files.folder / "checkpoints" / "last" / "state.json"
    state = read_json(checkpoint) if checkpoint.is_file() else {}
    step = max(state.get("step", 0), files.last("step") or 0)
    settings = files.settings.get("settings") or {}
    planned = state.get("plan", {}).get("steps") or settings.get("steps")
    if not step:
        return "it has written no model"
    return f"step {step:,}" + (f" of {planned:,}" if planned else "")


_PARTS: Mapping[str, Callable[[RunFiles], list[Part]]] = {
    "pretrain": pretraining_parts,
    "finetune": finetuning_parts,
}
