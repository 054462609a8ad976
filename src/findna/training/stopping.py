"""What ends a run early: signals that ask it to stop, and a loss that is no number."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from findna.files import FindnaError, log
from findna.model.model import Model

_ONE_PRESS = 1.0


class NonFiniteLoss(FindnaError):
    """Training broke down; `model` holds the best weights so far, where no checkpoint does."""

    exit_code = 3

    def __init__(self, message: str, model: Model | None = None) -> None:
        super().__init__(message)
        self.model = model


class StopRequest:
    """Ctrl-C and SIGTERM ask; the loop stops after the step. A second one stops at once, unless it
    comes with the first: torchrun hands on a Ctrl-C that each process has had from the terminal.
    """

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if time.monotonic() - self._when > _ONE_PRESS:
                raise KeyboardInterrupt
            return
        self.asked, self._when = True, time.monotonic()
        log.info("stopping after the current step; a checkpoint will be saved")

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Handle the signals inside the block, in the main thread."""
        try:
            before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: somebody else owns the signals
            before = {}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
