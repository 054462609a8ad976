"""Flags come from settings, and go back to them."""

from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from pydantic import Field

from findna.cli import options
from findna.cli.options import SettingsOptions
from findna.evaluation.settings import EvaluateSettings
from findna.files import BadInput
from findna.settings import Settings
from findna.training.finetune_settings import FinetuneSettings
from findna.training.recipes import PretrainSettings


class Hiding(Settings):
    max_rate: float = Field(0.5, description="Largest share hidden.")


class Sampling(Settings):
    window: int = Field(512, description="Longest window in bp.")
    contigs: tuple[str, ...] | None = Field(None, description="Only these.")


class Run(Settings):
    rates: tuple[float, ...] = Field((0.1, 0.2), description="Rates that are tried.")
    steps: int | None = Field(None, description="Optimizer steps.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Numbers.")
    fast: bool = Field(True, description="Hurry.")
    calm: bool = Field(False, description="Wait.")
    sampling: Sampling = Field(Sampling(), description="Windows.")
    hiding: Hiding = Field(Hiding(), description="Hidden bases.")


OPTIONS = SettingsOptions(Run)


def _take(**typed: Any) -> dict[str, Any]:
    values = {p.name: None for p in OPTIONS.parameters()} | typed
    given = OPTIONS.take(values)
    assert values == {}, "every option was taken"
    return given


def _decls(option: typer.models.OptionInfo) -> tuple[str, ...]:
    """Inside Annotated typer takes the first spelling for a default."""
    return tuple(x for x in (option.default, *option.param_decls) if isinstance(x, str))


def _spelled() -> dict[str, typer.models.OptionInfo]:
    return {p.name: p.annotation.__metadata__[0] for p in OPTIONS.parameters()}


def test_every_field_is_a_flag_with_its_sentence_and_default() -> None:
    flags = _spelled()
    assert set(flags) == {
        "config", "set_", "rates", "steps", "precision", "fast", "calm", "window", "contigs",
        "hiding_max_rate",
    }  # fmt: skip
    assert _decls(flags["hiding_max_rate"]) == ("--hiding-max-rate",)
    assert flags["window"].help == "Longest window in bp. Default: 512."
    assert flags["rates"].help == "Rates that are tried. Default: 0.1,0.2."
    assert flags["steps"].help == "Optimizer steps."
    assert _decls(flags["fast"]) == ("--fast/--no-fast",)
    assert (flags["fast"].help, flags["calm"].help) == (
        "Hurry. Default: on.",
        "Wait. Default: off.",
    )
    assert flags["precision"].metavar == "fp32|bf16"


def test_what_is_not_given_stays_unset() -> None:
    assert _take() == {}


def test_flags_are_nested_as_the_settings_are() -> None:
    given = _take(window=100, contigs="chr1, chr2", hiding_max_rate=0.2, fast=False)
    assert given == {
        "sampling": {"window": 100, "contigs": ("chr1", "chr2")},
        "hiding": {"max_rate": 0.2},
        "fast": False,
    }
    assert Run.parse(given, source="test").sampling.contigs == ("chr1", "chr2")


def test_file_then_set_then_flag(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("steps: 5\nsampling: {window: 64}\nhiding: {max_rate: 0.1}\n")
    given = _take(config=config, set_=["sampling.window=65", "hiding.max_rate=0.3"], window=66)
    assert given == {"steps": 5, "sampling": {"window": 66}, "hiding": {"max_rate": 0.3}}


def test_the_last_named_end_of_a_run_stands(tmp_path: Path) -> None:
    """`--budget` over the steps of a file; two ends named at once are left for the settings."""
    flags = SettingsOptions(PretrainSettings)
    config = tmp_path / "settings.yaml"
    config.write_text("steps: 120\npreset: small\n")
    named: dict[str, Any] = dict.fromkeys(flags.flags) | {"config": config, "set_": None}
    assert flags.take({**named, "budget": "40s"}) == {"preset": "small", "budget": "40s"}
    assert flags.take({**named, "set_": ["epochs=2"]}) == {"preset": "small", "epochs": 2}
    over = flags.take({**named, "set_": ["epochs=2"], "steps": 3})
    assert over == {"preset": "small", "steps": 3}
    both = flags.take({**named, "budget": "40s", "steps": 3})
    with pytest.raises(BadInput, match="one of steps, epochs and budget"):
        PretrainSettings.resolve(both)


def test_a_file_of_one_preset_is_not_taken_for_another(tmp_path: Path) -> None:
    flags = SettingsOptions(PretrainSettings)
    config = tmp_path / "settings.yaml"
    config.write_text("preset: tiny\nsampling: {window: 512}\n")
    named: dict[str, Any] = dict.fromkeys(flags.flags) | {"config": config, "set_": None}
    for other in ({"preset": "small"}, {"set_": ["preset=small"]}):
        with pytest.raises(BadInput, match=r"preset tiny.* preset small is requested"):
            flags.take({**named, **other})
    assert flags.take({**named, "preset": "tiny"})["preset"] == "tiny"
    config.write_text("sampling: {window: 512}\n")
    assert flags.take({**named, "preset": "small"})["preset"] == "small"


def test_settings_of_a_run_are_a_config(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("verb: pretrain\nsettings: {steps: 7}\n")
    assert _take(config=config) == {"steps": 7}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("stesp: 3\n", "did you mean steps"),
        ("- 1\n", "contains no settings"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text)
    with pytest.raises(BadInput, match=problem) as caught:
        _take(config=config)
    assert "c.yaml" in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        _take(config=tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["window", "=3"])
def test_set_wants_a_name_and_a_value(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        _take(set_=[text])


def test_set_wants_a_value_that_can_be_read() -> None:
    with pytest.raises(typer.BadParameter, match="not a YAML value"):
        _take(set_=["steps=["])


def test_a_section_that_a_file_leaves_empty_takes_flags() -> None:
    given: dict[str, Any] = {"sampling": None}
    options._put(given, ("sampling", "window"), 128)
    assert given == {"sampling": {"window": 128}}


def test_a_bare_number_is_seconds_and_a_seed_is_no_monster() -> None:
    assert PretrainSettings.parse({"budget": 600}, source="x").budget == "600"
    assert EvaluateSettings.parse({"budget": 1.5}, source="x").budget == "1.5"
    with pytest.raises(BadInput, match="budget"):
        PretrainSettings.parse({"budget": True}, source="x")
    for settings, name in (
        (PretrainSettings, "seed"), (FinetuneSettings, "seed"), (EvaluateSettings, "first_seed"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=name):
            settings.parse({name: 2**64}, source="x")


def test_set_below_a_value_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="not a section"):
        _take(set_=["steps=3", "steps.more=1"])


def test_real_settings_have_no_two_flags_of_one_name() -> None:
    flags = SettingsOptions(PretrainSettings)
    paths = [flag.path for flag in flags.flags.values()]
    assert len(set(paths)) == len(paths)
    assert sum(1 for _ in _leaves(PretrainSettings.resolve({}).model_dump())) == len(paths)


def _leaves(values: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        found += _leaves(value) if isinstance(value, dict) else [name]
    return found
