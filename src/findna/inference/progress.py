"""Progress: a bar or counter on a terminal, else one log line per minute; nothing if only warnings
are logged.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from findna.files import log

_EVERY_S = 60


class Shown:
    """Progress of a task on the terminal, or in the log; `total` None if it is unknown."""

    def __init__(
        self,
        what: str,
        total: int | None,
        done: int = 0,
        *,
        shown: bool = True,
        counts: bool = True,
    ) -> None:
        """`done` of `total` are done already; `counts` shows both numbers next to the bar."""
        self.what, self.total, self.shown = what, total, shown
        self.first = self.done = done
        self.began = self.spoke = time.monotonic()
        self.bar: Progress | None = None
        if shown and sys.stderr.isatty() and log.isEnabledFor(logging.INFO):
            console = Console(stderr=True)
            self.bar = Progress(*_columns(total, counts), console=console, transient=True)
            self.task = self.bar.add_task(what, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return max(time.monotonic() - self.began, 1e-9)

    def say(self, done: int, note: str, line: str) -> None:
        """`done` are done: `note` goes next to the bar, `line` into the log once a minute."""
        self.done = done
        if self.bar:
            self.bar.update(self.task, completed=done, note=note)
        elif self.shown and time.monotonic() - self.spoke >= _EVERY_S:
            self.spoke = time.monotonic()
            log.info(line + self._left())

    def _left(self) -> str:
        if self.total is None or self.done <= self.first:
            return ""
        left = (self.total - self.done) * self.seconds / (self.done - self.first)
        return f", {left / 60:.1f} min left"


def _columns(total: int | None, counts: bool) -> list[ProgressColumn]:
    if total is None:
        return [SpinnerColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()]
    both = [TextColumn("{task.completed}/{task.total}")] if counts else []
    return [
        TextColumn("{task.description}"),
        BarColumn(),
        *both,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]


class StepProgress(Shown):
    """Counts steps of a known total, with a rate."""

    bases = 0

    def advance(self, bases: int, loss: str = "") -> None:
        """One more step over `bases` bases."""
        self.bases += bases
        note = f"{self.bases / self.seconds:,.0f} bases/s {loss}".rstrip()
        self.say(self.done + 1, note, f"{self.what} {self.done + 1}/{self.total}, {note}")


class RecordProgress(Shown):
    """Counts records and bases of a stream, with a rate."""

    records = bases = 0

    def __init__(self, what: str) -> None:
        super().__init__(what, None)

    def advance(self, records: int, bases: int) -> None:
        """`records` more records, with `bases` bases in all, are done."""
        self.records += records
        self.bases += bases
        rate = self.bases / self.seconds
        text = f"{self.what}: {self.records:,} records, {self.bases:,} bases, {rate:,.0f} bases/s"
        self.say(self.records, text, text)


class WorkProgress(Shown):
    """Counts bases of a known total, with a rate."""

    def __init__(self, what: str, total: int) -> None:
        super().__init__(what, total, counts=False)

    def advance(self, bases: int) -> None:
        """`bases` more bases are done."""
        done = self.done + bases
        note = f"{done / self.seconds:,.0f} bases/s"
        self.say(done, note, f"{self.what}: {done:,} of {self.total:,} bases, {note}")
