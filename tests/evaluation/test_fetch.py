"""Fetching against a server that misbehaves, and building what is published as coordinates."""

import errno
import fcntl
import gzip
import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from findna.cli import VERBS, app
from findna.data.labels import read_labelled
from findna.evaluation.fetch import suites
from findna.evaluation.fetch.catalogue import (
    REFERENCES,
    Dataset,
    RemoteFile,
    catalogue,
    datasets,
    reference_of,
)
from findna.evaluation.fetch.download import DownloadSettings
from findna.evaluation.fetch.folder import RECORD, DataFolder
from findna.evaluation.fetch.genomic_benchmarks import build_task, refuse_other_build
from findna.evaluation.fetch.mitogenomes import MitogenomeSettings, build_mtcdna
from findna.files import BadInput, OutputExists, log
from findna.sequence.genome import Genome

CONTENT = bytes(range(256)) * 800
QUICK = DownloadSettings(timeout=0.3, tries=3, pause=0.0)


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


# A server that misbehaves ---------------------------------------------------------------------


@dataclass
class Served:
    """One file, and how the server treats who asks for it."""

    content: bytes
    cuts: int = 0
    ranges: bool = True
    etag: str = '"one"'
    encoding: str = ""
    status: int = 200
    busy: int = 0
    at_most: int | None = None
    says_range: bool = True
    silent: float = 0.0
    # What changes before the n-th request, from 0.
    changes: dict[int, dict[str, object]] = field(default_factory=dict)
    requests: list[str | None] = field(default_factory=list)

    def note(self, asked: str | None) -> None:
        for name, value in self.changes.get(len(self.requests), {}).items():
            setattr(self, name, value)
        self.requests.append(asked)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        served: Served | None = self.server.files.get(self.path)  # type: ignore[attr-defined]
        if served is None:
            return self.send_error(404)
        asked = self.headers.get("Range")
        served.note(asked)
        if served.busy:
            served.busy -= 1
            return self.send_error(503)
        if served.status != 200:
            return self.send_error(served.status)
        time.sleep(served.silent)
        begin = self._begin(served, asked)
        if begin >= len(served.content):
            return self.send_error(416)
        end = begin + served.at_most if begin and served.at_most else len(served.content)
        body = served.content[begin:end]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        if served.etag:
            self.send_header("ETag", served.etag)
        if served.encoding:
            self.send_header("Content-Encoding", served.encoding)
        if begin and served.says_range:
            total = len(served.content)
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(body) - 1}/{total}")
        self.end_headers()
        if served.cuts:
            served.cuts -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def _begin(self, served: Served, asked: str | None) -> int:
        if not (asked and served.ranges) or self.headers.get("If-Range") != served.etag:
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, Served]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def serve(self, path: str, content: bytes = CONTENT, **how: object) -> Served:
        self.files[path] = Served(content, **how)  # type: ignore[arg-type]
        return self.files[path]

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.files = {}
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Calling the verb silences the log of the process; every test hears it again."""
    handlers, propagate, level = log.handlers[:], log.propagate, log.level
    log.handlers[:], log.propagate = [], True
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture
def nowhere() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def one(*urls: str, **more: object) -> Dataset:
    return Dataset("x", "a test", (RemoteFile("x/data.bin", urls, **more),))  # type: ignore[arg-type]


def names_in(folder: Path) -> set[str]:
    """Files below a folder, without the lock that every fetch holds."""
    return {p.name for p in folder.rglob("*") if p.is_file()} - {".fetching"}


# Downloading ----------------------------------------------------------------------------------


def test_a_file_arrives_checked_and_recorded(server: Server, tmp_path: Path) -> None:
    server.serve("/data.bin")
    wanted = one(f"{server.url}/data.bin", checksum=sha256(CONTENT), revision="r1")
    (path,) = DataFolder(tmp_path, QUICK).fetch(wanted)
    assert path == tmp_path / "x" / "data.bin"
    assert path.read_bytes() == CONTENT
    entry = json.loads((tmp_path / RECORD).read_text())["x/data.bin"]
    assert entry["url"] == f"{server.url}/data.bin"
    assert (entry["bytes"], entry["revision"]) == (len(CONTENT), "r1")
    assert f"sha256:{entry['sha256']}" == sha256(CONTENT) == entry["checked"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry["date"])
    assert names_in(tmp_path) == {"data.bin", RECORD}


def test_two_fetches_that_take_turns_record_the_files_of_both(
    server: Server, tmp_path: Path
) -> None:
    """As when one cuts sequences from its genomes while another fetches."""
    folders = [DataFolder(tmp_path, QUICK) for _ in range(2)]
    for number, folder in enumerate(folders):
        server.serve(f"/{number}")
        folder.fetch(
            Dataset("x", "a test", (RemoteFile(f"x/{number}", (f"{server.url}/{number}",)),))
        )
    assert set(json.loads((tmp_path / RECORD).read_text())) == {"x/0", "x/1"}


def test_a_cut_download_goes_on_where_it_was_cut(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin", cuts=2)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))
    half, more = len(CONTENT) // 2, len(CONTENT) * 3 // 4
    assert served.requests == [None, f"bytes={half}-", f"bytes={more}-"]
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT
    assert names_in(tmp_path) == {"data.bin", RECORD}


def test_the_next_run_goes_on_after_one_that_gave_up(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin", cuts=1, changes={1: {"status": 503}, 2: {"status": 200}})
    wanted = one(f"{server.url}/data.bin", checksum=sha256(CONTENT))
    impatient = DownloadSettings(timeout=0.3, tries=1, pause=0.0)
    with pytest.raises(BadInput, match="503"):
        DataFolder(tmp_path, impatient).fetch(wanted)
    assert names_in(tmp_path) == {".data.bin.part", ".data.bin.part.json"}
    DataFolder(tmp_path, impatient).fetch(wanted)
    assert served.requests[-1] == f"bytes={len(CONTENT) // 2}-"
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT
    assert names_in(tmp_path) == {"data.bin", RECORD}


def test_a_download_of_unknown_origin_begins_anew(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".data.bin.part").write_bytes(b"some")
    (tmp_path / "x" / ".data.bin.part.json").write_text('{"url": "htt')
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))
    assert served.requests == [None]
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_where_nothing_can_be_written_it_is_said(server: Server, tmp_path: Path) -> None:
    server.serve("/data.bin")
    (tmp_path / "x").write_text("a file")
    with pytest.raises(BadInput, match="cannot be written"):
        DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))


def test_a_folder_that_can_only_be_read_says_what_is_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/data.bin")
    wanted = one(f"{server.url}/data.bin", checksum=sha256(CONTENT))
    first = DataFolder(tmp_path, QUICK).fetch(wanted)
    opening = Path.open

    def read_only(path: Path, mode: str = "r", *more: object, **how: object) -> object:
        if mode != "r":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opening(path, mode, *more, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", read_only)
    assert DataFolder(tmp_path, QUICK).fetch(wanted) == first


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not an http or https address"):
        DataFolder(tmp_path, QUICK, mirror="http://[bad")


def test_a_server_without_ranges_is_asked_for_the_whole_again(
    server: Server, tmp_path: Path
) -> None:
    served = server.serve("/data.bin", cuts=2, ranges=False)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))
    assert len(served.requests) == 3
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_a_server_that_always_cuts_at_the_same_place_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    served = server.serve("/data.bin", cuts=100, ranges=False)
    with pytest.raises(BadInput, match="was cut"):
        DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert len(served.requests) == 1 + QUICK.tries
    assert not (tmp_path / "x/data.bin").exists()


def test_a_server_that_sends_less_than_the_rest_is_asked_on(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin", cuts=1, at_most=60_000)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    begins = (102_400, 162_400)
    assert served.requests == [None, *(f"bytes={begin}-" for begin in begins)]
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_a_part_that_is_not_said_to_be_the_rest_is_not_joined(
    server: Server, tmp_path: Path
) -> None:
    served = server.serve("/data.bin", cuts=1, says_range=False)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert served.requests == [None, "bytes=102400-", None]
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_a_file_that_changed_between_two_connections_is_not_joined(
    server: Server, tmp_path: Path
) -> None:
    changed = CONTENT[::-1]
    server.serve("/data.bin", cuts=1, changes={1: {"content": changed, "etag": '"two"'}})
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert (tmp_path / "x/data.bin").read_bytes() == changed


@pytest.mark.parametrize("etag", ["", 'W/"one"'], ids=["none", "weak"])
def test_without_a_validator_nothing_is_joined(server: Server, tmp_path: Path, etag: str) -> None:
    served = server.serve("/data.bin", cuts=1, etag=etag)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))
    assert served.requests == [None, None]


def test_what_arrived_whole_and_was_not_named_is_asked_for_again(
    server: Server, tmp_path: Path
) -> None:
    served = server.serve("/data.bin")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/.data.bin.part").write_bytes(CONTENT)
    origin = {"url": f"{server.url}/data.bin", "validator": served.etag}
    (tmp_path / "x/.data.bin.part.json").write_text(json.dumps(origin))
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))
    assert served.requests == [f"bytes={len(CONTENT)}-", None]
    assert names_in(tmp_path) == {"data.bin", RECORD}


def test_a_gzip_file_stays_one_whatever_the_server_calls_it(server: Server, tmp_path: Path) -> None:
    packed = gzip.compress(CONTENT)
    server.serve("/data.bin", packed, encoding="gzip")
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(packed)))
    assert (tmp_path / "x/data.bin").read_bytes() == packed


def test_a_terminal_sees_a_bar(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.serve("/data.bin")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    shown = capsys.readouterr()
    assert "data.bin" in shown.err and "204.8" in shown.err and shown.out == ""


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin", busy=2)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin", checksum=sha256(CONTENT)))
    assert len(served.requests) == 3


def test_a_wrong_checksum_leaves_nothing_and_asks_the_next(server: Server, tmp_path: Path) -> None:
    server.serve("/bad/data.bin", CONTENT[:-1] + b"!")
    wanted = one(f"{server.url}/bad/data.bin", checksum=sha256(CONTENT))
    with pytest.raises(BadInput, match="another file than expected") as refused:
        DataFolder(tmp_path, QUICK).fetch(wanted)
    assert refused.value.exit_code == 3
    assert names_in(tmp_path) == set()
    server.serve("/good/data.bin")
    urls = (f"{server.url}/bad/data.bin", f"{server.url}/good/data.bin")
    DataFolder(tmp_path, QUICK).fetch(one(*urls, checksum=sha256(CONTENT)))
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_a_git_blob_id_is_a_checksum(server: Server, tmp_path: Path) -> None:
    # `printf 'hello\n' | git hash-object --stdin` says ce013625...
    server.serve("/data.bin", b"hello\n")
    right = "git:ce013625030ba8dba906f756967f9e9ca394464a"
    DataFolder(tmp_path / "a", QUICK).fetch(one(f"{server.url}/data.bin", checksum=right))
    with pytest.raises(BadInput, match="another file"):
        wrong = right.replace("ce01", "ce02")
        DataFolder(tmp_path / "b", QUICK).fetch(one(f"{server.url}/data.bin", checksum=wrong))
    assert names_in(tmp_path / "b") == set()


def test_404_goes_to_the_next_mirror_at_once(server: Server, tmp_path: Path) -> None:
    server.serve("/good/data.bin")
    gone = server.serve("/gone/data.bin", status=404)
    urls = (f"{server.url}/gone/data.bin", f"{server.url}/good/data.bin")
    DataFolder(tmp_path, QUICK).fetch(one(*urls))
    assert len(gone.requests) == 1
    with pytest.raises(BadInput) as refused:
        DataFolder(tmp_path / "other", QUICK).fetch(one(urls[0], f"{server.url}/nothing"))
    message = str(refused.value)
    assert message.count("answers 404") == 2 and urls[0] in message and "--mirror" in message


def test_a_silent_server_times_out(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin", silent=1.0)
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"sent nothing for 0\.3 s"):
        DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert time.monotonic() - began < 3
    assert len(served.requests) == QUICK.tries


def test_offline_is_one_clear_error(nowhere: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        DataFolder(tmp_path, QUICK).fetch(one(f"{nowhere}/data.bin"))
    message = str(refused.value)
    assert f"{nowhere.removeprefix('http://')} cannot be reached" in message
    assert "without a network" in message and refused.value.exit_code == 3
    assert names_in(tmp_path) == set()


def test_a_host_that_does_not_exist_is_offline(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no-such-host\.invalid cannot be reached"):
        DataFolder(tmp_path, QUICK).fetch(one("http://no-such-host.invalid/data.bin"))


def test_another_publisher_is_asked_when_all_mirrors_fail(
    server: Server, nowhere: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.serve("/ensembl.fa")
    other = RemoteFile("x/ensembl.fa", (f"{server.url}/ensembl.fa",))
    wanted = Dataset("x", "", one(f"{nowhere}/data.bin").files, (other,))
    folder = DataFolder(tmp_path, QUICK)
    assert folder.find(wanted) == []
    assert folder.fetch(wanted) == [tmp_path / "x/ensembl.fa"] == folder.find(wanted)
    assert "using the file of another publisher" in caplog.text
    elsewhere = Dataset("x", "", wanted.files, one("http://no-such-host.invalid/x").files)
    with pytest.raises(BadInput) as refused:
        DataFolder(tmp_path / "other", QUICK).fetch(elsewhere)
    hosts = f"{nowhere.removeprefix('http://')}, no-such-host.invalid cannot be reached"
    assert hosts in str(refused.value)


def test_a_mirror_is_asked_first_and_a_data_folder_is_one(server: Server, tmp_path: Path) -> None:
    original = server.serve("/data.bin")
    server.serve("/copy/x/data.bin")
    wanted = one(f"{server.url}/data.bin", checksum=sha256(CONTENT))
    DataFolder(tmp_path, QUICK, mirror=f"{server.url}/copy/").fetch(wanted)
    assert original.requests == []
    with pytest.raises(BadInput, match="not an http or https address"):
        DataFolder(tmp_path, QUICK, mirror="/some/folder")


def test_two_fetches_into_one_folder_do_not_meet(server: Server, tmp_path: Path) -> None:
    server.serve("/data.bin")
    tmp_path.mkdir(exist_ok=True)
    with (tmp_path / ".fetching").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another findna fetch"):
            DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))


def test_a_file_system_without_locks_is_no_obstacle(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(handle: object, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    server.serve("/data.bin")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_a_file_larger_than_the_disk_is_refused_before_it_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/data.bin")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(BadInput, match="204,800 bytes are needed and 1,000 are free"):
        DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert names_in(tmp_path) == set()


# What is there, and what it should be ---------------------------------------------------------


def test_what_is_there_and_right_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    served = server.serve("/data.bin")
    wanted = one(f"{server.url}/data.bin", checksum=sha256(CONTENT))
    for _ in range(2):
        DataFolder(tmp_path, QUICK).fetch(wanted)
    assert len(served.requests) == 1
    (tmp_path / "x/data.bin").write_bytes(b"spoiled")
    with pytest.raises(OutputExists, match="not the expected file"):
        DataFolder(tmp_path, QUICK).fetch(wanted)
    DataFolder(tmp_path, QUICK, overwrite=True).fetch(wanted)
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT


def test_the_first_fetch_is_recorded_and_later_ones_are_held_to_it(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = server.serve("/data.bin")
    wanted = one(f"{server.url}/data.bin")
    DataFolder(tmp_path, QUICK).fetch(wanted)
    assert "no checksum is published" in caplog.text
    caplog.set_level("INFO")
    DataFolder(tmp_path, QUICK).fetch(wanted)
    assert "present, checked against sha256 recorded 20" in caplog.text
    (tmp_path / "x/data.bin").unlink()
    served.content = CONTENT[::-1]
    with pytest.raises(BadInput, match=sha256(CONTENT)):
        DataFolder(tmp_path, QUICK).fetch(wanted)
    DataFolder(tmp_path, QUICK, overwrite=True).fetch(wanted)
    assert (tmp_path / "x/data.bin").read_bytes() == CONTENT[::-1]


def test_a_file_that_nothing_is_known_of_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/data.bin").write_bytes(b"mine")
    with pytest.raises(OutputExists, match="nothing says what it should be"):
        DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/data.bin"))
    assert (tmp_path / "x/data.bin").read_bytes() == b"mine"


@pytest.mark.parametrize("right", [True, False])
def test_the_publishers_list_beside_the_file_is_obeyed(
    server: Server, tmp_path: Path, right: bool
) -> None:
    server.serve("/g/data.bin")
    digest = hashlib.md5(CONTENT if right else b"another").hexdigest()
    server.serve("/g/md5sum.txt", f"{'0' * 32}  other.fa.gz\n{digest}  data.bin\n".encode())
    wanted = one(f"{server.url}/g/data.bin", checksum_list="md5sum.txt")
    if right:
        DataFolder(tmp_path, QUICK).fetch(wanted)
        entry = json.loads((tmp_path / RECORD).read_text())["x/data.bin"]
        assert entry["checked"] == f"md5:{digest}"
        assert names_in(tmp_path) == {"data.bin", "md5sum.txt", RECORD}
    else:
        with pytest.raises(BadInput, match=digest):
            DataFolder(tmp_path, QUICK).fetch(wanted)
        assert not (tmp_path / "x/data.bin").exists()


@pytest.mark.parametrize("text", [None, b"0123  something else\n"])
def test_a_missing_list_is_said(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes | None
) -> None:
    server.serve("/g/data.bin")
    if text:
        server.serve("/g/md5sum.txt", text)
    DataFolder(tmp_path, QUICK).fetch(one(f"{server.url}/g/data.bin", checksum_list="md5sum.txt"))
    assert ("does not list" if text else "not checked against") in caplog.text
    assert "no checksum is published" in caplog.text


@pytest.mark.parametrize("body", [b"<html>log in</html>", gzip.compress(CONTENT)[:-20]])
def test_what_is_no_whole_gzip_file_is_not_taken_for_one(
    server: Server, tmp_path: Path, body: bytes
) -> None:
    """As the page of a login is sent, with a 200, for every address, that of the list, too."""
    for path in ("/g/hg38.fa.gz", "/g/md5sum.txt", "/other.fa.gz"):
        server.serve(path, body)
    files = (
        RemoteFile("x/hg38.fa.gz", (f"{server.url}/g/hg38.fa.gz",), checksum_list="md5sum.txt"),
    )
    instead = (RemoteFile("x/other.fa.gz", (f"{server.url}/other.fa.gz",)),)
    with pytest.raises(BadInput, match="does not return a complete gzip file") as refused:
        DataFolder(tmp_path, QUICK).fetch(Dataset("x", "", files, instead))
    assert str(refused.value).count("does not return a complete gzip file") == 2
    assert names_in(tmp_path) == {"md5sum.txt"}


# The catalogue --------------------------------------------------------------------------------


def test_the_catalogue_is_whole() -> None:
    known = catalogue()
    gue = [d for d in known.values() if d.name.startswith("gue/")]
    assert len(gue) == 28
    for dataset in gue:
        assert sorted(Path(f.path).name for f in dataset.files) == [
            "dev.csv", "test.csv", "train.csv",
        ]  # fmt: skip
    intervals = [d for d in known.values() if d.name.startswith("genomic_benchmarks/")]
    assert {d.name.split("/")[1] for d in intervals} == set(REFERENCES)
    for dataset in intervals:
        for file in dataset.files:
            task, name = dataset.name.split("/")[1], Path(file.path).name.split(".")[0]
            assert reference_of(task, name) in known
    paths = [f.path for d in known.values() for f in (*d.files, *d.instead)]
    assert len(paths) == len(set(paths))


def test_every_address_and_checksum_has_its_form() -> None:
    digits = {"sha256": 64, "md5": 32, "git": 40}
    for dataset in catalogue().values():
        for file in (*dataset.files, *dataset.instead):
            assert all(url.startswith("https://") for url in file.urls)
            # Models have an address once the project names where its raw files are served.
            assert file.urls or dataset.name.startswith("model/")
            assert not Path(file.path).is_absolute() and ".." not in file.path
            assert file.revision
            if file.checksum:
                kind, _, digest = file.checksum.partition(":")
                assert re.fullmatch(rf"[0-9a-f]{{{digits[kind]}}}", digest)


def test_pinned_checksums_are_those_of_the_official_rows(
    shared_data: Callable[[str], Path],
) -> None:
    # The official files end their lines with CR LF; the rows are the same.
    for task in ("tf/0", "mouse/2", "prom/prom_300_tata"):
        for file in datasets([f"gue/{task}"])[0].files:
            name = Path(file.path).name
            rows = gzip.decompress(shared_data(f"gue/{task}/{name}.gz").read_bytes())
            official = rows.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            assert file.checksum == sha256(official)
            assert file.size == len(official)


def test_names_are_whole_groups_or_last_parts() -> None:
    assert [d.name for d in datasets(["gue/tf/0"])] == ["gue/tf/0"]
    assert len(datasets(["gue"])) == 28 and len(datasets(["gue/tf", "gue/tf/0"])) == 5
    assert [d.name for d in datasets(["gue/prom_core_all"])] == ["gue/prom/prom_core_all"]
    with pytest.raises(
        BadInput, match=r"did you mean .*genomic_benchmarks/human_nontata_promoters"
    ):
        datasets(["genomic_benchmarks/human_nontata_promotors"])
    with pytest.raises(BadInput, match="findna-human-tiny comes with findna"):
        datasets(["model/findna-human-tiny"])
    with pytest.raises(BadInput, match="did you mean hg38"):
        datasets(["hg83"])
    with pytest.raises(BadInput, match="--list"):
        datasets(["qqqqqqqq"])


# GenomicBenchmarks ----------------------------------------------------------------------------

FASTA = ">chr1\nAACCGTNACGTTTGCA\n>chr2\nGGGGCCCC\n"


def write_intervals(folder: Path, files: dict[str, str]) -> Path:
    for name in ("train/a", "train/b", "test/a", "test/b"):
        path = folder / "intervals" / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = files.get(name, "9,chr2,0,4,+\n")
        path.write_bytes(gzip.compress(f"id,region,start,end,strand\n{rows}".encode()))
    return folder


def fasta(path: Path, text: str = FASTA) -> Genome:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Genome.open(path)


def test_intervals_become_sequences(tmp_path: Path) -> None:
    genome = fasta(tmp_path / "g.fa")
    rows = "7,chr1,0,7,+\n8,chr1,0,7,-\n5,1,1,5,\n"
    folder = write_intervals(tmp_path / "task", {"train/b": rows})
    build_task(folder, {"b": genome, "a": genome})
    table = pd.read_csv(folder / "train.csv.gz", dtype=str, keep_default_na=False)
    assert list(table.columns) == [
        "id", "region", "start", "end", "strand", "class", "label", "sequence",
    ]  # fmt: skip
    assert table["sequence"].tolist() == ["GGGG", "AACCGTN", "NACGGTT", "ACCG"]
    assert table["class"].tolist() == ["a", "b", "b", "b"]
    assert table["label"].tolist() == ["0", "1", "1", "1"]
    assert table["id"].tolist() == ["9", "7", "8", "5"]
    assert table["strand"].tolist() == ["+", "+", "-", "."]
    task = read_labelled(folder)
    assert set(task.splits) == {"train", "test"} and len(task.splits["train"]) == 4


def test_missing_contigs_are_counted_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    genome = fasta(tmp_path / "g.fa")
    rows = "1,chr1,0,7,+\n2,chr7,0,7,+\n3,chrUn_x,0,7,+\n"
    folder = write_intervals(tmp_path / "task", {"test/a": rows})
    built = {(b.split, b.name): b for b in build_task(folder, {"a": genome, "b": genome})}
    part = built["test", "a"]
    assert (part.rows, part.lacking, part.outside) == (1, 2, 0)
    assert "2 of 3 intervals are on contigs" in caplog.text and "chr7, chrUn_x" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,chr2,0,9,+\n", "beyond the chromosome"),
        ("1,chr2,0,x,+\n", "end is not a whole number"),
        ("1,chr2,-3,4,+\n", "start is not a whole number"),
        ("1,chr2,4,4,+\n", "end is not after start"),
        ("1,chr2,0,4,*\n", "strand"),
        ("1,scaffold,0,4,+\n", "has no chromosome"),
    ],
)
def test_bad_intervals_leave_nothing(tmp_path: Path, rows: str, message: str) -> None:
    genome = fasta(tmp_path / "g.fa")
    folder = write_intervals(tmp_path / "task", {"test/b": rows})
    with pytest.raises(BadInput, match=message):
        build_task(folder, {"a": genome, "b": genome})
    assert {p.name for p in folder.iterdir()} == {"intervals"}


def test_transcripts_are_found_without_their_version(tmp_path: Path) -> None:
    genome = fasta(tmp_path / "t.fa", ">ENST1.6\nACGTACGT\n>ENST2.1\nTTTTCCCC\n")
    rows = "1,ENST2,2,6,+\n2,ENST1.6,0,4,+\n"
    folder = write_intervals(
        tmp_path / "task", dict.fromkeys(("train/a", "train/b", "test/a", "test/b"), rows)
    )
    build_task(folder, {"a": genome, "b": genome})
    table = pd.read_csv(folder / "test.csv.gz")
    assert table["sequence"].tolist() == ["TTCC", "ACGT"] * 2


def test_another_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="chr1 has 16 bases where chr1 of hg38 has 248,956,422"):
        refuse_other_build(fasta(tmp_path / "g.fa"), "hg38")
    refuse_other_build(fasta(tmp_path / "r.fa", ">chr1:5-9\nACGT\n"), "hg38")
    refuse_other_build(fasta(tmp_path / "part.fa", ">chr20\nACGT\n"), "hg38")


def test_published_sequences_come_out_again(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """All official test intervals that lie in the regions, against the published sequences."""
    genome = Genome.open(shared_data("human_hg38/hg38_regions.fa.gz"))
    compared = equal = 0
    for task in ("human_enhancers_cohn", "human_nontata_promoters"):
        rows = pd.read_csv(shared_data(f"genomic_benchmarks/{task}/test.csv.gz"), dtype=str)
        published = pd.read_csv(shared_data(f"genomic_benchmarks/{task}/official_test_full.csv.gz"))
        for split in ("train", "test"):
            (tmp_path / task / "intervals" / split).mkdir(parents=True)
            for name, part in rows.groupby("class"):
                path = tmp_path / task / "intervals" / split / f"{name}.csv.gz"
                part[["id", "region", "start", "end", "strand"]].to_csv(path, index=False)
        build_task(tmp_path / task, {str(name): genome for name in set(rows["class"])})
        made = pd.read_csv(tmp_path / task / "test.csv.gz")
        assert len(made) == len(rows)
        left = Counter(zip(published["class"], published["sequence"], strict=True))
        for pair in zip(made["class"], made["sequence"], strict=True):
            compared += 1
            equal += left[pair] > 0
            left[pair] -= 1
    print(f"{equal} of {compared} rebuilt test intervals equal the published sequence")
    assert (compared, equal) == (701, 701)


# MTcDNA ---------------------------------------------------------------------------------------


def mitogenomes(path: Path, species: dict[str, int], length: int = 60) -> Path:
    """A FASTA with some genomes of each species: one per species and number, and a short one."""
    records = [
        f">{name.replace(' ', '_')}_{i} {name} mitochondrion, complete genome\n"
        + ("ACGTN"[(len(name) + i) % 4] * 7 + "ACGT" * length)[:length]
        for name, count in species.items()
        for i in range(count)
    ]
    path.write_text("\n".join([*records, ">short Genus species mitochondrion\nACGT\n"]))
    return path


@pytest.fixture
def taxa(tmp_path: Path) -> dict[str, Path]:
    turtles = {"Chelonoidis niger": 12, "Gopherus agassizii": 6, "Gopherus flavus": 4}
    mice = {"Mus musculus": 10, "Mus spretus": 5, "Mus caroli": 3}
    return {
        "turtle": mitogenomes(tmp_path / "turtles.fa", turtles),
        "mouse": mitogenomes(tmp_path / "mice.fa", mice, length=52),
    }


SMALL = MitogenomeSettings(length=56, shortest=50)


def test_mitogenomes_are_cut_or_padded(taxa: dict[str, Path], tmp_path: Path) -> None:
    rows = build_mtcdna(taxa, tmp_path / "out", SMALL)
    assert len(rows) == 40 and set(rows["sequence"].str.len()) == {56}
    assert rows.loc[rows["class"] == "mouse", "sequence"].str.endswith("NNNN").all()
    assert not rows.loc[rows["class"] == "turtle", "sequence"].str.endswith("N").any()
    # As in the paper: turtles are 0.
    assert dict(zip(rows["class"], rows["label"], strict=True)) == {"turtle": 0, "mouse": 1}
    written = [
        pd.read_csv(tmp_path / "out" / "random" / f"{part}.csv.gz")
        for part in ("train", "dev", "test")
    ]
    assert [len(part) for part in written] == [24, 8, 8]
    assert sorted(pd.concat(written)["id"]) == sorted(rows["id"])


def test_the_random_split_is_that_of_the_papers_code(taxa: dict[str, Path], tmp_path: Path) -> None:
    from sklearn.model_selection import train_test_split

    rows = build_mtcdna(taxa, tmp_path / "out", SMALL)
    order = [*rows.loc[rows["class"] == "turtle", "id"], *rows.loc[rows["class"] == "mouse", "id"]]
    x, test = train_test_split(order, test_size=0.2, random_state=1)
    train, dev = train_test_split(x, test_size=0.25, random_state=1)
    for part, ids in (("train", train), ("dev", dev), ("test", test)):
        assert set(rows.loc[rows["random"] == part, "id"]) == set(ids)


@pytest.mark.parametrize("seed", range(5))
def test_a_species_lies_whole_in_one_part(taxa: dict[str, Path], tmp_path: Path, seed: int) -> None:
    settings = SMALL.model_copy(update={"seed": seed})
    rows = build_mtcdna(taxa, tmp_path / "out", settings)
    assert rows.groupby("species")["by species"].nunique().max() == 1
    assert (rows.groupby("by species")["class"].nunique() == 2).all()
    assert set(rows["by species"]) == {"train", "dev", "test"}
    counts = rows["by species"].value_counts()
    assert counts["train"] >= counts["test"] >= counts["dev"]


def test_two_clades_a_class_leave_no_dev_and_one_leaves_no_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turtles = mitogenomes(tmp_path / "t.fa", {"Chelonoidis niger": 5, "Gopherus flavus": 4})
    mice = mitogenomes(tmp_path / "m.fa", {"Mus musculus": 5, "Mus spretus": 4})
    taxa = {"turtle": turtles, "mouse": mice}
    rows = build_mtcdna(taxa, tmp_path / "a", SMALL)
    assert set(rows["by species"]) == {"train", "test"} and "no dev rows" in caplog.text
    assert sorted(p.name for p in (tmp_path / "a/species").iterdir()) == [
        "test.csv.gz", "train.csv.gz",
    ]  # fmt: skip
    by_genus = SMALL.model_copy(update={"clade": "genus"})
    rows = build_mtcdna(taxa, tmp_path / "b", by_genus)
    assert set(rows["by genus"]) == {""} and "no split by genus" in caplog.text
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["random"]


def test_the_leak_of_the_random_split_is_said(
    taxa: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="findna")
    rows = build_mtcdna(taxa, tmp_path / "out", SMALL)
    train, test = rows[rows["random"] == "train"], rows[rows["random"] == "test"]
    same = sum(any(a == b for b in train["sequence"]) for a in test["sequence"])
    assert same > 0
    assert f"of 8 test sequences {same} are identical to one in train" in caplog.text


def test_species_come_from_a_table_or_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text("".join(f">a{i}\n{'ACGT' * 20}\n" for i in range(5)))
    (tmp_path / "b.fa").write_text("".join(f">b{i}\n{'GGCT' * 20}\n" for i in range(5)))
    taxa = {"a": tmp_path / "a.fa", "b": tmp_path / "b.fa"}
    with pytest.raises(BadInput, match="gives no species") as refused:
        build_mtcdna(taxa, tmp_path / "out", SMALL)
    assert "--species" in str(refused.value) and "a0" in str(refused.value)
    table = tmp_path / "species.csv"
    lines = [f"{t}{i},Genus{t} kind{i % 3}\n" for t in "ab" for i in range(5)]
    table.write_text("id,species\n" + "".join(lines[:-1]))
    with pytest.raises(BadInput, match="does not name it"):
        build_mtcdna(taxa, tmp_path / "out", SMALL, species=table)
    table.write_text("id,species\n" + "".join(lines))
    rows = build_mtcdna(taxa, tmp_path / "out", SMALL, species=table)
    assert set(rows["genus"]) == {"Genusa", "Genusb"}
    table.write_text("id,species\n" + "".join(lines).replace("Genusa kind0", "Genusa  kind0", 1))
    again = build_mtcdna(taxa, tmp_path / "out", SMALL, species=table, overwrite=True)
    assert again["species"].tolist() == rows["species"].tolist()
    table.write_text("id,species\n" + "".join([*lines, "b4,Genusb another\n"]))
    with pytest.raises(BadInput, match="b4: has two species, Genusb kind1 and Genusb another"):
        build_mtcdna(taxa, tmp_path / "out", SMALL, species=table, overwrite=True)


@pytest.mark.parametrize("name", ["Mus sp. mitochondrion", "Mus cf. musculus", "Mus aff. caroli"])
def test_a_specimen_of_no_named_species_is_asked_for(
    taxa: dict[str, Path], tmp_path: Path, name: str
) -> None:
    with taxa["mouse"].open("a") as file:
        file.write(f">new {name}\n{'ACGT' * 20}\n")
    with pytest.raises(BadInput, match="record new: its header gives no species"):
        build_mtcdna(taxa, tmp_path / "out", SMALL)


def test_real_mitogenome_headers_are_understood(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    both = gzip.decompress(shared_data("mtdna/mt_genomes_human_mouse.fa.gz").read_bytes()).decode()
    human, mouse = both.split("\n>")
    taxa = {}
    for name, text in (("human", human), ("mouse", f">{mouse}")):
        header, letters = text.split("\n", 1)
        identity, rest = header.split(" ", 1)
        rest = re.sub(r"^NC_\S+ ", "", rest)
        path = tmp_path / f"{name}.fa"
        path.write_text("".join(f"{identity}.{i} {rest}\n{letters}\n" for i in range(3)))
        taxa[name] = path
    rows = build_mtcdna(taxa, tmp_path / "out", MitogenomeSettings(length=16_384))
    assert set(rows["species"]) == {"Homo sapiens", "Mus musculus"}
    ends = rows.drop_duplicates("class").set_index("class")["sequence"]
    assert not ends["human"].endswith("N")
    assert ends["mouse"] == re.sub(r"\s", "", mouse.split("\n", 1)[1]).upper()[:16_384].ljust(
        16_384, "N"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [("one", "two taxa"), ("twice", "occurs twice"), ("short", "no sequence is longer")],
)
def test_bad_taxa(taxa: dict[str, Path], tmp_path: Path, change: str, message: str) -> None:
    if change == "one":
        taxa = {"turtle": taxa["turtle"]}
    elif change == "twice":
        taxa["mouse"] = taxa["turtle"]
    settings = SMALL if change != "short" else MitogenomeSettings()
    with pytest.raises(BadInput, match=message):
        build_mtcdna(taxa, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


# The verb -------------------------------------------------------------------------------------


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["fetch", *(str(a) for a in arguments)])


@pytest.fixture(autouse=True)
def _a_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "fetch", "Bring genomes and benchmark suites to this machine.")


@pytest.fixture
def served_suite(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The real catalogue, with the files of one task and a small hg38 behind the local server."""
    intervals = b"id,region,start,end,strand\n1,chr1,0,7,-\n2,chrUn,0,4,+\n"
    task = "genomic_benchmarks/human_nontata_promoters"
    files = []
    for split in ("train", "test"):
        for name in ("negative", "positive"):
            packed = gzip.compress(intervals)
            url = f"/{split}/{name}.csv.gz"
            server.serve(url, packed)
            path = f"{task}/intervals/{split}/{name}.csv.gz"
            files.append(RemoteFile(path, (server.url + url,), sha256(packed), size=len(packed)))
    genome = gzip.compress(FASTA.encode())
    server.serve("/hg38.fa.gz", genome)
    server.serve("/md5sum.txt", f"{hashlib.md5(genome).hexdigest()}  hg38.fa.gz\n".encode())
    hg38 = RemoteFile(
        "genomes/hg38/hg38.fa.gz", (f"{server.url}/hg38.fa.gz",), checksum_list="md5sum.txt"
    )
    small = dict(catalogue())
    small[task] = Dataset(task, "", tuple(files))
    small["hg38"] = Dataset("hg38", "", (hg38,))
    for module in ("catalogue", "suites"):
        monkeypatch.setattr(f"findna.evaluation.fetch.{module}.catalogue", lambda: small)
    monkeypatch.setattr(suites, "refuse_other_build", lambda genome, name: None)
    return server


def test_verb_fetches_and_builds(served_suite: Server, tmp_path: Path) -> None:
    task = "genomic_benchmarks/human_nontata_promoters"
    result = call(task, "--build", "-o", tmp_path, "--pause", "0")
    assert result.exit_code == 0, result.stderr
    assert "1 of 2 intervals are on contigs" in result.stderr
    table = pd.read_csv(tmp_path / task / "train.csv.gz")
    assert table["sequence"].tolist() == ["NACGGTT", "NACGGTT"]
    assert table["class"].tolist() == ["negative", "positive"]
    assert (tmp_path / "genomes/hg38/hg38.fa.gz").exists()
    again = call(task, "--build", "-o", tmp_path)
    assert again.exit_code == 3 and "--overwrite" in again.stderr
    before = sum(len(served.requests) for served in served_suite.files.values())
    assert call(task, "--build", "-o", tmp_path, "--overwrite").exit_code == 0
    assert sum(len(served.requests) for served in served_suite.files.values()) == before


def test_verb_builds_from_a_given_genome(served_suite: Server, tmp_path: Path) -> None:
    (tmp_path / "mine.fa").write_text(FASTA)
    task = "genomic_benchmarks/human_nontata_promoters"
    result = call(task, "--build", "-o", tmp_path / "d", "-g", tmp_path / "mine.fa")
    assert result.exit_code == 0, result.stderr
    again = call(task, "--build", "-o", tmp_path / "d")
    assert again.exit_code == 3 and "--overwrite" in again.stderr
    assert not (tmp_path / "d" / "genomes").exists()


def test_verb_asks_which_genome_is_which(tmp_path: Path, served_suite: Server) -> None:
    (tmp_path / "mine.fa").write_text(FASTA)
    name = "genomic_benchmarks/demo_human_or_worm"
    dataset = datasets([name])[0]
    sources = suites.Sources(genomes={"": str(tmp_path / "mine.fa")})
    with pytest.raises(BadInput, match="cut from ce11 and hg38") as refused:
        suites.build_dataset(dataset, DataFolder(tmp_path), sources, suites.FetchSettings())
    assert "-g ce11=FILE -g hg38=FILE" in str(refused.value)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_genome_of_a_build_that_nothing_is_cut_from_is_refused(
    tmp_path: Path, nowhere: str, dry: tuple[str, ...]
) -> None:
    task = "genomic_benchmarks/human_nontata_promoters"
    plan = ("--build", "-o", tmp_path / "d", "--mirror", nowhere, *dry)
    for given, name in (("HG38=mine.fa", "HG38"), ("build=38/mine.fa", "build")):
        result = call(task, *plan, "-g", given)
        assert result.exit_code == 3 and f"cut from '{name}'" in result.stderr
        assert "are cut from hg38" in result.stderr
    assert not (tmp_path / "d").exists()


def test_dry_run_and_list_open_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    result = call("hg38", "gue/tf/0", "mtcdna", "--dry-run", "-o", tmp_path / "d")
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["file", "bytes", "checksum", "state", "sources"]
    assert rows[1][1:4] == ["983659424", "publisher's md5sum.txt", "to fetch"]
    assert "hgdownload.soe.ucsc.edu/goldenPath/hg38/bigZips/hg38.fa.gz" in rows[1][4]
    assert {row[2] for row in rows[2:5]} == {"pinned sha256"}
    assert "to build" in rows[5][3]
    assert not (tmp_path / "d").exists()
    listed = call("--list")
    assert listed.exit_code == 0
    assert {line.split("\t")[0] for line in listed.stdout.splitlines()} == set(catalogue())


def test_dry_run_names_the_genomes_that_building_fetches(tmp_path: Path) -> None:
    task = "genomic_benchmarks/demo_human_or_worm"
    plan = ("--build", "--dry-run", "-o", tmp_path / "d")
    own = ("-g", "hg38=mine.fa")
    for asked, missing in (
        ((task,), {"hg38", "ce11"}),
        ((task, "ce11"), {"hg38", "ce11"}),
        ((task, *own), {"ce11"}),
    ):
        result = call(*asked, *plan)
        assert result.exit_code == 0, result.stderr
        files = [line.split("\t")[0] for line in result.stdout.splitlines()]
        genomes = [Path(file).parent.name for file in files if "/genomes/" in file]
        assert sorted(genomes) == sorted(missing)
    assert "/genomes/" not in call(task, "--dry-run", "-o", tmp_path / "d").stdout
    there = tmp_path / "d" / "genomes" / "ce11" / "ce11.fa.gz"
    there.parent.mkdir(parents=True)
    there.touch()
    assert "ce11.fa.gz" not in call(task, *plan).stdout
    unclear = call(task, *plan, "-g", "mine.fa")
    assert unclear.exit_code == 3 and "-g ce11=FILE -g hg38=FILE" in unclear.stderr


@pytest.mark.parametrize("source", ["-g", "--taxon", "--species"])
def test_sources_go_with_build(tmp_path: Path, source: str) -> None:
    asked = (source, "turtle=turtles.fa", "-o", tmp_path / "d")
    for dry in ((), ("--dry-run",)):
        result = call("gue/tf/0", *asked, *dry)
        assert result.exit_code == 2 and "--build" in result.stderr
    with pytest.raises(BadInput, match="sources are given, but nothing is built"):
        suites.fetch(["gue/tf/0"], tmp_path, sources=suites.Sources(species=tmp_path))
    assert not (tmp_path / "d").exists()


def test_verb_ends_as_it_should(tmp_path: Path, nowhere: str) -> None:
    assert call().exit_code == 2
    assert call("mtcdna", "--build", "--taxon", "turtles.fa").exit_code == 2
    missing = call("gue/tf/O", "-o", tmp_path)
    assert missing.exit_code == 3 and "did you mean gue/tf/" in missing.stderr
    own = call("mtcdna", "-o", tmp_path)
    assert own.exit_code == 3 and "not published" in own.stderr
    assert "--taxon turtle=turtles.fa" in own.stderr


def test_verb_offline(tmp_path: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = one(f"{nowhere}/data.bin")
    monkeypatch.setattr("findna.evaluation.fetch.catalogue.catalogue", lambda: {"x": offline})
    result = call("x", "-o", tmp_path)
    assert result.exit_code == 3
    assert nowhere.removeprefix("http://") in result.stderr and "--mirror" in result.stderr


def test_verb_builds_mtcdna(taxa: dict[str, Path], tmp_path: Path) -> None:
    given = [item for name, path in taxa.items() for item in ("--taxon", f"{name}={path}")]
    result = call(
        "mtcdna", "--build", "-o", tmp_path / "d", "--length", "56", "--shortest", "50", *given
    )
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "d/mtcdna/56/random/test.csv.gz").exists()
    assert (tmp_path / "d/mtcdna/56/species/test.csv.gz").exists()
    assert "are identical to one in train" in result.stderr
