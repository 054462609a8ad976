"""The values of a scan, chunk by chunk: surprise of bases, components and classes of windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from findna.files import log
from findna.inference.answers import require_task, task_outputs
from findna.inference.embed import embeddings
from findna.inference.masked import masked_log_probs
from findna.inference.predict import track_values
from findna.inference.progress import WorkProgress
from findna.inference.rows import LengthWarning
from findna.inference.scanning.browser import Track
from findna.inference.scanning.components import (
    Components,
    Relation,
    Relations,
    fit_components,
    sample_rows,
)
from findna.inference.scanning.plan import Plan, window_tracks
from findna.inference.scanning.sliding import (
    Bins,
    Composition,
    Windows,
    asked_runs,
    by_chrom,
    composition,
    count_windows,
    letters,
    means_of_known,
    slide,
)
from findna.inference.tiles import usual_flank
from findna.model.model import Model
from findna.sequence.alphabet import Codes, N, Strand, codes_of
from findna.sequence.genome import Genome
from findna.sequence.regions import Integers
from findna.sequence.tracks import TrackPiece

Floats = NDArray[np.floating[Any]]
Put = Callable[[str, TrackPiece], None]

MAX_N = 0.5  # share of N above which a window has no value
SETS = 4  # one base in so many is hidden at once
_FITTED = 2048  # windows that components are fitted on


class Row(NamedTuple):
    """A track, its correlation with composition, and the share of variance of a component."""

    track: Track
    relation: Relation
    variance: float


def surprise(
    model: Model,
    codes: Codes,
    *,
    sets: int = SETS,
    strand: Strand = "both",
    batch_bases: int | None = None,
) -> Floats:
    """Surprise in bits (n, L) of every known base of n windows (n, L); NaN at N.

    -log2 P(base | visible bases of its window), mean of both strands unless `strand` is "forward".
    One base in `sets` is hidden at once. Four sets cost half as much as eight, and hide a quarter,
    near the mean of training: on yeast the bits correlate by 0.984 and are 0.003 higher.
    """
    found = masked_log_probs(model, codes, sets=sets, strand=strand, batch_bases=batch_bases)
    of_base = np.take_along_axis(found, np.minimum(codes, N - 1)[..., None].astype(np.int64), -1)
    return np.asarray(of_base[..., 0] / -np.log(2), np.float32)


# ---------------------------------------------------------------- bases


def scan_surprise(plan: Plan, track: Track, put: Put) -> Row:
    """Write the surprise of all requested bases, piece by piece."""
    genome, flank = plan.genome, usual_flank(plan.window)
    relations = Relations(count_windows(genome, plan.asked, plan.window, flank), plan.seed)
    bins = Bins(plan.bin)
    lengths = LengthWarning(plan.model)
    with WorkProgress("surprise", plan.bases) as progress:
        for windows in slide(genome, plan.asked, plan.window, flank):
            edges = np.append(0, np.cumsum(windows.keep_ends - windows.keep_starts))
            lengths.look_at(windows.ends - windows.starts)
            bits = _kept_bits(plan, windows, edges)
            offsets = np.arange(edges[-1]) + np.repeat(
                windows.keep_starts - edges[:-1], np.diff(edges)
            )
            for chrom, rows, shift in by_chrom(genome, windows.keep_starts):
                here = slice(edges[rows.start], edges[rows.stop])
                for piece in bins.add(chrom, offsets[here] + shift, bits[here]):
                    put(track.name, piece)
            made_of = composition(genome, windows.keep_starts, windows.keep_ends)
            relations.add(means_of_known(bits, edges[:-1])[:, None], made_of)
            progress.advance(int(edges[-1]))
    for piece in bins.rest():
        put(track.name, piece)
    return Row(track, relations.of(0), float("nan"))


def _kept_bits(plan: Plan, windows: Windows, edges: Integers) -> Floats:
    """Surprise of the kept bases of n windows, concatenated: window i from `edges[i]` to
    `edges[i + 1]`.
    """
    kept = np.full(int(edges[-1]), np.nan, np.float32)
    first = windows.keep_starts - windows.starts
    for rows, stored in letters(plan.genome, windows.starts, windows.ends):
        codes = codes_of(stored)
        some = (codes < N).any(1)
        found = surprise(
            plan.model,
            codes[some],
            sets=plan.sets,
            strand=plan.both,
            batch_bases=plan.batch_bases,
        )
        for row, bits in zip(rows[some].tolist(), found, strict=True):
            width = edges[row + 1] - edges[row]
            kept[edges[row] : edges[row + 1]] = bits[first[row] : first[row] + width]
    return kept


# ---------------------------------------------------------------- windows


class Answered(NamedTuple):
    """n windows, their composition, embeddings (n, D) and values (n, T).

    Rows of windows that are mostly N are NaN; D is 0 if embeddings are not needed.
    """

    windows: Windows
    made_of: Composition
    vectors: Floats
    values: Floats


def scan_windows(
    plan: Plan, components: Components | None, embed: bool, put: Put, relations: Relations
) -> Iterator[Answered]:
    """Write the values of all requested windows, and yield them chunk by chunk.

    Args:
        plan: what is scanned.
        components: fitted components, or None without that track.
        embed: whether to return embeddings.
        put: receives the pieces of the tracks.
        relations: receives the values and the composition of the windows.
    """
    tracks, lengths, silent = window_tracks(plan), LengthWarning(plan.model), 0
    with WorkProgress("windows", plan.bases) as progress:
        for windows in slide(plan.genome, plan.asked, plan.window, plan.flank):
            lengths.look_at(windows.ends - windows.starts)
            answered = _answered(plan, windows, components, embed)
            for chrom, rows, shift in by_chrom(plan.genome, windows.keep_starts):
                places = (windows.keep_starts[rows] + shift, windows.keep_ends[rows] + shift)
                for track, column in zip(tracks, answered.values[rows].T, strict=True):
                    put(track.name, TrackPiece(chrom, *places, column))
            relations.add(answered.values, answered.made_of)
            yield answered
            silent += int((answered.made_of.n > MAX_N).sum())
            progress.advance(int((windows.keep_ends - windows.keep_starts).sum()))
    if silent:
        log.warning("%s windows are more than half N and get no value", f"{silent:,}")


def nothing_answered(plan: Plan) -> Answered:
    """The result for no windows, with all columns."""
    none = np.empty(0, np.int64)
    made_of = Composition(*(np.empty(0) for _ in Composition._fields))
    vectors = np.empty((0, plan.model.config.backbone.width), np.float32)
    values = np.empty((0, len(window_tracks(plan))))
    return Answered(Windows(none, none, none, none), made_of, vectors, values)


def _answered(plan: Plan, windows: Windows, components: Components | None, embed: bool) -> Answered:
    made_of = composition(plan.genome, windows.starts, windows.ends)
    usable = made_of.n <= MAX_N
    vectors: Floats = np.empty((len(usable), 0), np.float32)
    columns: list[Floats] = []
    if embed or components is not None:
        vectors = _vectors(plan, windows, usable)
    if components is not None:
        missing = np.full((len(usable), plan.components - len(components.shares)), np.nan)
        columns += [components.of(vectors), missing]
    if "classes" in plan.kinds:
        columns.append(_class_values(plan, windows, usable))
    values = np.concatenate([np.empty((len(usable), 0)), *columns], 1)
    return Answered(windows, made_of, vectors, values)


def _class_values(plan: Plan, windows: Windows, usable: NDArray[np.bool_]) -> Floats:
    """Probabilities, or regression values, (n, T) of n windows; NaN where not usable."""
    task = require_task(plan.model)
    found = np.full((len(usable), task.outputs), np.nan)
    if usable.any():
        logits = task_outputs(
            plan.model,
            _codes(plan.genome, windows, usable),
            strand=plan.strand,
            batch_bases=plan.batch_bases,
        )
        found[usable] = track_values(logits, task, False)
    return found


def fit(plan: Plan) -> Components:
    """Components of a sample of windows of the whole genome, even if only part is scanned."""
    genome, flank = plan.genome, plan.flank
    everything = asked_runs(genome, None)
    total = count_windows(genome, everything, plan.window, flank)
    wanted = sample_rows(total, _FITTED, plan.seed)
    vectors, gc, seen = [], [], 0
    with WorkProgress("components", len(wanted) * plan.window) as progress:
        for windows in slide(genome, everything, plan.window, flank):
            rows = wanted[(wanted >= seen) & (wanted < seen + len(windows.starts))] - seen
            seen += len(windows.starts)
            chosen = Windows(*(places[rows] for places in windows))
            made_of = composition(genome, chosen.starts, chosen.ends)
            usable = made_of.n <= MAX_N
            vectors.append(_vectors(plan, chosen, usable)[usable])
            gc.append(made_of.gc[usable])
            progress.advance(len(rows) * plan.window)
    found = fit_components(np.concatenate(vectors), np.concatenate(gc), plan.components)
    if len(found.shares) < plan.components:
        log.warning("%d windows have only %d components", sum(map(len, gc)), len(found.shares))
    return found


def _vectors(plan: Plan, windows: Windows, usable: NDArray[np.bool_]) -> Floats:
    """Embeddings (n, D) of n windows; NaN where they are not usable."""
    found = np.full((len(usable), plan.model.config.backbone.width), np.nan, np.float32)
    if usable.any():
        found[usable] = embeddings(
            plan.model,
            _codes(plan.genome, windows, usable),
            strand=plan.both,
            batch_bases=plan.batch_bases,
        )
    return found


def _codes(genome: Genome, windows: Windows, usable: NDArray[np.bool_]) -> list[Codes]:
    places = zip(windows.starts[usable].tolist(), windows.ends[usable].tolist(), strict=True)
    return [codes_of(genome.store[start:end]) for start, end in places]
