"""`findna fetch model NAME` from a local server, and the model then used by its name."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from findna.cli import app
from findna.evaluation.fetch import catalogue as known
from findna.evaluation.fetch.catalogue import catalogue, datasets
from findna.files import cache_folder, file_digest
from findna.model import published
from findna.model.loading import load_model
from findna.model.model import new_model
from findna.model.published import PUBLISHED, PublishedFile, PublishedModel


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a folder with model/mine and models/mine; `mine` is published and not here."""
    folder = tmp_path / "served" / "model" / "mine"
    new_model("tiny", seed=1).save(folder, half=True)
    (tmp_path / "served" / "models").symlink_to("model")
    files = tuple(
        PublishedFile(f.name, f.stat().st_size, file_digest(f)) for f in sorted(folder.iterdir())
    )
    monkeypatch.setitem(PUBLISHED, "mine", PublishedModel("mine", "repository", files))  # type: ignore[arg-type]
    monkeypatch.setattr(published, "REPOSITORY", tmp_path / "no checkout")
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    catalogue.cache_clear()
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()
    catalogue.cache_clear()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_model_is_fetched_checked_and_used_by_its_name(served: str) -> None:
    assert "mine\t" in call("info").stdout and "findna fetch model mine" in call("info").stdout
    result = call("fetch", "model", "mine", "--mirror", served)
    assert result.exit_code == 0, result.stderr
    assert load_model("mine").config.preset == "tiny"
    assert "here" in call("info").stdout
    assert call("info", "mine").stdout.startswith("name\tmine\nkind\tmodel\n")


def test_the_repository_is_asked_where_the_project_names_its_raw_files(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_raw_files", lambda: served)
    catalogue.cache_clear()
    (dataset,) = datasets(["model/mine"])
    assert dataset.files[0].urls == (f"{served}/models/mine/README.md",)
    assert call("fetch", "model", "mine").exit_code == 0
    assert load_model("mine").config.preset == "tiny"


def test_a_file_of_another_content_is_not_taken(served: str, tmp_path: Path) -> None:
    (tmp_path / "served/model/mine/model.safetensors").write_bytes(b"other weights")
    result = call("fetch", "model", "mine", "--mirror", served)
    assert result.exit_code == 3 and "returns another file than expected" in result.stderr
    assert not (cache_folder() / "data/model/mine/model.safetensors").exists()


def test_without_an_address_the_mirror_is_named(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_raw_files", lambda: None)
    catalogue.cache_clear()
    result = call("fetch", "model", "mine")
    assert result.exit_code == 3
    assert "has no address" in result.stderr and "--mirror" in result.stderr


def test_a_mistyped_model_gets_a_hint(served: str) -> None:
    result = call("fetch", "model", "mnie")
    assert result.exit_code == 3 and "did you mean model/mine?" in result.stderr


def test_all_models_are_a_group_and_those_of_the_package_are_none_of_it(served: str) -> None:
    names = {dataset.name for dataset in datasets(["model"])}
    assert "model/mine" in names and "model/findna-human-tiny" not in names
