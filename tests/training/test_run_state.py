"""The run folder: settings, metrics and checkpoints are whole or refused."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from findna.files import BadInput, FindnaError, FullDisk, read_json_lines
from findna.training import run_state
from findna.training.run_state import (
    MetricsLog,
    Run,
    load_checkpoint,
    open_run,
    refuse_start,
    save_checkpoint,
    until,
)

SETTINGS = {"verb": "pretrain", "settings": {"seed": 1}}


def opened(folder: Path, **how: bool) -> Run:
    with open_run(folder, settings=SETTINGS, device="cpu", **how) as run:
        return run


def refused(folder: Path, settings: dict[str, Any], match: str) -> None:
    with (
        pytest.raises(BadInput, match=match),
        open_run(folder, settings=settings, device="cpu", resume=True),
    ):
        pass


def test_an_opened_run_says_what_it_is(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    assert yaml.safe_load((run.folder / "settings.yaml").read_text()) == SETTINGS
    assert json.loads((run.folder / "environment.json").read_text())["torch"] == torch.__version__
    assert (run.folder / "command.txt").read_text().endswith("\n")
    assert not run.resumed


def test_checkpoint_round_trip_and_replacement(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    for step in (1, 2):
        save_checkpoint(run, {"w": torch.full((2,), float(step))}, {"step": step})
    tensors, numbers = load_checkpoint(run)
    assert tensors["w"].tolist() == [2, 2] and numbers == {"step": 2}
    assert opened(tmp_path / "run", resume=True).resumed


def test_a_failed_checkpoint_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opened(tmp_path / "run")
    save_checkpoint(run, {"w": torch.ones(2)}, {"step": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_state, "save_file", full)
    with pytest.raises(FindnaError, match="full"):
        save_checkpoint(run, {"w": torch.zeros(2)}, {"step": 2})
    tensors, numbers = load_checkpoint(run)
    assert tensors["w"].tolist() == [1, 1] and numbers == {"step": 1}
    assert [p.name for p in (run.folder / "checkpoints").iterdir()] == ["last"]


def test_resume_needs_a_checkpoint_and_the_same_settings(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    (run.folder / "model").mkdir()
    refused(run.folder, SETTINGS, "no checkpoint")
    save_checkpoint(run, {"w": torch.ones(1)}, {"step": 1})
    other = {**SETTINGS, "settings": {"seed": 2}}
    refused(run.folder, other, r"those of the run: settings.seed \(was 1, now 2\)\n")
    refused(run.folder, {**SETTINGS, "exclude": "x"}, r": exclude \(was None, now 'x'\)\n")


def test_an_empty_folder_is_no_run_to_resume(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert not opened(tmp_path / "run", resume=True).resumed


@pytest.mark.parametrize("half_saved", [False, True])
def test_a_run_that_had_only_begun_begins_anew(tmp_path: Path, half_saved: bool) -> None:
    """A job that is started again with --resume must not be stuck for a second that was too few."""
    run = opened(tmp_path / "run")
    if half_saved:
        half = run.folder / "checkpoints" / ".tmp-1-abcd-last"
        half.mkdir()
        (half / "state.json").touch()  # a whole one that a crash left there is not thrown away
        refused(run.folder, SETTINGS, "no checkpoint")
        (half / "state.json").unlink()
    run.metrics.write_text('{"step": 0}\n')
    refused(run.folder, {"verb": "finetune"}, "settings differ")
    again = opened(tmp_path / "run", resume=True)
    assert not again.resumed and not again.metrics.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("how", ["overwrite", "resume"])
def test_two_processes_do_not_write_one_run(tmp_path: Path, how: str) -> None:
    with open_run(tmp_path / "run", settings=SETTINGS, device="cpu") as run:
        save_checkpoint(run, {"w": torch.ones(1)}, {"step": 1})
        before = sorted(run.folder.rglob("*"))
        with pytest.raises(BadInput, match="another process is writing"):
            opened(tmp_path / "run", **{how: True})
        assert sorted(run.folder.rglob("*")) == before
    assert opened(tmp_path / "run", **{how: True}).resumed == (how == "resume")


@pytest.mark.parametrize("lost", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("cut", [None, 20])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, lost: str, cut: int | None) -> None:
    run = opened(tmp_path / "run")
    save_checkpoint(run, {"w": torch.ones(100)}, {"step": 1, "words": "enough to be cut"})
    file = run.folder / "checkpoints" / "last" / lost
    if cut is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BadInput, match=r"last: is damaged \((.|\n)*--overwrite"):
        load_checkpoint(run)


@pytest.mark.parametrize("content", [None, "", "- a list", "a: [", b"\xff"])
def test_settings_that_are_lost_are_told(tmp_path: Path, content: str | bytes | None) -> None:
    run = opened(tmp_path / "run")
    save_checkpoint(run, {"w": torch.ones(1)}, {"step": 1})
    file = run.folder / "settings.yaml"
    file.unlink()
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(run.folder, SETTINGS, "settings.yaml: does not say")


def test_every_start_leaves_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["findna pretrain a.fa", "findna pretrain a.fa --resume"])
    monkeypatch.setattr(run_state, "command_line", lambda: next(said))
    run = opened(tmp_path / "run")
    save_checkpoint(run, {"w": torch.ones(1)}, {"step": 1})
    opened(tmp_path / "run", resume=True)
    commands = (run.folder / "command.txt").read_text()
    assert commands == "findna pretrain a.fa\nfindna pretrain a.fa --resume\n"


def test_an_existing_run_is_kept_unless_overwritten(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    (run.folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(BadInput, match="exists"):
        opened(tmp_path / "run")
    assert (run.folder / "metrics.jsonl").exists()
    assert not (opened(tmp_path / "run", overwrite=True).folder / "metrics.jsonl").exists()


def test_a_full_disk_at_the_start_leaves_no_half_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_state, "write_json", full)
    with pytest.raises(FullDisk, match=str(tmp_path / "run")):
        opened(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_a_run_is_free_or_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    (tmp_path / "thesis" / "settings.yaml").write_text("of: another program")
    for taken in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.tex"):
        with pytest.raises(BadInput, match="not written by findna"):
            opened(taken, overwrite=True)
    (tmp_path / "thesis" / "settings.yaml").unlink()
    for taken in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.tex"):
        with pytest.raises(BadInput, match="not written by findna"):
            opened(taken, resume=True)
        with pytest.raises(BadInput, match="not written by findna"):
            refuse_start(taken, overwrite=False, resume=True)
    with pytest.raises(BadInput, match="cannot be made"):
        opened(tmp_path / "thesis" / "chapter.tex" / "run")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "words"


def test_the_remedy_for_an_existing_run_is_one_that_works(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    with pytest.raises(BadInput) as without:
        opened(run.folder)
    save_checkpoint(run, {"w": torch.ones(1)}, {"step": 1})
    with pytest.raises(BadInput) as with_checkpoint:
        opened(run.folder)
    assert without.value.remedy == "--overwrite replaces it"
    assert "--resume" in str(with_checkpoint.value.remedy)


def test_metrics_are_plain_json_and_cut_at_the_checkpoint(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(1, 5):
        log.write(step=step, loss=torch.tensor(1.0 / step), bad=float("nan"))
    rows = read_json_lines(tmp_path / "metrics.jsonl")
    assert rows[1] == {"step": 2, "loss": 0.5, "bad": None}
    MetricsLog(tmp_path / "metrics.jsonl", until(2))
    assert [row["step"] for row in read_json_lines(tmp_path / "metrics.jsonl")] == [1, 2]
    # The closing check stands at the last step and is made again.
    log.write(step=2, by_length={"70": {"loss": float("inf")}})
    assert read_json_lines(tmp_path / "metrics.jsonl")[-1]["by_length"] == {"70": {"loss": None}}
    MetricsLog(tmp_path / "metrics.jsonl", until(2))
    assert [row["step"] for row in read_json_lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_json_lines(tmp_path / "metrics.jsonl") == [{"step": 1}]
