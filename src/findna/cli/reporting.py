"""Runs end by writing their report, also those that were stopped or broke down on the way."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from findna.files import BadInput, FindnaError, FullDisk, log


@contextmanager
def reported(run: Path) -> Iterator[None]:
    """Write `report.html` of the run made inside the block; not if the input was refused, or the
    folder still is that of another run.

    On a full disk there is no room for a report either.
    """
    before = _mark(run)
    try:
        yield
    except (BadInput, FullDisk):
        raise
    except (KeyboardInterrupt, FindnaError) as error:
        # The remedy behind the first line is for whoever gave the command.
        if _mark(run) != before:
            _write(run, str(error).partition("\n")[0] or "interrupted")
        raise
    _write(run)


def _mark(run: Path) -> tuple[int, ...] | None:
    """Another one whenever a run begins here or goes on."""
    command = run / "command.txt"
    if not command.is_file():
        return None
    seen = command.stat()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _write(run: Path, stopped: str = "") -> None:
    """The first process writes; torchrun and SLURM number them in RANK."""
    if os.environ.get("RANK", "0") == "0" and (run / "settings.yaml").is_file():
        from findna.report import write_report

        log.info(f"report in {write_report(run, stopped)}")
