"""Which runs get a report."""

from pathlib import Path

import pytest

from findna.cli.reporting import reported
from findna.files import BadInput, FindnaError, FullDisk


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "settings.yaml").write_text("verb: pretrain\n")
    return tmp_path


def test_a_finished_run_is_reported(run: Path) -> None:
    with reported(run):
        pass
    assert (run / "report.html").is_file()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FindnaError("the loss is not finite")])
def test_a_run_that_was_cut_short_is_reported_and_the_error_goes_on(
    run: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)), reported(run):
        (run / "command.txt").write_text("findna pretrain g.fa -o run\n")
        raise error
    reason = str(error) or "interrupted"
    assert f"Stopped: {reason}." in (run / "report.html").read_text(encoding="utf-8")


def test_a_run_of_another_process_is_left_alone(run: Path) -> None:
    """As where a second command is interrupted before it has opened the run."""
    (run / "command.txt").write_text("findna pretrain g.fa -o run\n")
    with pytest.raises(KeyboardInterrupt), reported(run):
        raise KeyboardInterrupt
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("error", [BadInput("this run already exists"), FullDisk("run")])
def test_nothing_is_written_after_refused_input_or_on_a_full_disk(
    run: Path, error: FindnaError
) -> None:
    with pytest.raises(type(error)), reported(run):
        raise error
    assert not (run / "report.html").exists()


def test_only_the_first_process_reports(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with reported(run):
        pass
    assert not (run / "report.html").exists()
