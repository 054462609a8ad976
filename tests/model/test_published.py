"""Models by name: the list is what the folders hold, and a file that differs is refused."""

import importlib.util
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from findna.files import BadInput, cache_folder, file_digest
from findna.model import published
from findna.model.loading import load_model, model_folder
from findna.model.model import new_model
from findna.model.published import PUBLISHED, TABLE, PublishedFile, PublishedModel

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 12_000_000


@pytest.fixture
def publish() -> ModuleType:
    """benchmarks/publish.py."""
    spec = importlib.util.spec_from_file_location("publish", ROOT / "benchmarks" / "publish.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedModel:
    """A small published model of the repository; its folder is `tmp_path`/models/mine."""
    folder = tmp_path / "models" / "mine"
    new_model("tiny", seed=1).save(folder, half=True)
    files = tuple(
        PublishedFile(f.name, f.stat().st_size, file_digest(f)) for f in sorted(folder.iterdir())
    )
    model = PublishedModel("mine", "repository", files)
    monkeypatch.setitem(PUBLISHED, "mine", model)  # type: ignore[arg-type]
    monkeypatch.setattr(published, "REPOSITORY", tmp_path / "models")
    return model


def test_the_list_is_what_the_folders_hold(publish: ModuleType) -> None:
    written = "".join(f"{line}\n" for line in publish.lines(publish.FOLDERS))
    assert TABLE.read_text() == written


def test_a_model_in_parts_is_not_published(publish: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    new_model("tiny", seed=1).save(folder, half=True)
    (folder / "model.safetensors").rename(folder / "model.safetensors.part-0")
    with pytest.raises(SystemExit, match="join its parts"):
        list(publish.lines({"repository": tmp_path}))


def test_the_repository_stays_small_and_the_wheel_without_its_models() -> None:
    held = sum(f.stat().st_size for f in (ROOT / "models").rglob("*") if f.is_file())
    assert held <= MOST_BYTES
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/findna"]}


def test_every_published_model_loads_by_name() -> None:
    for name, model in PUBLISHED.items():
        assert load_model(name).provenance["name"] == name
        assert {f.file for f in model.files} == {"README.md", "config.json", "model.safetensors"}


def test_a_model_of_the_repository_is_found_in_the_checkout_then_in_the_cache(
    mine: PublishedModel, tmp_path: Path
) -> None:
    checkout = tmp_path / "models" / "mine"
    cached = cache_folder() / "data" / "model" / "mine"
    assert model_folder("mine") == checkout
    shutil.copytree(checkout, cached)
    assert model_folder("mine") == checkout
    shutil.rmtree(checkout)
    assert model_folder("mine") == cached
    shutil.rmtree(cached)
    with pytest.raises(
        BadInput, match=r"mine is not on this machine(.|\n)*findna fetch model mine"
    ):
        model_folder("mine")


def test_a_folder_of_the_user_goes_before_a_name(
    mine: PublishedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_folder("mine") != Path("mine") and not caplog.text
    new_model("tiny", seed=2).save("mine")
    assert model_folder("mine") == Path("mine")
    assert "mine is the local folder, not the published model" in caplog.text


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_that_differs_is_refused_with_both_digests(
    mine: PublishedModel, tmp_path: Path, file: str
) -> None:
    path = tmp_path / "models" / "mine" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        load_model("mine")
    expected = next(each.checksum for each in mine.files if each.file == file)
    for words in (str(path), expected, file_digest(path), "restore it from the repository"):
        assert words in str(refused.value)


def test_a_file_that_is_missing_is_refused(mine: PublishedModel, tmp_path: Path) -> None:
    (tmp_path / "models" / "mine" / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="no such file"):
        load_model("mine")


def test_the_remedy_says_where_a_file_comes_from(mine: PublishedModel, tmp_path: Path) -> None:
    cached = cache_folder() / "data" / "model" / "mine"
    shutil.move(tmp_path / "models" / "mine", cached)
    (cached / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="findna fetch model mine --overwrite"):
        load_model("mine")
    shutil.rmtree(cached)
    packaged = PublishedModel("mine", "package", mine.files)
    assert "install findna again" in packaged._remedy(tmp_path)
