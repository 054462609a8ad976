"""Settings that are checked: every command and file of settings goes through one class."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from findna.files import BadInput


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys and numbers that are not finite refused; flags and
    docs come from the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    # Fields of which one is given: named later, it takes the place of those named before.
    alternatives: ClassVar[tuple[str, ...]] = ()
    # The field that decides what others are if they are not given.
    leading: ClassVar[str | None] = None

    @classmethod
    def parse(cls, mapping: Mapping[str, Any], *, source: str) -> Self:
        """Validate `mapping`; every wrong key becomes one line of a single `BadInput`.

        `source` says where the keys were written: a file name or "the command line".
        """
        try:
            return cls.model_validate(dict(mapping))
        except ValidationError as error:
            lines = [_setting_line(cls, item) for item in error.errors()]
        raise BadInput("\n  ".join(lines), file=source) from None

    @classmethod
    def of(cls, given: Self | Mapping[str, Any] | None) -> Self:
        """Settings as a Python function gets them: made before, or some values over the defaults.

        Raises:
            BadInput: a wrong key or value.
        """
        if isinstance(given, cls):
            return given
        return cls.parse(cast(Mapping[str, Any], given or {}), source="settings")


def _setting_line(settings: type[BaseModel], item: Any) -> str:
    """One readable line for one entry of pydantic's error list."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _fields_at(settings, item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"
        return f"{key}: unknown setting; {hint}"
    if item["type"] == "missing":
        return f"{key}: is required"
    if item["type"] == "tuple_type" and not isinstance(item["input"], Mapping):
        several = ", ".join(part.strip() for part in str(item["input"]).split(","))
        return f"{key}: is a list, such as [{several}], not {item['input']!r}"
    if item["type"] == "too_short":
        return f"{key}: is empty; name at least {item['ctx']['min_length']}"
    reason = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if not key or isinstance(item["input"], Mapping):
        return f"{key}: {reason}" if key else str(reason)
    return f"{key}: {reason[0].lower()}{reason[1:]}, not {item['input']!r}"


def _fields_at(settings: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the settings nested at `path`."""
    for part in path:
        field = settings.model_fields.get(str(part))
        nested = field.annotation if field else None
        if not (isinstance(nested, type) and issubclass(nested, BaseModel)):
            return []
        settings = nested
    return list(settings.model_fields)
