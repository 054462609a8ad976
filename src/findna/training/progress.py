"""What a person sees while a run goes on: a bar on a terminal, else one line a minute."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from findna.files import log


class StepProgress:
    """Counts steps of a known total, with a rate and the time left. Quiet on all ranks but the
    first.
    """

    def __init__(self, what: str, total: int, done: int = 0, *, shown: bool = True) -> None:
        self.what, self.total, self.done, self.shown = what, total, done, shown
        self.began = self.spoke = time.monotonic()
        self.first = done
        self.units = 0
        self.bar: Progress | None = None
        if shown and sys.stderr.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[rate]}"),
                console=Console(stderr=True),
            )
            self.task = self.bar.add_task(what, total=total, completed=done, rate="")

    def __enter__(self) -> StepProgress:
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

    def advance(self, bases: int, loss: str = "") -> None:
        """One more step over ``bases`` bases."""
        self.done += 1
        self.units += bases
        if not self.shown:
            return
        now = time.monotonic()
        rate = self.units / max(now - self.began, 1e-9)
        text = f"{rate:,.0f} bases/s {loss}"
        if self.bar:
            self.bar.update(self.task, completed=self.done, rate=text)
        elif now - self.spoke >= 60:
            self.spoke = now
            left = (self.total - self.done) * (now - self.began) / max(self.done - self.first, 1)
            log.info(f"{self.what} {self.done}/{self.total}, {text}, {left / 60:.1f} min left")
