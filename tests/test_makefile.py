"""`make setup` completes a half-made environment, and deletes nothing that it did not make."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make here")

MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make setup` reads, with nothing in it to install."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    (folder / "Makefile").write_bytes(MAKEFILE.read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).touch()
    return folder


def _setup(checkout: Path, python: str | Path) -> subprocess.CompletedProcess[str]:
    # The network is not asked.
    env = os.environ | {"PIP_NO_INDEX": "1"}
    for name in ("PYTHONPATH", "MAKEFLAGS"):
        env.pop(name, None)
    command = ["make", "setup", f"PYTHON={python}", "VENV=env"]
    return subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_an_environment_that_was_interrupted_before_pip_is_completed(checkout: Path) -> None:
    half = [sys.executable, "-m", "venv", "--without-pip", str(checkout / "env")]
    subprocess.run(half, check=True)
    told = _setup(checkout, sys.executable).stderr
    assert "No module named pip" not in told
    assert list((checkout / "env").glob("lib/python*/site-packages/pip"))


def test_a_python_that_makes_no_environment_costs_no_file(checkout: Path) -> None:
    python = checkout / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *venv*|*ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    mine = checkout / "env" / "mine"
    mine.parent.mkdir()
    mine.touch()
    done = _setup(checkout, "./python")
    assert done.returncode != 0 and "apt install python3-venv" in done.stderr
    assert mine.exists()
