"""A genome: named records over a memory map, addressed by their coordinates.

Opening a FASTA indexes it once (see `store`). After that, only the bytes that are read are loaded:
a genome of any size takes almost no memory, and processes share its pages.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self, cast, get_args, overload

import numpy as np

from findna.files import BadInput, first_of, log, several
from findna.sequence.alphabet import (
    Codes,
    Flags,
    N,
    codes_of,
    reverse_complement,
    soft_of,
    tell_counts,
)
from findna.sequence.regions import Integers, Places, RegionHeaders, place_records
from findna.sequence.store import Store, open_store, read_store

_CHR = re.compile(r"chr(omosome)?_?(?=.)", re.IGNORECASE)
_MITOCHONDRION = {"M", "MT", "MITO"}


class Fetched(NamedTuple):
    """Bases of an interval, in reading direction: codes uint8 (L,), soft and inside bool (L,).

    Where `inside` is False (past an end, between regions) the genome has no base; the code is N.
    """

    codes: Codes
    soft: Flags
    inside: Flags


class Genome:
    """R records of one or more FASTA files; see `open`.

    Attributes: `names`, `lengths`, `offsets` (R,) of the records in the store, where they are
    concatenated; `chroms`, `starts`, `ends` (R,), their source coordinates (in an ordinary FASTA a
    record is its own chromosome, from 0; `mapped` is True for a region FASTA); `store` (total,),
    bytes of code | SOFT_BIT, on disk; `n_runs` and `soft_runs` (K, 2), store offsets of N and lower
    case; `digest` of names and sequence, case ignored; `letter_counts`; `total` bases; `files` as
    given; `source`, printable.
    """

    def __init__(self, store: Store, places: Places, files: Sequence[str]) -> None:
        """Use `Genome.open`."""
        self._store, self._places = store, places
        self.names, self.lengths = store.names, store.lengths
        self.offsets: Integers = np.cumsum(self.lengths) - self.lengths
        self.chroms, self.starts, self.mapped = places.chroms, places.starts, places.mapped
        self.ends: Integers = self.starts + self.lengths
        self.store, self.n_runs, self.soft_runs = store.bases, store.n_runs, store.soft_runs
        self.digest, self.letter_counts = store.digest, store.counts
        self.total = int(self.lengths.sum())
        self.files = tuple(files)
        self.source = ", ".join(files)
        self._records = by_chromosome(self.chroms)
        self._aliases = _unique_aliases(self._records)
        self._warned = False

    @classmethod
    def open(
        cls,
        paths: str | Path | Sequence[str | Path],
        *,
        regions: RegionHeaders | str | Path = "auto",
        cache: Path | None = None,
    ) -> Self:
        """Open FASTA files (plain, gzip, bgzip, "-" for standard input) as one genome.

        `regions` says how the records of a region FASTA get their source coordinates: "auto",
        "off", "0-based" or "1-based" (how their headers count), or the path of a table with columns
        chrom, start, end, 0-based half-open, in record order or with a column name. "auto" takes
        the table next to a FASTA, FILE.regions.tsv, else the headers. Raises `BadInput`, with
        record and line, for whatever is wrong with a file.
        """
        given = several(paths)
        if not given:
            raise BadInput("no FASTA file is given")
        files = [str(path) for path in given]
        store, source = open_store(files, cache), ", ".join(files)
        places = place_records(store.names, store.lengths, _placing(files, regions), source)
        tell_counts(store.counts, source)
        return cls(store, places, files)

    @overload
    @classmethod
    def of(cls, given: None) -> None: ...

    @overload
    @classmethod
    def of(cls, given: Self | str | Path | Sequence[str | Path]) -> Self: ...

    @overload
    @classmethod
    def of(cls, given: Self | str | Path | Sequence[str | Path] | None) -> Self | None: ...

    @classmethod
    def of(cls, given: Self | str | Path | Sequence[str | Path] | None) -> Self | None:
        """A genome as functions accept it: an open one as it is, FASTA files opened, or None."""
        if given is None or isinstance(given, cls):
            return given
        return cls.open(cast(str | Path | Sequence[str | Path], given))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled by reference: a worker process opens the same files again."""
        return _reopen, (self._store.folder, self._places, self.files)

    def records_of(self, chrom: str) -> Integers:
        """Numbers (K,) of the records of a source chromosome, in file order."""
        return self._records[self.resolve(chrom)]

    def touched_by(self, chrom: str, start: int, end: int) -> Integers:
        """Numbers (K,) of the records that overlap [start, end) of a source chromosome."""
        records = self.records_of(chrom)
        return records[(self.starts[records] < end) & (self.ends[records] > start)]

    def last_of(self, chrom: str) -> int:
        """End, exclusive, of the last record of a source chromosome."""
        return int(self.ends[self.records_of(chrom)].max())

    @property
    def runs(self) -> Integers:
        """Store offsets [start, end) of every record, (R, 2)."""
        return np.stack([self.offsets, self.offsets + self.lengths], axis=1)

    @property
    def shifts(self) -> Integers:
        """What to add to a store offset in each record to get its source coordinate, (R,)."""
        return self.starts - self.offsets

    @property
    def placing(self) -> str | None:
        """Digest of the source coordinates of a region FASTA; None for an ordinary FASTA."""
        if not self.mapped:
            return None
        told = json.dumps([self.chroms, self.starts.tolist()])
        return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"

    @property
    def soft_masking(self) -> str:
        """Digest of the lower-case runs, which `digest` ignores."""
        return f"sha256:{hashlib.sha256(self.soft_runs.data).hexdigest()}"

    def record_at(self, offsets: Integers) -> Integers:
        """Number of the record that holds each store offset; any shape."""
        return np.searchsorted(self.offsets, offsets, side="right") - 1

    def composition(self) -> dict[str, Integers]:
        """Counts (5,) of A C G T N by source chromosome; overlapping regions count twice."""
        table = self._store.composition
        return {chrom: table[records].sum(axis=0) for chrom, records in self._records.items()}

    def fetch(self, chrom: str, start: int, end: int, strand: str = "+") -> Fetched:
        """The bases of [start, end) of a source chromosome; strand "-" is reverse-complemented.

        Past the ends of the chromosome and between regions the code is N, with `inside` False;
        where regions overlap, the first one is read. Raises `BadInput` for an unknown chromosome.
        """
        if end < start or strand not in ("+", "-", "."):
            raise ValueError(f"not a region: {chrom}:{start}-{end} {strand}")
        stored = np.full(end - start, N, dtype=np.uint8)
        inside = np.zeros(end - start, dtype=np.bool_)
        for record in self.touched_by(chrom, start, end).tolist():
            self._copy(record, start, stored, inside)
        codes, soft = codes_of(stored), soft_of(stored)
        if strand == "-":
            return Fetched(reverse_complement(codes), soft[::-1].copy(), inside[::-1].copy())
        return Fetched(codes, soft, inside)

    def _copy(self, record: int, start: int, stored: Codes, inside: Flags) -> None:
        """Fill in the bases that `record` has and no earlier record had; `stored` begins at
        `start`.
        """
        first, length = int(self.starts[record]), int(self.lengths[record])
        low, high = max(start, first), min(start + stored.size, first + length)
        offset = int(self.offsets[record]) - first
        here = slice(low - start, high - start)
        free = ~inside[here]
        stored[here][free] = self.store[offset + low : offset + high][free]
        inside[here] = True

    def resolve(self, chrom: str) -> str:
        """The genome's own name of a chromosome: exact, else ignoring chr and M/MT differences.

        The first inexact match is logged. `BadInput` if nothing matches.
        """
        found = self._find(chrom)
        if found is None:
            raise BadInput(
                f"has no chromosome {chrom!r}; it has {first_of(self._records)}",
                file=self.source,
                remedy="write the name as the FASTA does, or give the FASTA it belongs to",
            )
        return found

    def resolve_all(self, chroms: Iterable[str], *, source: str) -> dict[str, str]:
        """Each name -> the genome's own name; names that it lacks are left out.

        If it lacks them all, `BadInput` shows the first five of both, with `source`, where the
        names came from.
        """
        asked = list(dict.fromkeys(chroms))
        found = {chrom: name for chrom in asked if (name := self._find(chrom)) is not None}
        if asked and not found:
            raise BadInput(
                f"has no chromosome of {self.source}: {first_of(asked)} here,"
                f" {first_of(self._records)} there",
                file=source,
                remedy="both must come from the same genome build and naming",
            )
        return found

    def _find(self, chrom: str) -> str | None:
        if chrom in self._records:
            return chrom
        name = self._aliases.get(_alias(chrom))
        if name is not None and not self._warned:
            self._warned = True
            log.warning(
                "%s: chromosome names differ; %s is read as %s, and others likewise",
                self.source,
                chrom,
                name,
            )
        return name


def _placing(files: Sequence[str], regions: str | Path) -> RegionHeaders | Path:
    """How the headers of records count, or the table of their source coordinates."""
    if regions != "auto":
        return cast(RegionHeaders, regions) if regions in get_args(RegionHeaders) else Path(regions)
    tables = [path for path in (Path(f"{file}.regions.tsv") for file in files) if path.is_file()]
    if not tables:
        return "auto"
    if len(files) > 1:
        raise BadInput(
            f"gives coordinates for the records of one of {len(files)} FASTA files",
            file=tables[0],
            remedy="join the files, and their tables, into one",
        )
    log.info("%s: gives the coordinates of the records of %s", tables[0], files[0])
    return tables[0]


def _reopen(folder: Path, places: Places, files: Sequence[str]) -> Genome:
    try:
        return Genome(read_store(folder), places, files)
    except FileNotFoundError:
        raise BadInput(
            "was changed, or the cache folder emptied, since this genome was opened",
            file=", ".join(files),
            remedy="open it again with Genome.open",
        ) from None


def by_chromosome(chroms: Iterable[str]) -> dict[str, Integers]:
    """Chromosome -> numbers of the records, rows or variants on it, both in their order."""
    groups: dict[str, list[int]] = {}
    for number, chrom in enumerate(chroms):
        groups.setdefault(chrom, []).append(number)
    return {chrom: np.array(numbers, dtype=np.int64) for chrom, numbers in groups.items()}


def _alias(chrom: str) -> str:
    """A name without the conventions of its source: chr1, Chr1 and 1 agree, as do chrM and MT."""
    bare = _CHR.sub("", chrom, count=1) if _CHR.match(chrom) else chrom
    return "MT" if bare.upper() in _MITOCHONDRION else bare.upper()


def _unique_aliases(chroms: Iterable[str]) -> dict[str, str]:
    """Alias -> name, for the aliases of one name only."""
    names: dict[str, list[str]] = {}
    for chrom in chroms:
        names.setdefault(_alias(chrom), []).append(chrom)
    return {alias: same[0] for alias, same in names.items() if len(same) == 1}
