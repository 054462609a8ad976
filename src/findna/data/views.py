"""Two views of a window, one for the student and one for the teacher.

The student reads the window on either strand, sometimes with an inserted run of N; the teacher
reads it with a deletion, an insertion and a rotation. The draws of a window, a few integers, are
made in numpy on the host; its bases are moved on the device, without a loop over the batch. The
same code applied to column numbers instead of bases gives the provenance.

Letters in shapes: B windows, L bases, M bases of margin after them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from findna.data.on_device import sent
from findna.data.randomness import Purpose, Samples, integers, random_bases, row_hash, uniform
from findna.data.windows import RawWindows
from findna.sequence.alphabet import N
from findna.settings import Settings

DRAWN = -1
_Rows = NDArray[np.int64]
_TEACHER_DRAWS = (
    Purpose.DELETION_LENGTH,
    Purpose.INSERTION_LENGTH,
    Purpose.ROTATION,
    Purpose.DELETION_PLACE,
    Purpose.INSERTION_PLACE,
    Purpose.DRAWN_BASES,
)


class ViewSettings(Settings):
    """How much a view may differ from its window."""

    reverse_complement: float = Field(
        0.5, ge=0, le=1, description="Probability that the student reads the other strand."
    )
    n_runs: float = Field(
        0.05, ge=0, le=1, description="Probability that a run of N is put into the student's view."
    )
    n_run_longest: int = Field(
        20, ge=1, description="Longest run of N; all lengths from one base up are equally likely."
    )
    indel: int = Field(
        20, ge=0, description="Longest deletion and longest insertion in the teacher's view, in bp."
    )
    translocation: int = Field(
        20, ge=0, description="Largest rotation of the teacher's view in either direction, in bp."
    )
    crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Fraction of the window that the student reads, as one stretch at a random"
        " position.",
    )
    noise: float = Field(
        0.2,
        ge=0,
        description="Standard deviation of Gaussian noise added to the student's embedding.",
    )

    def cropped_length(self, length: int) -> int:
        """Bases of a window of `length` that the student reads."""
        return max(1, round(self.crop * length))


@dataclass(frozen=True)
class View:
    """Codes uint8 (B, L) of a view."""

    codes: Tensor
    _provenance: Callable[[], Tensor]

    @property
    def provenance(self) -> Tensor:
        """Where each base comes from, int64 (B, L): a position in the window or, from L on, in the
        margin after it; -1 for a random base. Computed on demand.
        """
        return self._provenance()


class Reading(NamedTuple):
    """From position `start` (B,) on, a view reads the source `offset` (B,) columns ahead."""

    start: _Rows
    offset: _Rows


def cropped(
    raw: RawWindows, seed: int, epoch: int, ids: Samples, settings: ViewSettings
) -> RawWindows:
    """A random crop of each window, without a margin, for the student (multi-crop: Caron et al.
    2021).
    """
    length = settings.cropped_length(raw.length)
    if length == raw.length:
        return raw
    starts = integers(row_hash(seed, epoch, ids, Purpose.CROP), raw.length - length + 1)
    read = _index(starts[:, None] + np.arange(length), raw.codes)
    codes, inside, soft = (each.gather(1, read) for each in (raw.codes, raw.inside, raw.soft))
    return RawWindows(codes, inside, soft, length)


def reverse_complement(codes: Tensor) -> Tensor:
    """The reverse complement of codes (..., L) of any integer type, without padding."""
    turned = codes.flip(-1)
    # A C G T are 0 to 3, so the complement is 3 - code, which is code ^ 3; N and above stay.
    known = (turned >> 2).sub_(1).bitwise_and_(3)
    return turned.bitwise_xor_(known)


def student_view(
    raw: RawWindows, seed: int, epoch: int, ids: Samples, settings: ViewSettings
) -> View:
    """Either strand of each window, sometimes with an inserted run of N that pushes its end out."""
    length = raw.length
    strand, gap, gap_length, gap_place = row_hash(
        seed, epoch, ids, (Purpose.STRAND, Purpose.N_RUN, Purpose.N_RUN_LENGTH, Purpose.N_RUN_PLACE)
    )
    turned = np.flatnonzero(uniform(strand) < settings.reverse_complement)
    with_gap = np.flatnonzero(uniform(gap) < settings.n_runs)
    longest = min(settings.n_run_longest, max(1, length // 4))
    gaps = 1 + integers(gap_length[with_gap], longest)
    places = integers(gap_place[with_gap], length - gaps + 1)

    pushed = _pushed(length, gaps, places)

    def view(window: Tensor, filler: int, turn: Callable[[Tensor], Tensor]) -> Tensor:
        rows = _index(with_gap, window)
        filled = F.pad(window.index_select(0, rows), (0, 1), value=filler)
        window = window.index_copy(0, rows, filled.gather(1, _index(pushed, window)))
        rows = _index(turned, window)
        return window.index_copy_(0, rows, turn(window.index_select(0, rows)))

    def provenance() -> Tensor:
        columns = torch.arange(length, device=raw.codes.device).expand(len(raw.codes), length)
        return view(columns, DRAWN, lambda rows: rows.flip(1))

    return View(view(raw.codes[:, :length], N, reverse_complement), provenance)


def teacher_view(
    raw: RawWindows, seed: int, epoch: int, ids: Samples, settings: ViewSettings
) -> View:
    """Each window with a deletion, an insertion and a rotation; nothing is hidden.

    After a deletion the view continues into the margin where that is known and usable, else with
    random bases A C G T; inserted bases are random too.
    """
    length = raw.length
    longest = min(settings.indel, length // 2)
    if raw.codes.shape[1] - length < longest:
        raise ValueError(f"deletions of up to {longest} bp need a margin of as many bases")
    bits = row_hash(seed, epoch, ids, _TEACHER_DRAWS)
    furthest = min(settings.translocation, length - 1)
    highs = np.array([[longest + 1], [longest + 1], [2 * furthest + 1]])
    deleted, inserted, turn = integers(bits[:3], highs)
    cut, put = integers(bits[3:5], length + 1 - np.stack([deleted, inserted]))
    readings = _edits(cut, deleted, put, inserted, length + longest)

    window = raw.codes[:, :length]
    margin = raw.codes[:, length : length + longest]
    known = raw.inside[:, length : length + longest] & (margin < N)
    drawn = _index(random_bases(bits[5], 2 * longest), margin)
    read_on = torch.where(known, margin, drawn[:, :longest])

    def view(source: Tensor) -> Tensor:
        return _rotate(_read(source, readings, length), turn - furthest)

    def provenance() -> Tensor:
        columns = torch.arange(length + longest, device=known.device).repeat(len(known), 1)
        columns[:, length:].masked_fill_(~known, DRAWN)
        return view(torch.cat([columns, torch.full_like(known, DRAWN, dtype=torch.int64)], dim=1))

    return View(view(torch.cat([window, read_on, drawn[:, longest:]], dim=1)), provenance)


def _edits(cut: _Rows, deleted: _Rows, put: _Rows, inserted: _Rows, column: int) -> list[Reading]:
    """The readings that delete `deleted` bases at `cut` and insert `inserted` ones at `put`.

    `put` is a position after the deletion; the inserted bases are in the source from `column` on.
    """
    first = np.where(cut < put, cut, put)
    before = np.where(cut < put, deleted, 0)
    return [
        Reading(np.zeros_like(cut), np.zeros_like(cut)),
        Reading(first, before),
        Reading(put, column - put),
        Reading(put + inserted, before - inserted),
        Reading(np.maximum(cut, put) + inserted, deleted - inserted),
    ]


def _pushed(length: int, gaps: _Rows, places: _Rows) -> _Rows:
    """The column (G, L) that each position reads with `gaps` fillers (column L) at `places`."""
    position = np.arange(length)
    behind = position >= (places + gaps)[:, None]
    before = position < places[:, None]
    return np.where(before, position, np.where(behind, position - gaps[:, None], length))


def _read(source: Tensor, readings: list[Reading], length: int) -> Tensor:
    """Rows (B, length) composed from the rows of `source` (B, W), W at least `length`.

    From its start on, each reading replaces the earlier ones with the source row shifted by its
    offset. Whole rows are copied from a strided view with a row at every offset and merged under
    masks of all ones: ten times faster than one look-up per base.
    """
    rows, width = source.shape
    # A row of padding on either side: reads past a row are overwritten, but must be in bounds.
    anywhere = _windows_of(F.pad(source, (0, 0, 1, 1)).flatten(), length)
    steps = source.new_zeros(2 * length)
    steps[length:].bitwise_not_()
    masks = _windows_of(steps, length)
    home = np.arange(1, rows + 1) * width
    plan = np.stack([(home + r.offset, length - np.minimum(r.start, length)) for r in readings])
    places = sent(plan, source.device)
    view = anywhere.index_select(0, places[0, 0])
    for place, step in places[1:]:
        moved = anywhere.index_select(0, place).bitwise_xor_(view)
        view.bitwise_xor_(moved.bitwise_and_(masks.index_select(0, step)))
    return view


def _rotate(view: Tensor, turn: _Rows) -> Tensor:
    """Rows (B, L) rotated to the right by `turn` (B,), less than L."""
    rows, length = view.shape
    twice = _windows_of(torch.cat([view, view], dim=1).flatten(), length)
    return twice.index_select(0, _index(2 * length * np.arange(rows) + (-turn) % length, view))


def _windows_of(bases: Tensor, length: int) -> Tensor:
    """Every window of `length` of a vector, as overlapping rows, without a copy."""
    return bases.as_strided((len(bases) - length + 1, length), (1, 1))


def _index(numbers: NDArray[Any], like: Tensor) -> Tensor:
    return sent(numbers, like.device)
