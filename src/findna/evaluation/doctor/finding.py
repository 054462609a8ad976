"""One line of what the doctor says, and the words for numbers in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "stop"]


@dataclass(frozen=True)
class Finding:
    """One line of the screen."""

    level: Level
    topic: str
    what: str
    remedy: str | None = None

    def lines(self) -> Iterator[str]:
        """The finding, and its remedy indented under it."""
        yield f"{self.level:<5} {self.topic:<12} {self.what}"
        if self.remedy:
            yield f"{'':<19}-> {self.remedy}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 row`, `1,200 rows`; `many` where an s at the end does not do."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def share(part: int, whole: int, what: str, one: str, many: str) -> str:
    """`1 of 1,200 rows holds`, `2 of 1,200 rows hold`: the verb goes with the part."""
    return f"{part:,} of {whole:,} {what} {one if part == 1 else many}"
