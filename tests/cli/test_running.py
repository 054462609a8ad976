"""How verbs end: one sentence and one exit code, never a stack trace unasked."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import errno, os, signal, sys, time
import typer
from findna.cli.running import resolved, verb
from findna.files import BadInput, FindnaError, log
from findna.settings import Settings

class S(Settings):
    n: int = 1

@verb()
def toy(how: str, more: list[str] = []) -> None:
    "A toy."
    log.info("a notice")
    log.warning("a warning")
    if how == "data":
        print("data")
    if how == "bad":
        raise BadInput("is no FASTA", file="x.fa", remedy="give a FASTA")
    if how == "failed":
        raise FindnaError("it did not work")
    if how == "settings":
        resolved(lambda: S.parse({"m": 2}, source="the command line"))
    if how == "bug":
        raise RuntimeError("an accident")
    if how == "peer":
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [::1]:9")
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "term":
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            log.info("cleared up")
    if how == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "out.tsv")
    if how == "quota":
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "out.tsv")
    if how == "memory":
        raise MemoryError
    if how == "memory of torch":
        import torch
        torch.empty(10**15)
    if how == "pipe":
        for _ in range(100_000):
            print("a line of data")

app = typer.Typer(add_completion=False)
app.command()(toy)
app()
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("fine", 0, ""),
        ("bad", 3, "error: x.fa: is no FASTA\n  give a FASTA"),
        ("failed", 1, "error: it did not work"),
        ("settings", 2, "unknown setting"),
        ("bug", 1, "error: unexpected RuntimeError: an accident"),
        ("peer", 1, "error: another process of this run ended; its own message says why"),
        ("interrupt", 130, "interrupted"),
        ("term", 143, "cleared up\nterminated"),
        ("full", 3, "error: out.tsv: the disk is full"),
        ("quota", 3, "error: out.tsv: the disk is full"),
        ("memory", 1, "error: out of memory"),
        ("memory of torch", 1, "error: out of memory"),
    ],
)
def test_exit_codes(how: str, code: int, said: str) -> None:
    done = _run(how)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("flags", [["--version"], ["--help"], ["info", "--help"]])
def test_a_full_disk_is_told_of_what_no_verb_prints(flags: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "findna", *flags], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: standard output: the disk is full")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_process_may_be_started_without_streams(closed: str) -> None:
    line = f'"{sys.executable}" -c "$0" data {closed}'
    assert subprocess.run(["sh", "-c", line, PROGRAM], capture_output=True).returncode == 0


def test_answers_for_a_closed_standard_output_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("sequence\nACGTACGT\n")
    line = f'"{sys.executable}" -m findna embed s.csv -o - >&-'
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and "standard output is closed" in done.stderr


def test_standard_input_is_read_once() -> None:
    assert _run("-", "--more", "x").returncode == 0
    for arguments in (("-", "--more", "-"), ("fine", "--more", "-", "--more", "-")):
        done = _run(*arguments)
        assert done.returncode == 2 and "can be read only once" in done.stderr


def test_what_one_process_does_is_not_done_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = _run("data")
    assert done.returncode == 3 and done.stdout == ""
    assert "findna toy runs in one process, not in 2" in done.stderr
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert _run("data").stdout == "data\n"


THREADS = """
import numpy, typer
from findna.cli.running import verb

@verb()
def toy() -> None:
    import scipy.linalg, torch
    from threadpoolctl import threadpool_info
    print(torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info()))

app = typer.Typer(add_completion=False)
app.command()(toy)
app()
"""


@pytest.mark.parametrize("library", ["OMP", "MKL", "OPENBLAS"])
def test_every_library_takes_as_many_threads_as_asked(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP", "MKL", "OPENBLAS"):
        monkeypatch.delenv(f"{name}_NUM_THREADS", raising=False)
    monkeypatch.setenv(f"{library}_NUM_THREADS", "2")
    done = subprocess.run(
        [sys.executable, "-c", THREADS, "-@", "1"], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"1"}


def test_an_unknown_option_is_usage() -> None:
    assert _run("fine", "--nonsense").returncode == 2


def test_debug_shows_where() -> None:
    assert "Traceback" in _run("bug", "--debug").stderr


def test_data_alone_goes_to_stdout_and_quiet_keeps_warnings() -> None:
    loud, quiet = _run("data"), _run("data", "-q")
    assert loud.stdout == quiet.stdout == "data\n"
    assert loud.stderr.splitlines() == ["a notice", "warning: a warning"]
    assert quiet.stderr.splitlines() == ["warning: a warning"]


def test_a_closed_pipe_ends_quietly_with_141() -> None:
    command = [sys.executable, "-c", PROGRAM, "pipe", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait() == 141
    assert said == "warning: a warning\n"


def test_console_script_and_module_agree() -> None:
    def version(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    script = Path(sys.executable).with_name("findna")
    said = version(sys.executable, "-m", "findna", "--version")
    assert said.split() == ["findna", said.split()[1]]
    if script.exists():
        assert version(str(script), "--version") == said
