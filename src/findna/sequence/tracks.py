"""Tracks, values along a genome, as files for genome browsers: bigWig and bedGraph.

Pieces stream through: each is checked and written, and memory holds one piece per track, whatever
the genome. Order, overlaps and ends are checked here, before a library sees them. A bigWig is
read back whole and compared by a checksum of positions and values, because figwig is young. NaN is
a gap and not written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
import pysam
from numpy.typing import NDArray

from findna.files import BadInput, atomic_file, open_bytes
from findna.sequence.regions import Integers
from findna.sequence.variant_index import TBI_LIMIT, remove_indexes

Values = NDArray[np.float32]
TrackFormat = Literal["bigwig", "bedgraph"]

_ENDINGS: dict[str, TrackFormat] = {
    ".bw": "bigwig",
    ".bigwig": "bigwig",
    ".bedgraph": "bedgraph",
    ".bg": "bedgraph",
    ".bedgraph.gz": "bedgraph",
    ".bg.gz": "bedgraph",
}
_BLOCK = 1 << 22  # bases read back at once: 16 MB


class TrackPiece(NamedTuple):
    """n intervals of one chromosome, 0-based half-open, sorted and disjoint, with a value each.

    `starts` and `ends` are integers (n,), `values` numbers (n,); NaN is a gap.
    """

    chrom: str
    starts: Integers
    ends: Integers
    values: NDArray[np.floating[Any]]


class IntegrityError(RuntimeError):
    """A track that does not read back as it was written."""


def track_format(path: str | Path) -> TrackFormat:
    """The format that the ending of `path` names; `BadInput` if it names none."""
    name = Path(path).name.lower()
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    raise BadInput(
        "the file name does not say which track format to write",
        file=path,
        remedy=f"end it in {', '.join(_ENDINGS)}",
    )


def write_track(
    path: str | Path,
    sizes: Mapping[str, int],
    pieces: Iterable[TrackPiece],
    *,
    overwrite: bool = False,
) -> None:
    """Write the pieces of one track, whole or not at all.

    Args:
        path: `.bw` or `.bigwig` is bigWig; `.bedgraph` or `.bg` is bedGraph, with `.gz` bgzipped
            and indexed by tabix.
        sizes: bases of every chromosome, in the order of the FASTA; the header of a bigWig lists
            them all.
        pieces: in the order of `sizes`, sorted by position within a chromosome.
        overwrite: replace an existing file.

    Raises:
        BadInput: an unknown format, figwig is not installed, or the file exists.
        ValueError: a piece out of order, overlapping, past an end, or not finite.
        IntegrityError: a bigWig does not read back as it was written.
    """
    with track_writer(path, sizes, overwrite=overwrite) as write:
        for piece in pieces:
            write(piece)


@contextmanager
def track_writer(
    path: str | Path, sizes: Mapping[str, int], *, overwrite: bool = False
) -> Iterator[Callable[[TrackPiece], None]]:
    """As `write_track`, for several tracks at once: yields the function that takes a piece."""
    opened = _bigwig if track_format(path) == "bigwig" else _bedgraph
    with opened(path, sizes, overwrite) as put:
        order = _Order(sizes)

        def write(piece: TrackPiece) -> None:
            put(order.checked(piece))

        yield write


def read_track(path: str | Path, chrom: str, start: int, end: int) -> Values:
    """float32 (end - start,) of the bases [start, end) of a track; NaN where it has no value.

    A bedGraph is scanned from its first line: for small ones only.

    Raises:
        BadInput: an unknown format, or a bigWig without that chromosome.
    """
    if track_format(path) == "bedgraph":
        return _from_bedgraph(path, chrom, start, end)
    reader = _figwig().BigWigReader(str(path))
    if chrom not in reader.chrom_sizes:
        raise BadInput(f"has no chromosome {chrom!r}", file=path)
    return _read_bigwig(reader, chrom, start, end)


# ---------------------------------------------------------------- checks of pieces


class _Order:
    """Checks that the pieces of a track are sorted, disjoint, and within their chromosomes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.rank = {chrom: number for number, chrom in enumerate(sizes)}
        self.at = (-1, 0)

    def checked(self, piece: TrackPiece) -> TrackPiece:
        """The piece as int64 and float32, without gaps; `ValueError` if it is invalid."""
        chrom = piece.chrom
        starts, ends = (np.asarray(places, np.int64) for places in (piece.starts, piece.ends))
        values = np.asarray(piece.values, np.float32)
        if not starts.shape == ends.shape == values.shape or starts.ndim != 1:
            raise ValueError(f"{chrom}: starts, ends and values differ in shape")
        if not len(starts):
            return TrackPiece(chrom, starts, ends, values)
        here = (self._rank(chrom), int(starts[0]))
        if here < self.at:
            raise ValueError(f"{chrom}:{starts[0]} comes after what was already written")
        if starts[0] < 0 or (ends <= starts).any() or (starts[1:] < ends[:-1]).any():
            raise ValueError(f"{chrom}: intervals overlap, are unsorted, or end before they start")
        if ends[-1] > self.sizes[chrom]:
            raise ValueError(f"{chrom}:{starts[-1]}-{ends[-1]} ends beyond {self.sizes[chrom]}")
        if np.isinf(values).any():
            raise ValueError(f"{chrom}: a value is infinite")
        self.at = (here[0], int(ends[-1]))
        known = ~np.isnan(values)
        return TrackPiece(chrom, starts[known], ends[known], values[known])

    def _rank(self, chrom: str) -> int:
        if chrom not in self.rank:
            raise ValueError(f"{chrom} has no size")
        return self.rank[chrom]


# ---------------------------------------------------------------- bigWig


def _figwig() -> Any:
    try:
        import figwig
    except ImportError:
        raise BadInput(
            "bigWig files need the library figwig",
            remedy="pip install 'findna[tracks]', or write .bedgraph.gz (scan: --format bedgraph)",
        ) from None
    return figwig


@contextmanager
def _bigwig(
    path: str | Path, sizes: Mapping[str, int], overwrite: bool
) -> Iterator[Callable[[TrackPiece], None]]:
    figwig = _figwig()
    sums = dict.fromkeys(sizes, (0, 0))
    with atomic_file(path, overwrite) as made:
        with figwig.BigWigWriter(str(made), dict(sizes), n_jobs=1) as writer:

            def put(piece: TrackPiece) -> None:
                sums[piece.chrom] = _plus(sums[piece.chrom], _checksum(*piece[1:]))
                _write_runs(writer, piece)

            yield put
        _require_same(figwig.BigWigReader(str(made)), sizes, sums, path)


def _write_runs(writer: Any, piece: TrackPiece) -> None:
    """Write runs of single bases as one window, which takes a third of the space of intervals."""
    chrom, starts, ends, values = piece
    single = len(starts) > 0 and bool((ends - starts == 1).all())
    if not single:
        writer.write(chrom, starts, values, ends=ends, missing=np.nan)
        return
    breaks = np.flatnonzero(np.diff(starts) != 1) + 1
    for run in np.split(np.arange(len(starts)), breaks):
        writer.write(chrom, starts[run[:1]], values[None, run], missing=np.nan)


def _checksum(starts: Integers, ends: Integers, values: Values) -> tuple[int, int]:
    """Covered bases, and the sum of (bits of value + 1) * (position + 1) over them modulo 2^64.

    In closed form for each interval: wide ones cost no more than narrow ones.
    """
    widths, twice = (ends - starts).astype(np.uint64), (starts + ends + 1).astype(np.uint64)
    even = widths % 2 == 0
    places = np.where(even, widths // 2 * twice, widths * (twice // 2))
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64) + np.uint64(1)
    return int(widths.sum()), int((bits * places).sum())


def _plus(sums: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
    return sums[0] + more[0], (sums[1] + more[1]) % (1 << 64)


def _require_same(
    reader: Any, sizes: Mapping[str, int], sums: Mapping[str, tuple[int, int]], path: str | Path
) -> None:
    if list(reader.chrom_sizes.items()) != list(sizes.items()):
        raise IntegrityError(f"{path}: the header reads back with other chromosomes")
    for chrom, size in sizes.items():
        found = (0, 0)
        for start in range(0, size, _BLOCK):
            values = _read_bigwig(reader, chrom, start, min(start + _BLOCK, size))
            known = np.flatnonzero(~np.isnan(values)) + start
            found = _plus(found, _checksum(known, known + 1, values[known - start]))
        if found != sums[chrom]:
            raise IntegrityError(f"{path}: {chrom} does not read back as it was written")


def _read_bigwig(reader: Any, chrom: str, start: int, end: int) -> Values:
    if end <= start:
        return np.empty(0, np.float32)
    values = reader.read(chrom, [start], end - start, missing=np.nan, n_jobs=1)
    return cast(Values, values[0])


# ---------------------------------------------------------------- bedGraph


@contextmanager
def _bedgraph(
    path: str | Path, sizes: Mapping[str, int], overwrite: bool
) -> Iterator[Callable[[TrackPiece], None]]:
    zipped = str(path).lower().endswith(".gz")
    csi = max(sizes.values(), default=0) > TBI_LIMIT
    ending = ".csi" if csi else ".tbi"
    with ExitStack() as stack:
        made = stack.enter_context(atomic_file(path, overwrite))
        if zipped:
            index = stack.enter_context(atomic_file(f"{path}{ending}", overwrite))
        with _text(made, zipped) as stream:

            def put(piece: TrackPiece) -> None:
                stream.write(_lines(piece))

            yield put
        if zipped:
            pysam.tabix_index(str(made), preset="bed", index=str(index), csi=csi, force=True)
            remove_indexes(path, but=ending)


def _text(made: Path, zipped: bool) -> IO[bytes]:
    if zipped:
        return cast(IO[bytes], pysam.BGZFile(str(made), "wb", None))
    return open(made, "wb")


def _lines(piece: TrackPiece) -> bytes:
    rows = zip(
        piece.starts.tolist(), piece.ends.tolist(), np.asarray(piece.values).tolist(), strict=True
    )
    return "".join(f"{piece.chrom}\t{s}\t{e}\t{v:.9g}\n" for s, e, v in rows).encode()


def _from_bedgraph(path: str | Path, chrom: str, start: int, end: int) -> Values:
    values = np.full(max(0, end - start), np.nan, np.float32)
    with open_bytes(path) as stream:
        for line in stream:
            name, low, high, value = line.decode().rstrip("\n").split("\t")
            if name == chrom and int(low) < end and int(high) > start:
                values[max(0, int(low) - start) : int(high) - start] = float(value)
    return values
