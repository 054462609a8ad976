"""What every part needs of files: errors a user can read, atomic writes, digests, the cache.

Nothing here knows about sequences. A mistake of the user is a `BadInput` that names the file, the
record or line and the remedy; an output is written to a temporary name beside its place and
renamed when it is whole, so that a crash, a full disk or a second process leaves nothing half-done.
"""

from __future__ import annotations

import ctypes
import difflib
import errno
import fcntl
import gzip
import hashlib
import io
import json
import logging
import os
import secrets
import shlex
import shutil
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

log = logging.getLogger("findna")

STDIN = "-"


class FindnaError(Exception):
    """A failure whose message, one or more plain lines, is meant for the user."""

    exit_code = 1


class BadInput(FindnaError):
    """A mistake in what the user gave: `file: record, line: problem` and what to do about it."""

    exit_code = 3

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        record: str | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        """Compose the message; `line` counts from 1."""
        where = [
            part
            for part in (
                printable(file) if file is not None else None,
                f"record {record}" if record is not None else None,
                f"line {line}" if line is not None else None,
            )
            if part
        ]
        message = f"{', '.join(where)}: {problem}" if where else problem
        super().__init__(f"{message}\n  {remedy}" if remedy else message)
        self.problem, self.file, self.record = problem, file, record
        self.line, self.remedy = line, remedy


class OutputExists(BadInput):
    """The place where a result should go is taken."""


class FullDisk(FindnaError):
    """There is no room where a result should go: no input is wrong, but only the user can mend."""

    exit_code = 3

    def __init__(self, path: str | Path) -> None:
        """`path` is what could not be written."""
        super().__init__(
            f"{path}: the disk is full; nothing half-written is left\n"
            "  free some space, or write to another disk"
        )


def several(given: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """One path or word, or more of them, as a list: a word is no list of its letters."""
    return [given] if isinstance(given, str | Path) else list(given)


def printable(file: str | Path) -> str:
    """What a person calls a path."""
    return "standard input" if str(file) == STDIN else str(file)


def first_of(names: Iterable[object], most: int = 5) -> str:
    """The first names for a message, and how many more there are."""
    shown = list(map(str, names))
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


# Reading --------------------------------------------------------------------------------------

_SPREADSHEET = (
    "save it as CSV: in Excel File > Save As > CSV UTF-8, in LibreOffice File > Save As > Text CSV"
)
# First bytes of what is sometimes given by mistake -> what it is, what to do.
_FOREIGN = (
    (b"PK\x03\x04", "a spreadsheet or zip archive", f"{_SPREADSHEET}; unpack a zip archive first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel spreadsheet", _SPREADSHEET),
    (b"BZh", "compressed with bzip2", "unpack it with bunzip2, or compress it with gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it with unxz, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with unzstd"),
    (b"\x43\x27\x41\x1a", "a 2bit file", "turn it into FASTA with twoBitToFa"),
    (b"BAM\x01", "a BAM file", "turn it into FASTA with samtools fasta"),
    (b"CRAM", "a CRAM file", "turn it into FASTA with samtools fasta"),
)
_GZIP = b"\x1f\x8b"
# Read by those who read variants.
BCF_MAGIC = b"BCF\x02"
_PEEK = 1024
# A member of a bgzip file, by its first bytes and by its extra field; the empty one at its end.
_BGZIP = (b"\x1f\x8b\x08\x04", b"BC\x02\x00")
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def is_stream(path: str | Path) -> bool:
    """Whether a path can be read only once: standard input, a pipe, `<(command)` of a shell."""
    return str(path) == STDIN or (
        os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))
    )


def refuse_stream(path: str | Path, what: str) -> None:
    """`BadInput` where `what` would read a path a second time."""
    if is_stream(path):
        raise BadInput(
            f"{what} reads its input more than once", file=path, remedy="write it to a file first"
        )


@contextmanager
def open_bytes(path: str | Path) -> Iterator[io.BufferedReader]:
    """Open a file, or standard input for "-", for reading bytes; gzip and bgzip are unpacked.

    Compression is told by the first bytes, never by the name. A missing or unreadable file, a
    folder, a spreadsheet or another foreign format, and a gzip stream that is cut short or damaged
    (noticed while the caller reads inside the `with` block; a bgzip file without its end marker at
    once, a pipe at its end) raise `BadInput`.
    """
    raw = _open_raw(path)
    stream = raw
    try:
        if raw.peek(2)[:2] == _GZIP:
            bgzip = _is_bgzip(raw)
            if bgzip and _lacks_end(raw):
                raise _no_end_marker(path)
            packed = _ToItsEnd(raw) if bgzip else raw
            # gzip.GzipFile is a BufferedIOBase with a buffer of its own; peek is all it lacks.
            stream = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=packed)), 1 << 16)
        _refuse_foreign(stream.peek(_PEEK)[:_PEEK], path)
        yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(
            f"the gzip data is truncated or damaged ({error})",
            file=path,
            remedy="the download or copy is incomplete: download it again (gzip -t tests a file)",
        ) from None
    finally:
        if str(path) == STDIN:
            raw.detach()
        else:
            raw.close()


def _open_raw(path: str | Path) -> io.BufferedReader:
    if str(path) == STDIN:
        if sys.stdin is None:
            raise BadInput("is closed", file=path, remedy="pipe something into it, or name a file")
        return _filled(sys.stdin.buffer)
    try:
        file: io.BufferedReader = io.BufferedReader(io.FileIO(path), 1 << 16)
        return _filled(file) if is_stream(path) else file
    except FileNotFoundError:
        raise BadInput("no such file", file=path, remedy=_similar(Path(path))) from None
    except IsADirectoryError:
        raise BadInput("is a folder; a file is needed", file=path) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=path) from None


def _filled(stream: BinaryIO) -> io.BufferedReader:
    """A pipe that waits for more than was written so far: else what a file is told to be would
    hang on the moment.
    """
    return io.BufferedReader(cast(io.RawIOBase, stream), 1 << 16)


def _is_bgzip(raw: io.BufferedReader) -> bool:
    start = raw.peek(16)[:16]
    return (start[:4], start[12:]) == _BGZIP


def _lacks_end(raw: io.BufferedReader) -> bool:
    """Whether a bgzip file ends elsewhere than in its marker: what is cut between two members is
    whole gzip. Of a pipe nobody knows beforehand.
    """
    try:
        size = os.stat(raw.fileno()).st_size
        end = os.pread(raw.fileno(), len(_BGZIP_END), max(0, size - len(_BGZIP_END)))
    except OSError:
        return False
    return end != _BGZIP_END


class _ToItsEnd(io.RawIOBase):
    """A bgzip stream that may not end elsewhere than in its marker, as one does whose writer was
    killed: `EOFError`.
    """

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw, self._last = raw, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._raw.readinto1(buffer)
        if not size and self._last != _BGZIP_END:
            raise EOFError("no end marker of bgzip")
        self._last = (self._last + bytes(buffer[:size][-len(_BGZIP_END) :]))[-len(_BGZIP_END) :]
        return size


def _no_end_marker(path: str | Path) -> BadInput:
    return BadInput(
        "has no end marker of bgzip: it was truncated",
        file=path,
        remedy="download or copy it again; if nothing is missing, gunzip -c OLD | bgzip > NEW.gz"
        " writes the marker",
    )


def _similar(path: Path) -> str | None:
    """A neighbour with almost the same name, for a mistyped path."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else None


def _refuse_foreign(start: bytes, path: str | Path) -> None:
    for magic, what, remedy in _FOREIGN:
        if start.startswith(magic):
            raise BadInput(f"is {what}, not text", file=path, remedy=remedy)
    if start[257:262] == b"ustar":
        raise BadInput("is a tar archive", file=path, remedy="unpack it first with tar -xf")
    if start.startswith(_GZIP):
        raise BadInput("is compressed twice", file=path, remedy="decompress it once with gunzip")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; `BadInput` with the line where it is broken or missing."""
    with open_bytes(path) as stream:
        text = stream.read()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON: {error.msg}", file=path, line=error.lineno) from None
    except UnicodeDecodeError:
        raise BadInput("is not JSON: it has bytes that are not text", file=path) from None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All objects of a file of one a line, none without it; a last line that was cut off by a crash
    is left out.
    """
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def file_digest(path: str | Path) -> str:
    """`sha256:` and the hexadecimal digest of the bytes of a file."""
    with open(path, "rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


# Writing --------------------------------------------------------------------------------------


@contextmanager
def atomic_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    On any failure the temporary file is removed and `path` is as it was. An existing `path` raises
    `OutputExists` unless `overwrite`; a full disk raises `FullDisk`. A device or pipe, such as
    /dev/null, has no half-written state and is written directly.
    """
    target = Path(path).resolve()
    refuse_existing(path, overwrite)
    # By its own name: a link to a pipe resolves to a name that no file has.
    if Path(path).exists() and not Path(path).is_file():
        with full_disk_told(path):
            yield Path(path)
        return
    temporary = _beside(target)
    try:
        with full_disk_told(path):
            yield temporary
            _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """What `atomic_file` refuses to write to, asked before the work."""
    target = Path(path).resolve()
    if target.is_dir():
        raise BadInput("is a folder; a file name is needed", file=path)
    if target.is_file() and not overwrite:
        raise _exists(path)


@contextmanager
def atomic_folder(
    path: str | Path, overwrite: bool = False, *, known_by: str | None = None
) -> Iterator[Path]:
    """Yield a new temporary folder beside `path`; on success it is synced and renamed to `path`.

    An empty folder at `path` counts as free. With `overwrite` an existing one changes places with
    the new one and is deleted last; one without the file `known_by`, which every such folder holds,
    is somebody else's and refused, and so is the current one. Errors as for `atomic_file`.
    """
    target = Path(path).resolve()
    if not is_free(target):
        if not overwrite:
            raise _exists(path)
        if known_by and not (target / known_by).exists():
            raise OutputExists(
                f"is not replaced: it has no {known_by}, which anything written by findna has",
                file=path,
                remedy="choose another output",
            )
    # Empty or not: who stands in it would stand in one that is gone, and see nothing.
    if Path.cwd().is_relative_to(target):
        problem = "is, or contains, the current folder and is not replaced"
        raise BadInput(problem, file=path, remedy="choose a folder inside it")
    temporary = _beside(target)
    try:
        with full_disk_told(path):
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
        _move_folder(temporary, target, overwrite)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path, pattern: str) -> None:
    """Delete what processes that were killed left half-written: temporary folders `pattern` that
    nothing was written into for a day.
    """
    for dead in folder.glob(pattern):
        with suppress(OSError):
            last = max(path.stat().st_mtime for path in (dead, *dead.rglob("*")))
            if time.time() - last > _DAY:
                shutil.rmtree(dead)


def _move_folder(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite and target.is_dir() and _exchange(temporary, target):
        return
    aside = _beside(target)
    if overwrite and not is_free(target):
        os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except OSError as error:
        if aside.exists():
            os.rename(aside, target)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _exists(target) from None
        raise
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)


_DAY = 86_400  # seconds
# Of Linux' fcntl.h and of macOS' stdio.h.
_AT_FDCWD, _EXCHANGE = -100, 2


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step, so that a crash never finds either missing.

    Returns:
        Whether it was done: not every system and file system can.
    """
    system, names = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(other))
    if linux := getattr(system, "renameat2", None):
        places = (_AT_FDCWD, names[0], _AT_FDCWD, names[1])
        return bool(linux(*places, ctypes.c_uint(_EXCHANGE)) == 0)
    macos = getattr(system, "renamex_np", None)
    return macos is not None and bool(macos(*names, ctypes.c_uint(_EXCHANGE)) == 0)


@contextmanager
def claimed(file: Path) -> Iterator[None]:
    """Hold `file` as the sign that this process writes the folder it lies in, until the block or
    the process ends. The file is made if it is missing; without locks in the file system it is no
    sign.

    Raises:
        BadInput: another process holds it.
    """
    with open(file, "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                "another process is writing there",
                file=file.parent,
                remedy="wait for it, stop it, or choose another output",
            ) from None
        except OSError:
            log.debug("%s: the file system has no locks", file)
        yield


def is_free(place: Path) -> bool:
    """Whether nothing is there but perhaps an empty folder."""
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


def _exists(path: str | Path) -> OutputExists:
    return OutputExists("exists", file=path, remedy="--overwrite replaces it")


def _beside(target: Path) -> Path:
    """A free name in the folder of `target`, with its ending; the folder is made."""
    make_folder(target.parent)
    return target.parent / f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{target.name}"


def make_folder(folder: Path) -> None:
    """Make a folder to write into, with those above it; one that is there is fine.

    Raises:
        BadInput: it cannot be made or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot be made: {error.strerror}", file=folder) from None
    if not os.access(folder, os.W_OK):
        raise BadInput("cannot be written to", file=folder)


_FULL = (errno.ENOSPC, errno.EDQUOT)
# What pysam says where htslib could not write; its errors have no number.
_UNWRITTEN = ("closing BGZFile", "building of index", "No space left on device")
_LEAST_FREE = 1 << 16  # bytes: htslib writes blocks of this size


@contextmanager
def full_disk_told(path: str | Path) -> Iterator[None]:
    """Turn "no space left", however a library words it, into `FullDisk`."""
    try:
        yield
    except FullDisk:
        # The place that was asked for, not a temporary one inside it.
        raise FullDisk(path) from None
    except FindnaError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        unsaid = isinstance(error, OSError) and number is None and no_room(Path(path).parent)
        if number in _FULL or unsaid or any(words in str(error) for words in _UNWRITTEN):
            raise FullDisk(path) from error
        raise


def no_room(folder: Path) -> bool:
    """Whether the file system of a folder is full, by its own count; quotas are not in it."""
    try:
        here = os.statvfs(folder)
    except OSError:
        return False
    return here.f_bavail * here.f_frsize < _LEAST_FREE


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write `text`, atomically, over what was there."""
    with atomic_file(path, overwrite=True) as made:
        made.write_text(text, encoding="utf-8")


def plain_number(value: Any) -> Any:
    """What JSON is to hold of a number of numpy; `TypeError` for anything else."""
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value).__name__} is not a number")
    return value.item()


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as indented JSON, atomically, over what was there; NaN is a `ValueError`."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False, default=plain_number)
    write_text(path, text + "\n")


def command_line() -> str:
    """The command that started this process, as one would type it again."""
    program = Path(sys.argv[0]).name
    return shlex.join(["findna" if program == "__main__.py" else program, *sys.argv[1:]])


def cache_folder() -> Path:
    """`$FINDNA_CACHE`, or `findna` in the platform's cache folder; not created here."""
    if chosen := os.environ.get("FINDNA_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "findna"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "findna"
