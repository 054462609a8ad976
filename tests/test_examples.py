"""The examples run, from the first line to the last."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def test_the_demo_prints_its_table_and_writes_its_reports(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [
        sys.executable, str(PROJECT / "examples" / "demo.py"), str(folder),
        "--steps", "2", "--epochs", "1", "--tasks", "coding",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pretrained - random" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if "[" in line][1:] == ["coding"]
    for run in ("pretrained", "coding-random", "coding-pretrained"):
        assert (folder / run / "report.html").is_file()
    rows = (folder / "example" / "coding" / "test.csv").read_text().splitlines()
    answers = (folder / "coding-pretrained.tsv").read_text().splitlines()
    assert len(answers) == len(rows)
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "exists" in again.stderr
