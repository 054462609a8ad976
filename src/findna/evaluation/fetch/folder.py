"""The data folder: what was fetched into it, from where, and that it is still the same.

`fetched.json` in its root records URL, date, bytes, sha256 and revision of every file. A file is
held to its pinned checksum, else to what was recorded when it was first fetched, else to the list
that its publisher keeps beside it; where there is none of these, the first fetch is believed, and
said to be. The layout is the same everywhere, so a folder served over HTTP is a mirror.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch

from findna.evaluation.fetch.catalogue import Dataset, RemoteFile
from findna.evaluation.fetch.download import DownloadSettings, ResumingDownloader, Unavailable
from findna.files import (
    BadInput,
    OutputExists,
    file_digest,
    full_disk_told,
    log,
    read_json,
    write_json,
)

RECORD = "fetched.json"


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of `--dry-run`: what would be done, told without network."""

    file: RemoteFile
    target: Path
    there: bool
    checksum: str
    urls: tuple[str, ...]


class Unfetched(BadInput):
    """A file that no source gave; one message for all of them."""

    def __init__(self, path: str, refusals: Sequence[Unavailable]) -> None:
        self.path, self.refusals = path, tuple(refusals)
        hosts = ", ".join(dict.fromkeys(urlsplit(refusal.url).netloc for refusal in refusals))
        if all(refusal.offline for refusal in refusals):
            super().__init__(
                f"{path} cannot be downloaded: {hosts} cannot be reached",
                remedy="without a network, run fetch on another machine and copy its data folder"
                " here (-o names it), or name a reachable copy with --mirror",
            )
            return
        reasons = "\n  ".join(map(str, refusals))
        super().__init__(
            f"{path} cannot be downloaded from {hosts}:\n  {reasons}",
            remedy="try again later, or name another copy with --mirror",
        )


class DataFolder:
    """A folder of fetched data.

    Args:
        path: made when something is fetched.
        settings: patience of downloads.
        mirror: base URL of a copy of a data folder, asked first.
        overwrite: fetch again what is there, unless it is pinned and right; a new recorded sha256
            replaces the old one.
    """

    def __init__(
        self,
        path: Path,
        settings: DownloadSettings | None = None,
        *,
        mirror: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path, self.settings = path, settings or DownloadSettings()
        self.mirror, self.overwrite = _as_base(mirror), overwrite
        self.recorded = self._read_record()

    def _read_record(self) -> dict[str, dict[str, Any]]:
        record = self.path / RECORD
        return read_json(record) if record.exists() else {}

    def plan(self, dataset: Dataset) -> list[Planned]:
        """What fetching a data set would do."""
        return [
            Planned(
                file,
                self.path / file.path,
                (self.path / file.path).exists(),
                self._how_checked(file),
                self._urls(file),
            )
            for file in dataset.files
        ]

    def fetch(self, dataset: Dataset) -> list[Path]:
        """Bring the files of a data set, or say they are there and right.

        Raises:
            Unfetched: no source gave a file (with exit code 3; names hosts and remedy).
            OutputExists: a file is there and is not what it should be.
        """
        with self._alone():
            try:
                return self._bring(dataset.files)
            except Unfetched as error:
                if not dataset.instead:
                    raise
                first = error
            try:
                paths = self._bring(dataset.instead)
            except Unfetched as second:
                raise Unfetched(first.path, first.refusals + second.refusals) from None
        log.warning("%s", first)
        log.warning(
            "%s: using the file of another publisher, the same assembly with other names (1 for"
            " chr1): %s",
            dataset.name,
            paths[0],
        )
        return paths

    def find(self, dataset: Dataset) -> list[Path]:
        """The files of a data set that lie here, in full; empty if they do not."""
        for files in (dataset.files, dataset.instead):
            paths = [self.path / file.path for file in files]
            if paths and all(path.exists() for path in paths):
                return paths
        return []

    # One file ---------------------------------------------------------------------------------

    def _bring(self, files: Sequence[RemoteFile]) -> list[Path]:
        return [self._there(file) or self._from_first_source(file) for file in files]

    def _there(self, file: RemoteFile) -> Path | None:
        """The target if it exists and is what it should be; None if it is to be fetched."""
        target = self.path / file.path
        if not target.exists():
            return None
        known = self._known(file)
        if known is None or not _matches(target, known):
            if self.overwrite:
                return None
            raise OutputExists(
                f"exists, but is not the expected file ({known})"
                if known
                else "exists, but nothing says what it should be",
                file=target,
                remedy="--overwrite downloads it again",
            )
        log.info("%s: present, checked against %s", target, self._how_checked(file))
        return target

    def _from_first_source(self, file: RemoteFile) -> Path:
        if not self._urls(file):
            raise BadInput(
                f"{file.path} cannot be downloaded: this findna has no address for it",
                remedy="name a copy of a data folder with --mirror, or copy the file to"
                f" {self.path / file.path}",
            )
        refusals: list[Unavailable] = []
        for url in self._urls(file):
            try:
                return self._download(file, url)
            except Unavailable as error:
                refusals.append(error)
                log.debug("%s", error)
        raise Unfetched(file.path, refusals)

    def _download(self, file: RemoteFile, url: str) -> Path:
        target = self.path / file.path
        with _told_what_cannot_be_written(target):
            return self._brought(file, url, target)

    def _brought(self, file: RemoteFile, url: str, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        known = self._known(file) or self._published(file, url)
        arrived = target.with_name(f".{target.name}.arrived")
        arrived.unlink(missing_ok=True)
        _retrieve(url, arrived, known, self._downloader(target))
        if known is None and file.path.endswith(".gz"):
            _refuse_no_gzip(arrived, url)
        entry = {
            "url": url,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "bytes": arrived.stat().st_size,
            "sha256": file_digest(arrived).removeprefix("sha256:"),
            "revision": file.revision,
            "checked": known or "nothing: first download",
        }
        os.replace(arrived, target)
        self.recorded[file.path] = entry
        write_json(self.path / RECORD, self.recorded)
        _tell(target, entry, known)
        return target

    def _downloader(self, target: Path) -> ResumingDownloader:
        return ResumingDownloader(target.with_name(f".{target.name}.part"), self.settings)

    # What it should be ------------------------------------------------------------------------

    def _urls(self, file: RemoteFile) -> tuple[str, ...]:
        mirrored = (f"{self.mirror}/{file.path}",) if self.mirror else ()
        return (*mirrored, *file.urls)

    def _known(self, file: RemoteFile) -> str | None:
        """The pinned checksum, else the recorded one unless it is to be replaced."""
        if file.checksum or self.overwrite or file.path not in self.recorded:
            return file.checksum
        return f"sha256:{self.recorded[file.path]['sha256']}"

    def _published(self, file: RemoteFile, url: str) -> str | None:
        """The checksum in the publisher's list beside `url`; None, aloud, if it has none."""
        if file.checksum_list is None:
            return None
        beside = (self.path / file.path).with_name(file.checksum_list)
        address = f"{url.rsplit('/', 1)[0]}/{file.checksum_list}"
        try:
            self._downloader(beside)(address, beside, None)
        except Unavailable as error:
            if error.offline:
                raise
            log.warning("%s; the file is not checked against its publisher's list", error)
            return None
        found = _listed(beside, url.rsplit("/", 1)[-1])
        if found is None:
            log.warning("%s does not list the file", address)
        return found

    def _how_checked(self, file: RemoteFile) -> str:
        if file.checksum:
            return f"pinned {file.checksum.partition(':')[0]}"
        if file.path in self.recorded and not self.overwrite:
            return f"sha256 recorded {self.recorded[file.path]['date'][:10]}"
        if file.checksum_list:
            return f"publisher's {file.checksum_list}"
        return "none published: sha256 recorded at first download"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder: two fetches into it would write the same partial files."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / ".fetching").open("w")
        except OSError as error:
            if not self.path.is_dir():
                raise BadInput(f"cannot be written to: {error.strerror}", file=self.path) from None
            # It can be read, and all that is asked for may be there.
            yield
            return
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput("another findna fetch is writing here", file=self.path) from None
            except OSError:
                log.debug("%s: the file system has no locks", self.path)
            # Another one may have been at work since this began.
            self.recorded = self._read_record()
            yield


@contextmanager
def _told_what_cannot_be_written(target: Path) -> Iterator[None]:
    """A full disk is told as everywhere."""
    try:
        with full_disk_told(target):
            yield
    except OSError as error:
        place = error.filename or target
        raise BadInput(f"cannot be written: {error.strerror or error}", file=place) from None


def _as_base(mirror: str | None) -> str | None:
    if mirror is not None and not _is_http(mirror):
        raise BadInput(
            f"the mirror {mirror!r} is not an http or https address",
            remedy="for a copy of the data folder on this machine use -o",
        )
    return mirror.rstrip("/") if mirror else None


def _is_http(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:
        return False


def _retrieve(url: str, arrived: Path, known: str | None, downloader: ResumingDownloader) -> None:
    """Bring a URL to `arrived`, checked; `Unavailable` and nothing there if it is another file."""
    pooch.get_logger().setLevel("WARNING")
    by_pooch = known if known and not known.startswith("git:") else None
    try:
        pooch.retrieve(
            url, by_pooch, fname=arrived.name, path=arrived.parent, downloader=downloader
        )
    except ValueError:
        raise Unavailable(url, f"returns another file than expected ({known})") from None
    if known and not by_pooch and not _matches(arrived, known):
        arrived.unlink()
        raise Unavailable(url, f"returns another file than expected ({known})")


def _refuse_no_gzip(arrived: Path, url: str) -> None:
    """`Unavailable` and nothing there for what no checksum tells from the page of a login, or from
    the beginning of the file.
    """
    try:
        with gzip.open(arrived) as stream:
            while stream.read(1 << 20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        arrived.unlink()
        raise Unavailable(url, f"does not return a complete gzip file ({error})") from None


def _matches(path: Path, checksum: str) -> bool:
    algorithm, _, digest = checksum.partition(":")
    found = _git_blob(path) if algorithm == "git" else pooch.file_hash(str(path), algorithm)
    return bool(found == digest.lower())


def _git_blob(path: Path) -> str:
    """The id git gives to a file of this content: SHA-1 of `blob SIZE NUL` and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _listed(path: Path, name: str) -> str | None:
    """The md5 of `name` in a list of `digest  name` lines, as md5sum writes it."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, listed = line.strip().partition(" ")
        if listed.strip().lstrip("*").removeprefix("./") == name and len(digest) == 32:
            return f"md5:{digest.lower()}"
    return None


def _tell(target: Path, entry: dict[str, Any], known: str | None) -> None:
    log.info("%s: %s bytes from %s", target, f"{entry['bytes']:,}", entry["url"])
    if known is None:
        log.warning(
            "%s: no checksum is published for it; its sha256 is now recorded in %s, and later"
            " downloads must match it",
            target.name,
            RECORD,
        )
