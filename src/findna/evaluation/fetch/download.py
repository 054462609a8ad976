"""One URL into one file: resumed where it was cut, tried again, never half there.

`pooch` checks the result and gives it its name; its own downloader starts a cut download from the
beginning, so the one here takes its place. What has arrived is kept in a hidden file beside the
target, and goes on (HTTP Range) only if the server says by `If-Range` that its file is the same.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import requests
import urllib3
from pydantic import Field
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from findna.files import BadInput, log, read_json, write_json
from findna.settings import Settings

# What is lost, at most, where a connection is cut.
_CHUNK = 1 << 14
_SECONDS_TO_CONNECT = 10.0
_LONGEST_PAUSE = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_Failure = (requests.RequestException, urllib3.exceptions.HTTPError)


class DownloadSettings(Settings):
    """How patient a download is."""

    timeout: float = Field(
        30.0, gt=0, description="Seconds without data before a connection is abandoned."
    )
    tries: int = Field(
        5, ge=1, description="Attempts in a row without new data before trying the next mirror."
    )
    pause: float = Field(
        1.0, ge=0, description="Seconds before the next attempt; doubled each time."
    )


class Unavailable(Exception):
    """A source that did not give its file; `offline` if its host was not even reached."""

    def __init__(self, url: str, reason: str, *, offline: bool = False) -> None:
        super().__init__(f"{url}: {reason}")
        self.url, self.reason, self.offline = url, reason, offline


class ResumingDownloader:
    """What `pooch.retrieve` calls to bring a URL; `part` holds what has arrived so far.

    Raises `Unavailable` when the source gives up or is given up; what arrived stays in `part` for
    the next run.
    """

    def __init__(self, part: Path, settings: DownloadSettings) -> None:
        self.part, self.settings = part, settings
        self.origin = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Bring `url` into the path `output_file`; the other two are pooch's."""
        failures = most = 0
        while True:
            try:
                self._receive(url)
                break
            except _Failure as error:
                arrived = self._arrived()
                failures = 0 if arrived > most else failures + 1
                most = max(most, arrived)
                if not _worth_another_try(error) or failures >= self.settings.tries:
                    offline = _never_reached(error)
                    raise Unavailable(url, self._reason(error), offline=offline) from error
            wait = min(self.settings.pause * 2**failures, _LONGEST_PAUSE)
            log.info("%s: cut off after %s bytes, retrying in %.0f s", url, f"{arrived:,}", wait)
            time.sleep(wait)
        os.replace(self.part, output_file)
        self.origin.unlink(missing_ok=True)

    def _receive(self, url: str) -> None:
        """One connection; leaves `part` whole, or longer than before and an exception."""
        # Stored bytes are wanted as they are, also from a server that compresses what it sends.
        headers = {"Accept-Encoding": "identity", **self._where_it_was_cut(url)}
        timeout = (_SECONDS_TO_CONNECT, self.settings.timeout)
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code == 416:
                self.part.unlink(missing_ok=True)
            response.raise_for_status()
            goes_on = response.status_code == 206
            have = self._arrived() if goes_on else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            if goes_on:
                begin, whole = _part_sent(response)
                if begin != have:
                    self.part.unlink(missing_ok=True)
                    raise requests.ConnectionError(
                        "the server sent a different part than requested"
                    )
                # A server may send less than the rest.
                total = whole or total
            self._refuse_full_disk((total or have) - have)
            write_json(self.origin, {"url": url, "validator": _validator(response)})
            with self.part.open("ab" if goes_on else "wb") as file, _shown(url, have, total) as bar:
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    bar(len(chunk))
        if total is not None and self._arrived() != total:
            raise requests.ConnectionError(f"{self._arrived():,} of {total:,} bytes arrived")

    def _where_it_was_cut(self, url: str) -> dict[str, str]:
        """Headers that ask for the rest, if `part` is the beginning of this very URL."""
        if not (self._arrived() and self.origin.exists()):
            return {}
        try:
            origin = read_json(self.origin)
        except BadInput:  # cut, as when the machine went down: what arrived is of unknown origin
            return {}
        if origin["url"] != url or not origin["validator"]:
            return {}
        return {"Range": f"bytes={self._arrived()}-", "If-Range": origin["validator"]}

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _refuse_full_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if needed > free:
            raise BadInput(
                f"{needed:,} bytes are needed and {free:,} are free",
                file=self.part.parent,
                remedy="free some space, or choose another folder with -o",
            )

    def _reason(self, error: Exception) -> str:
        if isinstance(error, requests.HTTPError) and error.response is not None:
            return f"answers {error.response.status_code} {error.response.reason}"
        if _never_reached(error):
            return "cannot be reached"
        if "timed out" in str(error).lower():
            return f"sent nothing for {self.settings.timeout:g} s"
        return f"the connection was cut ({type(error).__name__})"


def _validator(response: requests.Response) -> str:
    """What `If-Range` may carry: a strong ETag, or the date; "" if there is neither."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _part_sent(response: requests.Response) -> tuple[int | None, int | None]:
    """Where the part begins that a server sends, and the size of the whole, each if it says so."""
    said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if said is None:
        return None, None
    return int(said[1]), None if said[2] == "*" else int(said[2])


def _worth_another_try(error: Exception) -> bool:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in _WORTH_ANOTHER_TRY
    # requests raises a ValueError for an address that is none.
    return not (isinstance(error, ValueError) or _never_reached(error))


def _never_reached(error: Exception) -> bool:
    """Whether no connection came about: no network, no such host, a closed port, a bad proxy."""
    kinds = requests.ConnectTimeout | requests.exceptions.ProxyError | requests.exceptions.SSLError
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, kinds) or isinstance(reason, urllib3.exceptions.NewConnectionError)


# Progress -------------------------------------------------------------------------------------


@contextmanager
def _shown(url: str, have: int, total: int | None) -> Iterator[Any]:
    """A function to tell of arrived bytes: a bar on a terminal, else one line a minute."""
    name = url.rsplit("/", 1)[-1]
    on_terminal = sys.stderr.isatty()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(name, total=total, completed=have)
    spoke, done = time.monotonic(), have

    def tell(more: int) -> None:
        nonlocal spoke, done
        done += more
        bar.update(task, completed=done)
        if not on_terminal and time.monotonic() - spoke >= 60:
            spoke = time.monotonic()
            log.info("%s: %s of %s bytes", name, f"{done:,}", f"{total:,}" if total else "?")

    with bar if on_terminal else nullcontext():
        yield tell
