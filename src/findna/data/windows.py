"""Which windows of a genome are read: usable runs, the hold-out, and starts drawn uniformly.

Everything is arithmetic on sorted half-open runs of store offsets (int64, K x 2): the genome itself
is touched only where a window is read. A run never crosses from one record to the next.
"""

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from findna.data.on_device import DeviceStore, placed, sent
from findna.data.randomness import Purpose, row_hash, uniform
from findna.files import BadInput, Settings, log
from findna.sequence.alphabet import CODE_BITS, SOFT_BIT, N
from findna.sequence.genome import Genome
from findna.sequence.intervals import intersect, is_organelle, read_bed, subtract, to_store

Runs = NDArray[np.int64]
Offsets = NDArray[np.int64]

# Numbers of windows within a batch: an epoch's windows are numbered batch * MAX_ROWS + row.
MAX_ROWS = 1 << 20
# A window is redrawn so often before the allowed starts are worked out exactly. With half of all
# starts refused, one window in 65,536 needs that.
_REDRAWS = 16
# A window with more lower case than this is left out by `soft_mask="exclude"`. Leaving out the
# lower-case runs themselves would leave a mammalian genome with hardly a stretch of 512 bp.
_SOFT_LIMIT = 0.5
_LEAST_HELD_OUT, _MOST_HELD_OUT = 0.02, 0.10
_ENOUGH_CONTIGS = 20
# Blocks are the hold-out's grain: at least so many in a genome, unless a window is larger.
_BLOCKS = 200
# Window lengths are drawn from so many, evenly spaced on a log scale. A library keeps a prepared
# product and its memory for every shape it meets: 300 shapes took 4 GB, and each first use is slow.
_LENGTHS = 32
# Bytes read from the memory map before its pages are handed back, so that the resident memory of a
# run does not grow with the part of the genome it has seen.
_RELEASE_EVERY = 1 << 25


class SamplingSettings(Settings):
    """Which windows of a genome are trained on, and which are held out."""

    window: int = Field(512, ge=1, description="Longest window in bp.")
    min_window: int = Field(64, ge=1, description="Shortest window in bp; lengths are log-uniform.")
    one_length: bool = Field(False, description="Every window is as long as the longest.")
    max_n: float = Field(0.05, ge=0, le=1, description="Largest share of N in a window.")
    include: Path | None = Field(None, description="BED file: windows lie inside these regions.")
    exclude: Path | None = Field(None, description="BED file: windows stay clear of these regions.")
    contigs: tuple[str, ...] | None = Field(
        None, description="Only these chromosomes or contigs are read."
    )
    validation_chroms: tuple[str, ...] | None = Field(
        None, description="Chromosomes held out for validation; without, the genome decides."
    )
    validation_fraction: float = Field(
        0.05,
        ge=_LEAST_HELD_OUT,
        le=_MOST_HELD_OUT,
        description="Share of the usable bases to hold out when no chromosomes are named.",
    )
    organelles: bool = Field(False, description="Read mitochondria and plastids too.")
    soft_mask: Literal["keep", "exclude", "downweight"] = Field(
        "keep",
        description="Lower case: read as any other, left out where it is more than half of a "
        "window, or given less weight in the loss.",
    )
    soft_mask_weight: float = Field(
        0.1, ge=0, le=1, description="Loss weight of a lower-case base with soft_mask downweight."
    )
    batch_bases: int = Field(16_384, ge=1, description="Bases in a batch over all ranks and parts.")

    @model_validator(mode="after")
    def _lengths_fit(self) -> "SamplingSettings":
        if not self.one_length and self.min_window > self.window:
            raise ValueError(
                f"min_window {self.min_window} is longer than window {self.window}; "
                "lower it or use one_length"
            )
        if self.batch_bases // self.shortest > MAX_ROWS:
            raise ValueError(
                f"batch_bases {self.batch_bases} makes more than {MAX_ROWS} windows a batch"
            )
        return self

    @property
    def shortest(self) -> int:
        """The shortest window that is drawn, in bp."""
        return self.window if self.one_length else self.min_window


@dataclass(frozen=True)
class Split:
    """What is trained on and what is held out, as runs (K, 2) of store offsets.

    `how` is "named", "contigs" or "blocks"; `fraction` the share of usable bases held out;
    `validation_chroms` the held-out chromosomes, empty for blocks; `text` says it in one line.
    """

    train: Runs
    validation: Runs
    how: Literal["named", "contigs", "blocks"]
    fraction: float
    validation_chroms: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class RawWindows:
    """B windows of `length` bases and the bases behind them: each (B, length + margin).

    codes uint8; inside bool, False where the margin leaves the window's run (codes say N there);
    soft bool, lower case.
    """

    codes: Tensor
    inside: Tensor
    soft: Tensor
    length: int

    def to(self, device: torch.device | str) -> "RawWindows":
        """The same windows on `device`."""
        return RawWindows(
            self.codes.to(device), self.inside.to(device), self.soft.to(device), self.length
        )


# Usable runs ------------------------------------------------------------------------------------


def usable_runs(genome: Genome, settings: SamplingSettings) -> Runs:
    """Runs that windows may be drawn from, before anything is held out.

    Records, without organelles and unwanted contigs, within `include`, without `exclude`, and cut
    at runs of N that no window may hold. Runs shorter than the shortest window are left out.
    Raises `BadInput` if no window fits.
    """
    wanted = _wanted_records(genome, settings)
    runs = np.stack([genome.offsets, genome.offsets + genome.lengths], axis=1)[wanted]
    if settings.include is not None:
        runs = intersect(runs, _bed_runs(genome, settings.include))
    if settings.exclude is not None:
        runs = subtract(runs, _bed_runs(genome, settings.exclude))
    gaps = genome.n_runs[_sizes(genome.n_runs) > _most(settings.max_n, settings.window)]
    runs = subtract(runs, gaps)
    longest = int(_sizes(runs).max(initial=0))
    if longest < settings.window:
        raise BadInput(
            f"no window of {settings.window:,} bp fits: the longest usable run of the genome has "
            f"{longest:,} bp",
            file=genome.source,
            remedy="use a smaller --window, or look at --include, --exclude, --contigs and "
            "--organelles",
        )
    return runs[_sizes(runs) >= settings.shortest]


def _wanted_records(genome: Genome, settings: SamplingSettings) -> NDArray[np.bool_]:
    """Whether each record (R,) is read; an organelle is if `contigs` names it."""
    if settings.contigs is not None:
        named = {genome.resolve(chrom) for chrom in settings.contigs}
        return np.array([chrom in named for chrom in genome.chroms], dtype=np.bool_)
    if settings.organelles:
        return np.ones(len(genome.chroms), dtype=np.bool_)
    wanted = np.array([not is_organelle(chrom) for chrom in genome.chroms], dtype=np.bool_)
    if not wanted.any():
        raise BadInput(
            "has organelle contigs only, which are left out",
            file=genome.source,
            remedy="give --organelles to read them",
        )
    return wanted


def _bed_runs(genome: Genome, path: Path) -> Runs:
    return to_store(genome, read_bed(path), source=str(path))


def _most(share: float, length: int) -> int:
    """The largest number of bases that is no more than `share` of a window."""
    return int(share * length + 1e-9)


def _sizes(runs: Runs) -> Offsets:
    return runs[:, 1] - runs[:, 0]


# Hold-out ---------------------------------------------------------------------------------------


def split_genome(genome: Genome, settings: SamplingSettings, seed: int = 0) -> Split:
    """Hold bases out for validation: what is named, else contigs, else blocks with a guard.

    Without names, whole source chromosomes are held out if there are at least 20 that can be, in
    the order of a hash of their names; else blocks of a fixed grid in source coordinates, with one
    window on both sides in neither part. Either way it is 2 to 10 % of the usable bases. The hold-
    out depends on names, places and `seed`, never on the order of the records.
    """
    runs = usable_runs(genome, settings)
    if settings.validation_chroms is not None:
        return _split_named(genome, runs, settings)
    return _split_contigs(genome, runs, settings, seed) or _split_blocks(
        genome, runs, settings, seed
    )


def _split_named(genome: Genome, runs: Runs, settings: SamplingSettings) -> Split:
    assert settings.validation_chroms is not None
    named = tuple(dict.fromkeys(genome.resolve(chrom) for chrom in settings.validation_chroms))
    held = np.isin(_chroms_of(genome, runs), named)
    for part, what in ((runs[held], "to validate on"), (runs[~held], "to train on")):
        if _sizes(part).max(initial=0) < settings.window:
            raise BadInput(
                f"holding out {', '.join(named)} leaves no run of {settings.window:,} bp {what}",
                file=genome.source,
                remedy="name other --validation-chroms, or none",
            )
    split = _split(
        genome,
        "named",
        runs[~held],
        runs[held],
        int(_sizes(runs).sum()),
        f"held out by name: {_list(named)}",
        named,
    )
    if not _LEAST_HELD_OUT <= split.fraction <= _MOST_HELD_OUT:
        log.warning(
            "%s holds %.2g %% of the usable bases; 2 to 10 %% is usual for validation",
            _list(named),
            100 * split.fraction,
        )
    return split


def _split_contigs(
    genome: Genome, runs: Runs, settings: SamplingSettings, seed: int
) -> Split | None:
    """Whole source chromosomes; None if there are too few, or no set of them is 2 to 10 %."""
    chroms, which = np.unique(_chroms_of(genome, runs), return_inverse=True)
    bases = np.bincount(which, weights=_sizes(runs)).astype(np.int64)
    longest = np.zeros(len(chroms), dtype=np.int64)
    np.maximum.at(longest, which, _sizes(runs))
    able = np.flatnonzero(longest >= settings.window)
    if len(able) < _ENOUGH_CONTIGS:
        return None
    order = sorted(able.tolist(), key=lambda i: _name_hash(seed, str(chroms[i])))
    usable = int(bases.sum())
    chosen = _fill(order, bases, settings.validation_fraction, usable)
    if bases[chosen].sum() < _LEAST_HELD_OUT * usable:
        return None
    held = np.isin(which, chosen)
    names = tuple(str(chroms[i]) for i in chosen)
    return _split(
        genome,
        "contigs",
        runs[~held],
        runs[held],
        usable,
        f"held out {len(names)} of {len(chroms):,} contigs by a hash of names: {_list(names)}",
        names,
    )


def _split_blocks(genome: Genome, runs: Runs, settings: SamplingSettings, seed: int) -> Split:
    """Blocks of a grid in source coordinates, chosen by a hash of chromosome and block number."""
    window, usable = settings.window, int(_sizes(runs).sum())
    size = window << max(0, (usable // (_BLOCKS * window)).bit_length() - 1)
    chroms, chrom = np.unique(_chroms_of(genome, runs), return_inverse=True)
    pieces, run, block = _grid_pieces(genome, runs, size)
    able = _sizes(pieces) >= window
    pieces, places = pieces[able], np.stack([chrom[run], block], axis=1)[able]
    blocks, which = np.unique(places, axis=0, return_inverse=True)
    bases = np.bincount(which, weights=_sizes(pieces), minlength=len(blocks)).astype(np.int64)
    order = sorted(
        range(len(blocks)),
        key=lambda i: _name_hash(seed, str(chroms[blocks[i, 0]]), int(blocks[i, 1])),
    )
    chosen = _fill(order, bases, settings.validation_fraction, usable)
    guarded = [
        _spans(genome, str(chroms[c]), k * size - window, (k + 1) * size + window)
        for c, k in blocks[chosen].tolist()
    ]
    train = subtract(runs, np.concatenate(guarded)) if guarded else runs
    train = train[_sizes(train) >= settings.shortest]
    too_little = bases[chosen].sum() < _LEAST_HELD_OUT * usable
    if too_little or _sizes(train).max(initial=0) < window:
        raise BadInput(
            f"{usable:,} usable bases are too few to hold out 2 to 10 % of them in windows of "
            f"{window:,} bp",
            file=genome.source,
            remedy="use a smaller --window, or name --validation-chroms",
        )
    how = (
        f"held out {len(chosen)} blocks of {size:,} bp by a hash of their places, one window apart"
    )
    return _split(genome, "blocks", train, pieces[np.isin(which, chosen)], usable, how, ())


def _fill(order: list[int], bases: Offsets, fraction: float, usable: int) -> list[int]:
    """The first of `order` that reach `fraction` of the usable bases and stay below a tenth."""
    chosen: list[int] = []
    held = 0
    for i in order:
        if held >= fraction * usable:
            break
        if held + bases[i] <= _MOST_HELD_OUT * usable:
            chosen.append(i)
            held += int(bases[i])
    return chosen


def _split(
    genome: Genome,
    how: Literal["named", "contigs", "blocks"],
    train: Runs,
    validation: Runs,
    usable: int,
    said: str,
    chroms: tuple[str, ...],
) -> Split:
    held = int(_sizes(validation).sum())
    text = (
        f"{usable:,} of {genome.total:,} bases are usable; {said}: "
        f"{held:,} bases, {100 * held / usable:.1f} %"
    )
    return Split(train, validation, how, held / usable, chroms, text)


def _chroms_of(genome: Genome, runs: Runs) -> NDArray[np.str_]:
    """Source chromosome (K,) of each run."""
    return np.array(genome.chroms, dtype=np.str_)[genome.record_at(runs[:, 0])]


def _grid_pieces(
    genome: Genome, runs: Runs, size: int
) -> tuple[Runs, NDArray[np.int64], NDArray[np.int64]]:
    """Runs cut at the multiples of `size` in source coordinates: pieces, their run, their block."""
    record = genome.record_at(runs[:, 0])
    shift = genome.starts[record] - genome.offsets[record]
    first = (runs[:, 0] + shift) // size
    counts = (runs[:, 1] + shift - 1) // size - first + 1
    run = np.repeat(np.arange(len(runs)), counts)
    block = first[run] + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    low = np.maximum(runs[run, 0], block * size - shift[run])
    high = np.minimum(runs[run, 1], (block + 1) * size - shift[run])
    return np.stack([low, high], axis=1), run, block


def _spans(genome: Genome, chrom: str, start: int, end: int) -> Runs:
    """Store runs of [start, end) of a source chromosome: one a record, empty where it has none."""
    records = genome.records_of(chrom)
    here = np.clip([[start, end]], genome.starts[records, None], genome.ends[records, None])
    return np.asarray(here + (genome.offsets - genome.starts)[records, None])


def _name_hash(seed: int, name: str, number: int = 0) -> bytes:
    """A fixed random order of places, whatever the order of the file."""
    return hashlib.blake2b(f"{seed}:{name}:{number}".encode(), digest_size=8).digest()


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# Starts -----------------------------------------------------------------------------------------


class _Coverage:
    """How many bases of sorted runs lie in a span, without a look at the genome."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._before = np.append(0, np.cumsum(_sizes(runs)))
        self._ends = np.append(0, runs[:, 1])

    def within(self, starts: Offsets, length: int) -> Offsets:
        """Covered bases of [start, start + length), same shape as `starts`."""
        return np.asarray(self._upto(starts + length) - self._upto(starts))

    def _upto(self, offsets: Offsets) -> Offsets:
        run = np.searchsorted(self.runs[:, 0], offsets, side="right")
        beyond = np.maximum(0, self._ends[run] - offsets)
        return np.asarray(self._before[run] - beyond)


@dataclass(frozen=True)
class _Limit:
    """No more than `share` of a window may be covered."""

    coverage: _Coverage
    share: float

    def passes(self, starts: Offsets, length: int) -> NDArray[np.bool_]:
        return self.coverage.within(starts, length) <= _most(self.share, length)

    def allowed(self, among: Runs, length: int) -> Runs:
        """The starts within `among` (runs of starts) that pass, as runs of starts.

        What a window covers changes by at most one from a start to the next, and its slope changes
        only where an end of the window meets an end of a covered run: between such points it is a
        line, and the starts below the limit are found by arithmetic.
        """
        ends = self.coverage.runs.ravel()
        points = np.unique(np.concatenate([among.ravel(), ends, ends - length]))
        if len(points) < 2 or not len(among):
            return among[:0]
        low, high = points[:-1], points[1:]
        run = np.searchsorted(among[:, 0], low, side="right") - 1
        inside = (run >= 0) & (low < among[run, 1])
        low, high = low[inside], high[inside]
        spare = _most(self.share, length) - self.coverage.within(low, length)
        slope = self.coverage.within(low + 1, length) - self.coverage.within(low, length)
        rising = np.minimum(high, low + spare + 1)
        falling = np.maximum(low, low - spare)
        flat_end = np.where(spare >= 0, high, low)
        first = np.where(slope < 0, falling, low)
        last = np.select([slope < 0, slope > 0], [high, rising], flat_end)
        starts: Runs = np.stack([first, last], axis=1)[last > first]
        return starts


class _Starts:
    """The allowed starts of windows of any length, and uniform draws from them."""

    def __init__(self, genome: Genome, runs: Runs, max_n: float, soft_limit: float | None) -> None:
        self.source, self.runs = genome.source, runs
        self.limits = [_Limit(_Coverage(genome.n_runs), max_n)]
        if soft_limit is not None:
            self.limits.append(_Limit(_Coverage(genome.soft_runs), soft_limit))
        self._exact: tuple[int, Runs] = (0, runs[:0])

    def draw(
        self, length: int, seed: int, epoch: int, ids: NDArray[np.int64], purpose: Purpose
    ) -> Offsets:
        """Starts (B,), uniform over the allowed ones.

        A start that breaks a limit is drawn again; after some attempts the allowed starts are
        worked out and drawn from.
        """
        among = self.fitting(length)
        starts = np.empty(len(ids), dtype=np.int64)
        rows = np.arange(len(ids))
        for attempt in range(_REDRAWS):
            starts[rows] = _pick(among, row_hash(seed, epoch, ids[rows], purpose, attempt))
            rows = rows[~self._passes(starts[rows], length)]
            if not len(rows):
                return starts
        bits = row_hash(seed, epoch, ids[rows], purpose, _REDRAWS)
        starts[rows] = _pick(self.allowed(length), bits)
        return starts

    def fitting(self, length: int) -> Runs:
        """Runs of starts whose window lies in one run, limits aside; `BadInput` without any."""
        fits: Runs = self.runs[_sizes(self.runs) >= length]
        if not len(fits):
            longest = int(_sizes(self.runs).max(initial=0))
            raise BadInput(
                f"no window of {length:,} bp fits: the longest run has {longest:,} bp",
                file=self.source,
                remedy="use a smaller --window",
            )
        return np.stack([fits[:, 0], fits[:, 1] - (length - 1)], axis=1)

    def allowed(self, length: int) -> Runs:
        """Runs of starts that keep every limit; `BadInput` if there is none."""
        if self._exact[0] != length:
            starts = self.fitting(length)
            for limit in self.limits:
                starts = limit.allowed(starts, length)
            self._exact = (length, starts)
        if not len(self._exact[1]):
            shares = ", ".join(
                f"{100 * limit.share:g} % {what}"
                for limit, what in zip(self.limits, ("N", "lower case"), strict=False)
            )
            raise BadInput(
                f"no window of {length:,} bp has at most {shares}",
                file=self.source,
                remedy="use a smaller --window, a larger --max-n or another --soft-mask",
            )
        return self._exact[1]

    def _passes(self, starts: Offsets, length: int) -> NDArray[np.bool_]:
        passes = np.ones(len(starts), dtype=np.bool_)
        for limit in self.limits:
            passes &= limit.passes(starts, length)
        return passes


def _pick(among: Runs, bits: NDArray[np.uint64]) -> Offsets:
    """The start, uniform among runs of starts, that 64 random bits choose; same shape."""
    upto = np.cumsum(_sizes(among))
    return _at_rank(among, upto, (bits % np.uint64(upto[-1])).astype(np.int64))


def _at_rank(among: Runs, upto: Offsets, rank: Offsets) -> Offsets:
    run = np.searchsorted(upto, rank, side="right")
    starts: Offsets = among[run, 1] - (upto[run] - rank)
    return starts


def fixed_windows(
    genome: Genome, runs: Runs, length: int, count: int, seed: int, max_n: float
) -> Offsets:
    """Starts (count,) of windows for validation: spread evenly over `runs`, the same every time.

    One is drawn in each of `count` equal parts of the allowed starts; where there are fewer starts
    than that, some come twice. Raises `BadInput` if no window fits or keeps the limit of N.
    """
    among = _Starts(genome, runs, max_n, None).allowed(length)
    upto = np.cumsum(_sizes(among))
    number = np.arange(count, dtype=np.int64)
    within = row_hash(seed, 0, number, Purpose.VALIDATION_START) % np.uint64(upto[-1])
    return _at_rank(among, upto, (number * upto[-1] + within.astype(np.int64)) // count)


class WindowSampler:
    """Windows of the training runs: number i of an epoch is a function of (seed, epoch, i).

    All windows of a batch have one length. `soft_weight` is the loss weight of a lower-case base.
    """

    def __init__(self, genome: Genome, runs: Runs, settings: SamplingSettings, seed: int) -> None:
        """Raises `BadInput` if no window can be drawn."""
        self.settings, self.seed = settings, seed
        self.soft_weight = settings.soft_mask_weight if settings.soft_mask == "downweight" else 1.0
        soft_limit = _SOFT_LIMIT if settings.soft_mask == "exclude" else None
        self._runs, self._store = runs, genome.store
        self._starts = _Starts(genome, runs, settings.max_n, soft_limit)
        self._read_bytes = 0
        self._placed: dict[torch.device, DeviceStore | None] = {}
        for length in (settings.window, settings.shortest):
            self.draw(0, np.zeros(1, dtype=np.int64), length)

    def batch_length(self, epoch: int, batch: int) -> int:
        """Length of the windows of a batch: log-uniform from the shortest to the longest."""
        low, high = self.settings.shortest, self.settings.window
        lengths = np.unique(np.rint(np.geomspace(low, high, _LENGTHS)).astype(np.int64))
        drawn = uniform(row_hash(self.seed, epoch, np.array([batch]), Purpose.BATCH_LENGTH))
        return int(lengths[int(float(drawn[0]) * len(lengths))])

    def batch_windows(self, epoch: int, batch: int) -> int:
        """Windows in a batch: as many as its bases allow, over all ranks and parts."""
        return max(1, self.settings.batch_bases // self.batch_length(epoch, batch))

    def sample_ids(self, epoch: int, batch: int) -> NDArray[np.int64]:
        """Numbers (B,) of a batch's windows, unique within the epoch."""
        return batch * MAX_ROWS + np.arange(self.batch_windows(epoch, batch), dtype=np.int64)

    def draw(self, epoch: int, ids: NDArray[np.int64], length: int) -> Offsets:
        """Store offsets (B,) where the windows start: uniform over all allowed starts.

        A window lies within one run and keeps the limit of N (and of lower case, if excluded).
        """
        return self._starts.draw(length, self.seed, epoch, ids, Purpose.WINDOW_START)

    def read(
        self,
        starts: Offsets,
        length: int,
        margin: int = 20,
        device: torch.device | str = "cpu",
    ) -> RawWindows:
        """The bases of windows on `device`, with `margin` more behind each as far as its run goes.

        On a CUDA device with room for the genome they are read there, the same bit for bit.
        """
        ends = self._runs[np.searchsorted(self._runs[:, 0], starts, side="right") - 1, 1]
        store = self._store_on(torch.device(device))
        if store is None:
            here = self._read_here(starts, ends, length, margin)
            stored, inside = (sent(array, device) for array in here)
        else:
            stored, inside = store.read(starts, ends, length, margin)
        return RawWindows(stored & CODE_BITS, inside, (stored & SOFT_BIT).bool(), length)

    def _store_on(self, device: torch.device) -> DeviceStore | None:
        if device not in self._placed:
            self._placed[device] = placed(self._store, device)
        return self._placed[device]

    def _read_here(
        self, starts: Offsets, ends: Offsets, length: int, margin: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Stored bytes and inside (B, length + margin) from the memory map."""
        rows = np.lib.stride_tricks.sliding_window_view(self._store, length)[starts]
        behind = starts[:, None] + np.arange(length, length + margin)
        known = behind < ends[:, None]
        margins = np.where(known, self._store[np.where(known, behind, 0)], N)
        stored = np.concatenate([rows, margins.astype(np.uint8)], axis=1)
        inside = np.concatenate([np.ones(rows.shape, dtype=np.bool_), known], axis=1)
        self._release(stored.size)
        return stored, inside

    def _release(self, read: int) -> None:
        """Hand the pages of the memory map back now and then; the next read finds them cached."""
        self._read_bytes += read
        mapped = getattr(self._store, "_mmap", None)
        if self._read_bytes < _RELEASE_EVERY or mapped is None:
            return
        self._read_bytes = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
