"""The index of a genome on disk: one byte per base, written once, shared by every process.

A store is a folder in the cache: `bases.u8` (code | soft-mask bit, records concatenated),
`n_runs.i64` and `soft_runs.i64` (pairs of store offsets) and `index.json`. It is built in one pass
with one chunk in memory, in a temporary folder that is renamed when complete. Its name is a hash
of its source files: a changed file gets a new store, and the old one is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from findna.files import (
    BadInput,
    FindnaError,
    OutputExists,
    atomic_folder,
    cache_folder,
    file_digest,
    is_stream,
    log,
    open_bytes,
    sweep,
)
from findna.sequence import fasta
from findna.sequence.alphabet import (
    CODE_BITS,
    SOFT_BIT,
    Codes,
    Flags,
    LetterCounts,
    N,
    codes_of,
    count_marks,
    soft_of,
)
from findna.sequence.regions import Integers

FORMAT = 1
_STORED = CODE_BITS | SOFT_BIT
_END_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Store:
    """An open index: R records over `bases` (total,), which stay on disk.

    `composition` (R, 5) counts A C G T N of each record; runs (K, 2) are half-open store offsets,
    sorted, and never span two records.
    """

    folder: Path
    names: tuple[str, ...]
    lengths: Integers
    composition: Integers
    counts: LetterCounts
    digest: str
    bases: Codes
    n_runs: Integers
    soft_runs: Integers


def open_store(
    paths: Sequence[str], cache: Path | None = None, chunk_size: int = fasta.CHUNK
) -> Store:
    """The store of these FASTA files together, built now if it is not in the cache.

    Paths are files, pipes or "-"; `cache` replaces `files.cache_folder()`. Raises `BadInput` for an
    invalid file, `FullDisk`, and `FindnaError` for a cache that cannot be written.
    """
    stores = (cache or cache_folder()) / "genomes"
    index = _index_stream if any(map(is_stream, paths)) else _index_files
    return read_store(index(paths, stores, chunk_size))


def read_store(folder: Path) -> Store:
    """Open a finished store; only the small index is read."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return Store(
        folder=folder,
        names=tuple(index["names"]),
        lengths=np.array(index["lengths"], dtype=np.int64),
        composition=np.array(index["composition"], dtype=np.int64).reshape(-1, len("ACGTN")),
        counts=LetterCounts(**index["counts"]),
        digest=index["digest"],
        bases=np.memmap(folder / "bases.u8", dtype=np.uint8, mode="r"),
        n_runs=_read_runs(folder / "n_runs.i64"),
        soft_runs=_read_runs(folder / "soft_runs.i64"),
    )


def _read_runs(path: Path) -> Integers:
    if not path.stat().st_size:
        return np.empty((0, 2), dtype=np.int64)
    return np.memmap(path, dtype=np.int64, mode="r").reshape(-1, 2)


# Finding or building the store of some files --------------------------------------------------


def _index_files(paths: Sequence[str], stores: Path, chunk_size: int) -> Path:
    before = [_fingerprint(path) for path in paths]
    place = _short_hash([mark["path"] for mark in before])
    folder = stores / f"{place}-{_short_hash(before)}"
    if folder.exists():
        return folder
    _make_folder(stores)
    with _lock(stores / f"{place}.lock") as alone:
        # Left by killed processes: nobody else is building this now.
        for dead in stores.glob(f".tmp-*-{place}-*") if alone else ():
            shutil.rmtree(dead, ignore_errors=True)
        # Another process may have finished while this one waited; without locks it may still.
        with suppress(OutputExists):
            if not folder.exists():
                with atomic_folder(folder) as building:
                    _build(paths, building, chunk_size)
                    if [_fingerprint(path) for path in paths] != before:
                        raise BadInput("changed while it was being read", file=", ".join(paths))
        for old in stores.glob(f"{place}-*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
    return folder


def _index_stream(paths: Sequence[str], stores: Path, chunk_size: int) -> Path:
    """Index a stream; its store is named after its content, the only thing that is known of it."""
    _make_folder(stores)
    sweep(stores, ".tmp-*-stream-*")
    scratch = stores / f"stream-{os.getpid()}-{secrets.token_hex(4)}"
    with atomic_folder(scratch) as building:
        _build(paths, building, chunk_size)
    # The index holds the digest of the bases, and the counts of those that were changed.
    content = [file_digest(scratch / name) for name in ("index.json", "soft_runs.i64")]
    folder = stores / f"stream-{_short_hash(content)}"
    try:
        os.rename(scratch, folder)
    except OSError:
        # The same content was read before.
        shutil.rmtree(scratch)
    return folder


def _make_folder(stores: Path) -> None:
    with suppress(OSError):
        stores.mkdir(parents=True, exist_ok=True)
    if not os.access(stores, os.W_OK):
        raise FindnaError(
            f"{stores}: the cache cannot be written\n  set FINDNA_CACHE to another folder"
        )


def _fingerprint(path: str) -> dict[str, Any]:
    """What distinguishes versions of a source file without reading all of it."""
    # Opened first, for the error that a missing or foreign file raises.
    with open_bytes(path):
        status = os.stat(path)
    with open(path, "rb") as stream:
        ends = hashlib.sha256(stream.read(_END_BYTES))
        stream.seek(max(0, status.st_size - _END_BYTES))
        ends.update(stream.read(_END_BYTES))
    return {
        "path": str(Path(path).resolve()),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ends": ends.hexdigest(),
    }


def _short_hash(what: object) -> str:
    return hashlib.sha256(json.dumps([FORMAT, what]).encode()).hexdigest()[:16]


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Let one process at a time index; yields False on a file system without locks, where indexing
    goes on unlocked.
    """
    with open(path, "ab") as handle:
        alone = False
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
            alone = True
        yield alone


# Building -------------------------------------------------------------------------------------


class _RunWriter:
    """Writes the runs of True in a stream of flags as pairs of offsets, as soon as each ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.opened = -1

    def add(self, flags: Flags, offset: int) -> None:
        """Flags (L,) of the bases from `offset` on, which follow those of the last call."""
        if self.opened < 0 and not flags.any():
            return
        edges = np.flatnonzero(np.diff(flags, prepend=self.opened >= 0)) + offset
        if self.opened >= 0:
            edges = np.concatenate([[self.opened], edges])
        paired = edges.size // 2 * 2
        self.opened = int(edges[-1]) if paired < edges.size else -1
        self.file.write(edges[:paired].astype(np.int64).tobytes())

    def close_record(self, end: int) -> None:
        """End an open run where its record ends."""
        if self.opened >= 0:
            self.file.write(np.array([self.opened, end], dtype=np.int64).tobytes())
            self.opened = -1


class _Builder:
    """Accumulates the index while the pieces of a genome stream by."""

    def __init__(self, bases: IO[bytes], n_runs: IO[bytes], soft_runs: IO[bytes]) -> None:
        self.bases = bases
        self.n_runs, self.soft_runs = _RunWriter(n_runs), _RunWriter(soft_runs)
        self.seen: dict[str, tuple[str, int]] = {}
        self.ends: list[int] = []
        self.composition: list[Integers] = []
        self.counts = LetterCounts()
        self.digest = hashlib.sha256()
        self.total = 0

    def open_record(self, piece: fasta.Piece, source: str) -> None:
        """Close the previous record and begin this one; a repeated name is refused."""
        self.close_record()
        if piece.record in self.seen:
            file, line = self.seen[piece.record]
            raise BadInput(
                f"the name occurs twice; first in {file}, line {line}",
                file=source,
                record=piece.record,
                line=piece.line,
                remedy="record names (first word after >) must differ: rename or remove one",
            )
        self.seen[piece.record] = (source, piece.line)
        self.composition.append(np.zeros(5, dtype=np.int64))
        self.digest.update(b">" + piece.record.encode() + b"\n")

    def add(self, marked: Codes) -> None:
        """Append bases to the open record."""
        codes = codes_of(marked)
        self.bases.write((marked & _STORED).tobytes())
        self.digest.update(codes.data)
        is_n = codes == N
        self.n_runs.add(is_n, self.total)
        self.soft_runs.add(soft_of(marked), self.total)
        self.composition[-1] += _composition(codes, int(np.count_nonzero(is_n)))
        self.counts += count_marks(marked)
        self.total += marked.size

    def close_record(self) -> None:
        """End the open record, and with it any open run."""
        if self.seen:
            self.n_runs.close_record(self.total)
            self.soft_runs.close_record(self.total)
            self.ends.append(self.total)

    def index(self) -> dict[str, Any]:
        """The content of `index.json`."""
        return {
            "format": FORMAT,
            "digest": "sha256:" + self.digest.hexdigest(),
            "counts": asdict(self.counts),
            "names": list(self.seen),
            "lengths": np.diff(self.ends, prepend=0).tolist(),
            "composition": [row.tolist() for row in self.composition],
        }


def _composition(codes: Codes, n: int) -> Integers:
    """Counts (5,) of A C G T N; counting equal bytes is several times faster than bincount."""
    acg = [int(np.count_nonzero(codes == code)) for code in range(3)]
    return np.array([*acg, codes.size - n - sum(acg), n], dtype=np.int64)


def _build(paths: Sequence[str], folder: Path, chunk_size: int) -> None:
    """Index the files into `folder`, one chunk in memory at a time."""
    log.info("indexing %s (only once)", ", ".join(paths))
    with (
        open(folder / "bases.u8", "wb") as bases,
        open(folder / "n_runs.i64", "wb") as n_runs,
        open(folder / "soft_runs.i64", "wb") as soft_runs,
    ):
        builder = _Builder(bases, n_runs, soft_runs)
        for path in paths:
            with open_bytes(path) as stream:
                for piece in fasta.read_pieces(stream, path, chunk_size):
                    if piece.first:
                        builder.open_record(piece, path)
                    else:
                        builder.add(piece.marked)
        builder.close_record()
    (folder / "index.json").write_text(json.dumps(builder.index()), encoding="utf-8")
