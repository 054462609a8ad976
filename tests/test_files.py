"""Errors, settings, reading of any compression, atomic writes."""

import errno
import gzip
import io
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pysam
import pytest
from pydantic import Field

from findna import files
from findna.files import (
    BadInput,
    FindnaError,
    FullDisk,
    OutputExists,
    atomic_file,
    atomic_folder,
    cache_folder,
    claimed,
    file_digest,
    open_bytes,
    read_json,
    write_json,
)
from findna.settings import Settings


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Errors ---------------------------------------------------------------------------------------


def test_message_names_file_record_line_and_remedy() -> None:
    error = BadInput("is odd", file="a.fa", record="chr1", line=7, remedy="mend it")
    assert str(error) == "a.fa, record chr1, line 7: is odd\n  mend it"
    assert str(BadInput("is odd", file="-")) == "standard input: is odd"
    assert (FindnaError.exit_code, BadInput.exit_code) == (1, 3)


def test_error_survives_a_process_border() -> None:
    error = pickle.loads(pickle.dumps(BadInput("is odd", file="a.fa", line=7)))
    assert isinstance(error, BadInput) and str(error) == "a.fa, line 7: is odd"


# Settings -------------------------------------------------------------------------------------


class Inner(Settings):
    rate: float = Field(0.5, gt=0)
    grid: tuple[float, ...] = Field((), min_length=1)


class Outer(Settings):
    window: int = 512
    inner: Inner = Inner()
    needed: str


def test_settings_parse() -> None:
    parsed = Outer.parse({"needed": "x", "inner": {"rate": 1}}, source="c.yaml")
    assert parsed == Outer(needed="x", inner=Inner(rate=1.0))
    with pytest.raises(Exception, match="frozen"):
        parsed.window = 3  # type: ignore[misc]


def test_every_wrong_key_gets_one_line() -> None:
    wrong = {"windw": 3, "window": "wide", "inner": {"rte": 1, "rate": -1}}
    with pytest.raises(BadInput) as caught:
        Outer.parse(wrong, source="c.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "c.yaml: window: input should be a valid integer, unable to parse string as an integer, "
        "not 'wide'"
    )
    assert sorted(line.strip() for line in lines[1:]) == [
        "inner.rate: input should be greater than 0, not -1",
        "inner.rte: unknown setting; did you mean rate?",
        "needed: is required",
        "windw: unknown setting; did you mean window?",
    ]


@pytest.mark.parametrize("number", [float("inf"), float("nan"), ".nan", "inf"])
def test_numbers_that_are_not_finite_are_refused(number: float | str) -> None:
    wrong = {"needed": "x", "inner": {"rate": number, "grid": [0.1, number]}}
    with pytest.raises(BadInput) as caught:
        Outer.parse(wrong, source="c.yaml")
    lines = str(caught.value).splitlines()
    assert "inner.rate: input should be a" in lines[0] and "inner.grid.1: " in lines[1]


@pytest.mark.parametrize(("given", "shown"), [("0.1,0.2", "0.1, 0.2"), (0.1, "0.1")])
def test_a_list_is_asked_for_as_it_is_written(given: object, shown: str) -> None:
    words = re.escape(f"inner.grid: is a list, such as [{shown}], not {given!r}")
    with pytest.raises(BadInput, match=words):
        Outer.parse({"needed": "x", "inner": {"grid": given}}, source="c.yaml")


def test_what_is_empty_is_said_to_be() -> None:
    with pytest.raises(BadInput, match=r"inner\.grid: is empty; name at least 1"):
        Outer.parse({"needed": "x", "inner": {"grid": []}}, source="c.yaml")


def test_settings_are_given_as_themselves_as_a_mapping_or_not_at_all() -> None:
    made = Inner(rate=2.0)
    assert Inner.of(made) is made
    assert Inner.of({"rate": 2.0}) == made
    assert Inner.of(None) == Inner()
    with pytest.raises(BadInput, match="did you mean rate"):
        Inner.of({"rte": 3})


# Reading --------------------------------------------------------------------------------------


def test_compression_is_told_by_content(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(b"abc\n")
    # bgzip writes several gzip members one after the other.
    (tmp_path / "packed.txt").write_bytes(gzip.compress(b"ab") + gzip.compress(b"c\n"))
    for name in ("plain.gz", "packed.txt"):
        with open_bytes(tmp_path / name) as stream:
            assert stream.read() == b"abc\n"


def test_bgzip_cut_between_two_blocks_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole.gz"
    with pysam.BGZFile(str(whole), "wb") as packed:
        packed.write(b"abc\n")
    with open_bytes(whole) as stream:
        assert stream.read() == b"abc\n"
    cut = tmp_path / "cut.gz"
    cut.write_bytes(whole.read_bytes()[:-28])
    assert gzip.decompress(cut.read_bytes()) == b"abc\n"
    with pytest.raises(BadInput, match=r"cut\.gz: has no end marker"), open_bytes(cut):
        raise AssertionError("it was opened")
    with cut.open() as redirected:
        monkeypatch.setattr(sys, "stdin", redirected)
        with pytest.raises(BadInput, match="standard input: has no end marker"), open_bytes("-"):
            raise AssertionError("it was opened")


@pytest.mark.parametrize("lines", [1, 40_000])
def test_a_pipe_of_bgzip_whose_writer_was_killed_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    with pysam.BGZFile(str(tmp_path / "whole.gz"), "wb") as packed:
        packed.write(os.urandom(5) + b"c\n" * lines)
    whole = (tmp_path / "whole.gz").read_bytes()
    for data in (whole, whole + whole):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with open_bytes("-") as stream:
            assert stream.read() == gzip.decompress(data)
    for cut in (whole[:-28], whole + whole[:-28]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(cut)))
        with (
            pytest.raises(BadInput, match=r"standard input: .*truncated.*no end marker of bgzip"),
            open_bytes("-") as stream,
        ):
            assert stream.read(3) == gzip.decompress(cut)[:3]
            stream.read()


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    data = gzip.compress(b"abc") if packed else b"abc"
    stdin = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", stdin)
    with open_bytes("-") as stream:
        assert stream.read() == b"abc"
    assert not stdin.buffer.closed


def test_standard_input_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`findna ... - <&-`: Python has no such stream then."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(BadInput, match="standard input: is closed"), open_bytes("-"):
        pass


def test_truncated_and_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(10_000))
    for data in (whole[:5000], whole[:8], whole[:-4] + b"0000"):
        (tmp_path / "a.gz").write_bytes(data)
        with (
            pytest.raises(BadInput, match="truncated or damaged") as caught,
            open_bytes(tmp_path / "a.gz") as stream,
        ):
            stream.read()
        assert "a.gz" in str(caught.value) and "download it again" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\x03\x04....", "Save As > CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Save As > CSV"),
        (b"BZh91AY", "bunzip2"),
        (gzip.compress(gzip.compress(b"ACGT")), "compressed twice"),
        (gzip.compress(b"a".ljust(257, b"\0") + b"ustar" + bytes(250)), "tar -xf"),
    ],
    ids=["xlsx", "xls", "bzip2", "twice", "tar"],
)
def test_foreign_files_get_a_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(BadInput, match=words), open_bytes(tmp_path / "a"):
        pass


def test_missing_folder_and_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "genome.fa").write_bytes(b">a\n")
    with (
        pytest.raises(BadInput, match=r"did you mean .*genome\.fa"),
        open_bytes(tmp_path / "genom.fa"),
    ):
        pass
    with pytest.raises(BadInput, match="is a folder"), open_bytes(tmp_path):
        pass

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.io, "FileIO", refuse)
    with pytest.raises(BadInput, match="cannot be read: Permission"), open_bytes(tmp_path / "x"):
        pass


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, 2.5, None]}
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    assert left_behind(tmp_path) == ["a.json"]
    (tmp_path / "a.json").write_text('{"a": 1,\n "b"')
    with pytest.raises(BadInput, match=r"a\.json, line 2: is not JSON"):
        read_json(tmp_path / "a.json")


def test_digest_of_a_known_string(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(tmp_path / "a") == f"sha256:{known}"


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINDNA_CACHE", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")
    monkeypatch.delenv("FINDNA_CACHE")
    assert cache_folder().name == "findna"


# Writing --------------------------------------------------------------------------------------


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out.tsv"
    with atomic_file(target) as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".tsv" and not target.exists()
    assert target.read_text() == "x"
    with pytest.raises(RuntimeError), atomic_file(target, overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "x" and left_behind(target.parent) == ["out.tsv"]


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(OutputExists, match="--overwrite"), atomic_file(tmp_path / "out"):
        pass
    with atomic_file(tmp_path / "out", overwrite=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "out").read_text() == "new"
    with pytest.raises(BadInput, match="is a folder"), atomic_file(tmp_path, overwrite=True):
        pass


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_file(tmp_path / "link", overwrite=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_devices_are_written_directly() -> None:
    with atomic_file("/dev/null") as target:
        target.write_text("gone")
    assert Path("/dev/null").is_char_device()


def test_a_link_to_a_pipe_is_written_directly(tmp_path: Path) -> None:
    read, write = os.pipe()
    (tmp_path / "link").symlink_to(f"/proc/self/fd/{write}")
    with atomic_file(tmp_path / "link") as target:
        target.write_text("letters")
    os.close(write)
    with open(read) as pipe:
        assert pipe.read() == "letters"
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_one_clear_error() -> None:
    with (
        pytest.raises(FindnaError, match="/dev/full: the disk is full") as caught,
        atomic_file("/dev/full") as target,
    ):
        target.write_text("x" * 100)
    assert not isinstance(caught.value, BadInput) and caught.value.exit_code == 3


def test_full_disk_is_told_where_a_library_gives_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(FullDisk, match="/dev/full"),
        atomic_file("/dev/full") as target,
        pysam.BGZFile(str(target), "wb") as packed,
    ):
        packed.write(b"x" * 100)
    with pytest.raises(FullDisk), atomic_file(tmp_path / "out"):
        raise OSError("building of index for out failed")
    with pytest.raises(OSError, match="strange"), atomic_file(tmp_path / "out"):
        raise OSError("something strange")
    monkeypatch.setattr(files, "no_room", lambda folder: folder == tmp_path)
    with pytest.raises(FullDisk), atomic_file(tmp_path / "out"):
        raise OSError("something strange")
    with pytest.raises(PermissionError), atomic_file(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "x")
    assert left_behind(tmp_path) == []


def test_full_disk_names_the_place_that_was_asked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(FullDisk, match=f"{tmp_path / 'run'}: the disk is full"),
        atomic_folder(tmp_path / "run") as made,
        atomic_file(made / "settings.yaml"),
    ):
        raise OSError(errno.ENOSPC, "x")
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "x"), RuntimeError("No space left on device (os error 28)")]
)
def test_full_disk_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    for atomic in (atomic_file, atomic_folder):
        with pytest.raises(FindnaError, match="the disk is full"), atomic(tmp_path / "out"):
            raise error
    assert left_behind(tmp_path) == []


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.mkdir()
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
    assert left_behind(target) == ["a"]
    with pytest.raises(OutputExists), atomic_folder(target):
        pass
    with pytest.raises(RuntimeError), atomic_folder(target, overwrite=True):
        raise RuntimeError
    assert left_behind(target) == ["a"]
    with atomic_folder(target, overwrite=True) as temporary:
        (temporary / "b").write_text("2")
    assert left_behind(target) == ["b"] and left_behind(tmp_path) == ["run"]


def test_a_folder_that_is_replaced_is_never_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run"
    for content in ("old", "new"):
        with atomic_folder(target, overwrite=True) as made:
            (made / content).write_text("")
        # Two renames, one after the other, would leave a moment without either.
        monkeypatch.setattr(os, "rename", None)
    assert left_behind(target) == ["new"] and left_behind(tmp_path) == ["run"]


def test_a_folder_is_replaced_where_names_cannot_change_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "run", overwrite=True) as made:
            (made / content).write_text("")
    assert left_behind(tmp_path / "run") == ["new"] and left_behind(tmp_path) == ["run"]


def test_names_change_places_only_if_both_are_there(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert not files._exchange(tmp_path / "one", tmp_path / "missing")
    assert left_behind(tmp_path) == ["one"]


def test_a_file_is_claimed_once_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "command.txt"
    file.write_text("kept")
    with claimed(file), pytest.raises(BadInput, match="another process is writing"), claimed(file):
        pass
    with claimed(file):
        assert file.read_text() == "kept"


def test_a_folder_set_aside_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    target, rename = tmp_path / "run", os.rename
    target.mkdir()
    (target / "a").write_text("1")

    def fail(source: Path, place: Path) -> None:
        if (source / "b").exists():
            raise OSError(errno.EIO, "broken")
        rename(source, place)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="broken"), atomic_folder(target, overwrite=True) as temporary:
        (temporary / "b").write_text("2")
    assert left_behind(target) == ["a"] and left_behind(tmp_path) == ["run"]


def test_two_writers_of_one_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputExists), atomic_folder(tmp_path / "run") as mine:
        (mine / "a").write_text("mine")
        with atomic_folder(tmp_path / "run") as theirs:
            (theirs / "a").write_text("theirs")
    assert (tmp_path / "run" / "a").read_text() == "theirs"
    assert left_behind(tmp_path) == ["run"]


def test_the_current_folder_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="current folder"), atomic_folder(tmp_path, overwrite=True):
        pass
    assert left_behind(tmp_path) == ["a"]
    (tmp_path / "a").unlink()
    with pytest.raises(BadInput, match="current folder"), atomic_folder("."):
        pass
    assert os.path.samefile(".", tmp_path) and left_behind(tmp_path) == []


@pytest.mark.parametrize("program", ["/usr/bin/findna", "/lib/findna/__main__.py"])
def test_the_command_is_what_one_types(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "scan", "my genome.fa"])
    assert files.command_line() == "findna scan 'my genome.fa'"


def test_no_torch_and_no_pandas_come_with_files() -> None:
    code = "import sys, findna.files; print({'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_findna_did_not_write_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "peaks.bed").write_text("chr1\t1\t2\n")
    with (
        pytest.raises(OutputExists, match=r"has no scan\.json"),
        atomic_folder(target, overwrite=True, known_by="scan.json"),
    ):
        pass
    assert left_behind(target) == ["peaks.bed"]
    (target / "scan.json").write_text("{}")
    with atomic_folder(target, overwrite=True, known_by="scan.json") as made:
        (made / "scan.json").write_text("{}")
    assert left_behind(target) == ["scan.json"]
