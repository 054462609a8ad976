"""Models by name: the list of published models, and where their folders are.

`published.tsv` has one line per file: the model's name, its place (`package`: part of every
installation; `repository`: in `models/` of a checkout, else fetched into the cache folder), file,
bytes and checksum. `benchmarks/publish.py` writes it from the folders.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, cast

from findna.files import BadInput, cache_folder, file_digest

HERE = Path(__file__).parent
TABLE = HERE / "published.tsv"
COLUMNS = ("name", "place", "file", "bytes", "checksum")
# Models in the package.
PACKAGE = HERE / "weights"
# `models/` of the checkout that this file is in; an installed package has none.
REPOSITORY = HERE.parents[2] / "models"
# What `load_model` reads; the checksum of the card is only checked when it is fetched.
_READ = ("model.safetensors", "config.json")

Place = Literal["package", "repository"]


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of a model; `checksum` is `sha256:` and hexadecimal digits."""

    file: str
    bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model that can be requested by name."""

    name: str
    place: Place
    files: tuple[PublishedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(each.bytes for each in self.files)

    def folders(self) -> tuple[Path, ...]:
        """Where it may be, in the order of search."""
        if self.place == "package":
            return (PACKAGE / self.name,)
        return REPOSITORY / self.name, cache_folder() / "data" / "model" / self.name

    def folder(self) -> Path:
        """Its folder, with the weights and config that were published.

        Raises:
            BadInput: it is not on this machine, or a file differs from the published one.
        """
        found = next((f for f in self.folders() if (f / "config.json").is_file()), None)
        if found is None:
            raise BadInput(
                f"the model {self.name} is not on this machine ({self.size / 1e6:.1f} MB)",
                remedy=f"findna fetch model {self.name}, or copy models/{self.name} of findna's"
                " repository here and give its path",
            )
        for file in self.files:
            if file.file in _READ:
                self._check(found / file.file, file.checksum)
        return found

    def _check(self, path: Path, expected: str) -> None:
        digest = file_digest(path) if path.is_file() else "no such file"
        if digest != expected:
            raise BadInput(
                f"differs from the published file of {self.name}: expected {expected}, found"
                f" {digest}",
                file=path,
                remedy=f"{self._remedy(path)}; to use a model of your own, give its folder",
            )

    def _remedy(self, path: Path) -> str:
        if self.place == "package":
            return "install findna again"
        if path.is_relative_to(REPOSITORY):
            return "restore it from the repository (git checkout)"
        return f"findna fetch model {self.name} --overwrite downloads it again"


def read_published(table: Path) -> dict[str, PublishedModel]:
    """The models of a table, by name."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return {
        name: PublishedModel(
            name,
            cast(Place, place),
            tuple(PublishedFile(f["file"], int(f["bytes"]), f["checksum"]) for f in files),
        )
        for (name, place), files in groupby(rows, key=lambda row: (row["name"], row["place"]))
    }


PUBLISHED: Mapping[str, PublishedModel] = read_published(TABLE)
