"""Flags made from settings: a field's name, default and sentence are written once, in its class.

The flag of a field is its name (`--batch-bases`); fields of the sections named in `PREFIXED` carry
the section (`--hiding-max-rate`), because their names alone would not say what they are about. An
option that is not given stays unset, so that the recipe of a preset can decide.
"""

import inspect
from collections.abc import Collection, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from findna.files import BadInput
from findna.settings import Settings

PREFIXED = ("hiding", "validation", "views")

_CONFIG = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file of settings, such as the settings.yaml of a run."),
]
_SET = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Any one setting, by its path in the YAML."),
]


# Values by their path in the settings.
Layer = list[tuple[tuple[str, ...], Any]]


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting as an option: where it stands in the settings, and how it is spelled."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """Name of the keyword the value arrives under."""
        shown = self.path if self.path[0] in PREFIXED else self.path[-1:]
        return "_".join(shown)

    def parameter(self) -> inspect.Parameter:
        """The option, unset by default; its help names the default of the settings."""
        kind, metavar = _typed(self.field.annotation)
        spelled = f"--{self.name.replace('_', '-')}"
        option = typer.Option(
            f"{spelled}/--no-{spelled[2:]}" if kind is bool else spelled,
            help=f"{self.field.description}{_shown(self.field.default)}",
            metavar=metavar,
            rich_help_panel=f"Settings: {self.path[0] if len(self.path) > 1 else 'run'}",
        )
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[kind | None, option],
            default=None,
        )

    def value(self, given: Any) -> Any:
        """What the settings expect for what was typed: a list is typed with commas."""
        if get_origin(_bare(self.field.annotation)) in (tuple, list):
            return tuple(part.strip() for part in str(given).split(",") if part.strip())
        return given


class SettingsOptions:
    """The options of a settings class, and the way back from their values to settings."""

    def __init__(self, settings: type[Settings], taken: Collection[str] = ()) -> None:
        """Names in `taken` are the verb's own: a setting so called is reached by `--set` only."""
        self.settings = settings
        self.flags = {f.name: f for f in _flags(settings, ()) if f.name not in taken}

    def parameters(self) -> list[inspect.Parameter]:
        """One parameter a flag, and `--config` and `--set`."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        return [
            inspect.Parameter("config", keyword, annotation=_CONFIG, default=None),
            inspect.Parameter("set_", keyword, annotation=_SET, default=None),
            *(flag.parameter() for flag in self.flags.values()),
        ]

    def take(self, values: MutableMapping[str, Any]) -> dict[str, Any]:
        """Remove the options from `values` and nest them: file, then `--set`, then flags."""
        config = values.pop("config")
        given: dict[str, Any] = self._from_file(config)
        led_by = given.get(self.settings.leading or "")
        assigned = [self._assignment(text) for text in values.pop("set_") or ()]
        flagged = [
            (flag.path, flag.value(value))
            for name, flag in self.flags.items()
            if (value := values.pop(name)) is not None
        ]
        for layer in (assigned, flagged):
            self._give_way(given, layer)
            for path, value in layer:
                _put(given, path, value)
        if led_by is not None:
            self._refuse_other_lead(config, led_by, given)
        return given

    def _refuse_other_lead(self, config: Path, led_by: Any, given: dict[str, Any]) -> None:
        """A file of one preset says what its recipe said; another preset would not get its own."""
        name = str(self.settings.leading)
        if given[name] != led_by:
            raise BadInput(
                f"was written for {name} {led_by} and its settings, but {name} {given[name]} is"
                " requested",
                file=config,
                remedy=f"drop --config and give the differing settings as flags, or remove {name}"
                f" from the file with every setting that the {name} should decide",
            )

    def _give_way(self, given: dict[str, Any], layer: Layer) -> None:
        """Drop the alternatives of what a later layer names: `--budget` over `steps` of a file."""
        names = self.settings.alternatives
        if any(path in {(name,) for name in names} for path, _ in layer):
            for name in names:
                given.pop(name, None)

    def _from_file(self, config: Path | None) -> dict[str, Any]:
        """The settings of a YAML file, or of the `settings:` part of a run's file."""
        if config is None:
            return {}
        try:
            found = yaml.safe_load(config.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"cannot be read: {error.strerror}", file=config) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadInput(f"is not YAML: {error}", file=config) from None
        if isinstance(found, dict) and isinstance(found.get("settings"), dict):
            found = found["settings"]
        if not isinstance(found, dict):
            raise BadInput("contains no settings", file=config, remedy="write `name: value` lines")
        # As the run will read it: a recipe may stand behind what the file says.
        getattr(self.settings, "resolve", self.settings.parse)(found, source=str(config))
        return found

    @staticmethod
    def _assignment(text: str) -> tuple[tuple[str, ...], Any]:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise typer.BadParameter(f"--set expects NAME=VALUE or A.B=VALUE, not {text!r}")
        try:
            return tuple(path.split(".")), yaml.safe_load(value)
        except yaml.YAMLError:
            raise typer.BadParameter(f"--set {path}: {value!r} is not a YAML value") from None


def _flags(settings: type[BaseModel], path: tuple[str, ...]) -> Iterator[Flag]:
    """Every field that is no section, depth first, in the order it is written."""
    for name, field in settings.model_fields.items():
        kind = _bare(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _flags(kind, (*path, name))
        else:
            yield Flag((*path, name), field)


def _bare(annotation: Any) -> Any:
    """The annotation without `| None`."""
    if get_origin(annotation) in (Union, UnionType):
        rest = [arg for arg in get_args(annotation) if arg is not NoneType]
        return rest[0] if len(rest) == 1 else str
    return annotation


def _typed(annotation: Any) -> tuple[Any, str | None]:
    """The type the command line converts to, and what stands for the value in the help."""
    bare = _bare(annotation)
    if bare in (bool, int, float, Path):
        return bare, None
    if get_origin(bare) is Literal:
        return str, "|".join(str(choice) for choice in get_args(bare))
    return str, "A,B" if get_origin(bare) in (tuple, list) else None


def _shown(default: Any) -> str:
    """A default for the help, as it would be typed; nothing for what is simply absent."""
    if default is None:
        return ""
    text = ("on" if default else "off") if isinstance(default, bool) else str(default)
    if isinstance(default, tuple):
        text = ",".join(map(str, default))
    return f" Default: {text}."


def _put(given: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a nested value, making the sections on the way."""
    for part in path[:-1]:
        # A section that a file names and leaves empty is None.
        inner = given[part] = {} if given.get(part) is None else given[part]
        if not isinstance(inner, dict):
            raise typer.BadParameter(f"{part} is not a section of the settings")
        given = inner
    given[path[-1]] = value
