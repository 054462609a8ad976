"""Building the index of a genome for `search`.

Two passes, each in bounded memory: the first embeds windows and writes raw vectors, the second
centres and whitens them into the vectors of the index; the raw ones are then removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from findna.files import BadInput, OutputExists, atomic_folder, is_free, log, sweep, write_json
from findna.inference.devices import pick_device, usual_batch_bases
from findna.inference.embed import embeddings
from findna.inference.progress import RecordProgress
from findna.inference.rows import LengthWarning
from findna.inference.searching.index import (
    DESCRIPTION,
    ENDS,
    FORMAT_VERSION,
    SHAPE,
    STARTS,
    VECTORS,
    Doubles,
    IndexSettings,
    Ints,
    SearchIndex,
    cached,
    fingerprint,
    read_index,
    unit,
)
from findna.model.loading import model_name, pick_model
from findna.model.model import Model, software_versions
from findna.sequence.alphabet import N, Strand, codes_of
from findna.sequence.genome import Genome
from findna.sequence.intervals import intersect, read_bed, to_store

_RAW = "raw.f32"
_FEW_WINDOWS = 4  # times the width of a vector
_AT_ONCE = 16_384  # windows per step of the second pass
_BATCHES = 16  # batches of the model between two writes
# Added to the variance of every principal direction, as a share of all variance: below it is float
# noise, and the directions that distinguish copies have shares of 1e-4 to 1e-7 in yeast.
_RIDGE = 1e-7


def index_genome(
    genome: Genome | str | Path,
    model: Model | str | Path | None = None,
    output: str | Path | None = None,
    *,
    regions: str | Path | None = None,
    window: int | None = None,
    step: int | None = None,
    max_n: float | None = None,
    strand: Strand | None = None,
    whiten: bool | None = None,
    batch_bases: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> SearchIndex:
    """Build the index of a genome that `search` reads.

    A record shorter than a window is a window of its own; the last window of a record ends at its
    end. Windows with more N than `max_n` are left out and counted.

    Args:
        genome: FASTA, or an opened genome.
        model: a model, its folder, its run or its name; None is the one that comes with findna.
        output: folder to write; None for one in the cache folder, under the digests of model,
            genome and settings.
        regions: BED; only what it covers is indexed.
        window: bases per window; None is the longest the model was trained on.
        step: bases from one window to the next; None is half a window.
        max_n: largest share of N in a window; None is 0.1.
        strand: "both" (None) averages the two strands, "forward" reads the given one.
        whiten: scale all directions of the vectors to equal variance; None does.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        device: auto, cpu, cuda or mps.
        overwrite: replace an existing index.

    Raises:
        BadInput: invalid settings, a genome without a window of few enough N, or an output that
            exists.
    """
    network = pick_model(model).to(pick_device(device)).eval()
    genome = Genome.of(genome)
    wanted = IndexSettings(window, step, max_n, strand, whiten)
    plan = _Plan(network, model_name(model, network), genome, regions, wanted)
    return _make(plan, output or cached(plan.made_from), batch_bases, overwrite)


def open_index(
    index: SearchIndex | str | Path | None,
    genome: Genome,
    model: Model,
    name: str,
    *,
    regions: str | Path | None = None,
    settings: IndexSettings,
    batch_bases: int | None = None,
) -> SearchIndex:
    """The index at `index`, or in the cache folder if None; built if it does not exist.

    `name` is the name of the model. Settings that are None accept those of an existing `index`.

    Raises:
        BadInput: it was built from another model, genome, regions or settings.
    """
    plan = _Plan(model, name, genome, regions, settings)
    if isinstance(index, SearchIndex):
        return _fitting(index, plan)
    folder = cached(plan.made_from) if index is None else Path(index)
    if is_free(folder):
        if index is None:
            sweep(folder.parent, ".tmp-*")
        try:
            return _make(plan, folder, batch_bases, overwrite=False)
        except OutputExists:  # another process was quicker
            pass
    found = _fitting(read_index(folder), plan)
    log.info("%s: using the existing index of %s windows", folder, f"{len(found):,}")
    return found


class _Plan:
    """What an index is to be built from."""

    def __init__(
        self,
        model: Model,
        name: str,
        genome: Genome,
        regions: str | Path | None,
        wanted: IndexSettings,
    ) -> None:
        self.model, self.name, self.genome, self.regions = model, name, genome, regions
        self.runs = runs_of(genome, regions)
        self.wanted, self.settings = wanted, wanted.resolved(model)
        self.made_from = fingerprint(model, genome, self.runs, self.settings)


def _fitting(index: SearchIndex, plan: _Plan) -> SearchIndex:
    """The index, if it matches everything that was requested."""
    asked = {key for key, value in asdict(plan.wanted).items() if value is not None}
    asked |= {"model", "genome", *(["regions"] if plan.regions else [])}
    had, want = index.made_from, plan.made_from
    names = {
        "model": (index.model, plan.name),
        "genome": (index.genome, plan.genome.source),
        "regions": (index.regions or "others", str(plan.regions)),
    }
    other = [
        f"{key} {_called(names.get(key), 0, had[key])}, not {_called(names.get(key), 1, want[key])}"
        for key in want
        if key in asked and had[key] != want[key]
    ]
    if other:
        raise BadInput(
            f"the index was made with {'; '.join(other)}",
            file=index.folder,
            remedy="name the folder of another index, or a new one to build it there",
        )
    if not plan.regions and had["regions"] != want["regions"]:
        log.warning(
            "%s: this index was made with --regions %s: only these are searched, and percentile"
            " and z refer to its %s windows",
            index.folder, index.regions or "", f"{len(index):,}",
        )  # fmt: skip
    return index


def _called(names: tuple[str, str] | None, which: int, value: object) -> str:
    """A setting, or a name with the start of its digest."""
    return f"{value}" if names is None else f"{names[which]} ({str(value)[:15]})"


def _make(plan: _Plan, folder: str | Path, batch_bases: int | None, overwrite: bool) -> SearchIndex:
    facts = {
        "format_version": FORMAT_VERSION,
        "made_from": plan.made_from,
        "model": plan.name,
        "genome": plan.genome.source,
        "regions": None if plan.regions is None else str(plan.regions),
        "width": plan.model.config.backbone.width,
        "software": software_versions(),
    }
    with atomic_folder(folder, overwrite, known_by=DESCRIPTION) as made:
        left_out = _embed(plan, batch_bases, made)
        _finish(made, facts, left_out)
    index = read_index(folder)
    log.info(
        "%s: built an index of %s windows of %s bp; %s with more than %g N were left out",
        folder, f"{len(index):,}", f"{plan.settings['window']:,}", f"{left_out:,}",
        plan.settings["max_n"],
    )  # fmt: skip
    if len(index) < _FEW_WINDOWS * index.vectors.shape[1]:
        log.warning(
            "the index has only %d windows: whitening, and so the similarities, are poorly"
            " estimated; a smaller --step gives more windows",
            len(index),
        )
    return index


# ---------------------------------------------------------------- what an index is made from


def runs_of(genome: Genome, regions: str | Path | None) -> Ints:
    """Runs (K, 2) of store offsets to index: the records, or the part of them that a BED covers."""
    records = genome.runs
    if regions is None:
        return records
    runs = intersect(to_store(genome, read_bed(regions), source=regions), records)
    if not len(runs):
        raise BadInput(f"covers no part of {genome.source}", file=regions)
    return runs


# ---------------------------------------------------------------- first pass: raw vectors


def windows_of(runs: Ints, window: int, step: int) -> Iterator[tuple[Ints, Ints]]:
    """Starts and ends (m,) of the windows of each run (K, 2), run by run.

    They begin every `step` bases; the last one ends at the end of the run, and a run shorter than a
    window is one window.
    """
    for start, end in runs.tolist():
        last = max(start, end - window)
        starts = np.append(np.arange(start, last, step, dtype=np.int64), last)
        yield starts, np.minimum(starts + window, end)


def _embed(plan: _Plan, batch_bases: int | None, folder: Path) -> int:
    """Write coordinates and raw vectors of the windows that are kept; how many were left out."""
    model, genome, settings, left_out = plan.model, plan.genome, plan.settings, 0
    bases = batch_bases or usual_batch_bases(model.device)
    together = max(1, _BATCHES * bases // settings["window"])
    windows = windows_of(plan.runs, settings["window"], settings["step"])
    warner = LengthWarning(model)
    with (
        open(folder / _RAW, "wb") as raw,
        open(folder / STARTS, "wb") as place,
        open(folder / ENDS, "wb") as limit,
        RecordProgress("index") as progress,
    ):
        for starts, ends in _batches(windows, together):
            codes = [codes_of(genome.store[s:e]) for s, e in zip(starts, ends, strict=True)]
            keep = np.array([(c == N).mean() <= settings["max_n"] for c in codes])
            kept = [c for c, wanted in zip(codes, keep, strict=True) if wanted]
            left_out += len(codes) - len(kept)
            warner.look_at((ends - starts)[keep])
            found = embeddings(model, kept, strand=settings["strand"], batch_bases=bases)
            for stream, values in ((raw, found), (place, starts[keep]), (limit, ends[keep])):
                _write(stream, values)
            progress.advance(len(codes), int((ends - starts).sum()))
    return left_out


def _batches(windows: Iterator[tuple[Ints, Ints]], together: int) -> Iterator[tuple[Ints, Ints]]:
    """The same windows, `together` at a time, across runs."""
    waiting: list[tuple[Ints, Ints]] = []
    held = 0
    for starts, ends in windows:
        waiting.append((starts, ends))
        held += len(starts)
        if held >= together:
            yield from _cut(waiting, together)
            waiting, held = [], 0
    yield from _cut(waiting, together)


def _cut(waiting: list[tuple[Ints, Ints]], together: int) -> Iterator[tuple[Ints, Ints]]:
    if not waiting:
        return
    starts, ends = (np.concatenate(column) for column in zip(*waiting, strict=True))
    for at in range(0, len(starts), together):
        yield starts[at : at + together], ends[at : at + together]


def _write(stream: IO[bytes], values: NDArray[Any]) -> None:
    stream.write(np.ascontiguousarray(values).tobytes())


# ---------------------------------------------------------------- second pass: unit vectors


def _finish(folder: Path, facts: dict[str, Any], left_out: int) -> None:
    """Turn raw vectors into vectors of the index, and write its description."""
    width, windows = facts["width"], (folder / STARTS).stat().st_size // 8
    if not windows:
        raise BadInput(
            f"all windows of {facts['genome']} have too many N",
            remedy="raise --max-n, or check the genome with findna info",
        )
    raw = np.memmap(folder / _RAW, np.float32, "r", shape=(windows, width))
    mean, second = moments(raw)
    turn = (
        whitening(second - np.outer(mean, mean)) if facts["made_from"]["whiten"] else np.eye(width)
    )
    with open(folder / VECTORS, "wb") as stream:
        for block in _blocks(raw):
            _write(stream, unit((block - mean) @ turn).astype(np.float16))
    unit_mean, unit_second = moments(
        np.memmap(folder / VECTORS, np.float16, "r", shape=(windows, width))
    )
    del raw
    (folder / _RAW).unlink()
    with open(folder / SHAPE, "wb") as stream:
        np.savez(stream, mean=mean, turn=turn, unit_mean=unit_mean, unit_second=unit_second)
    write_json(folder / DESCRIPTION, {**facts, "windows": windows, "left_out": left_out})


def _blocks(vectors: NDArray[Any]) -> Iterator[Doubles]:
    for at in range(0, len(vectors), _AT_ONCE):
        yield vectors[at : at + _AT_ONCE].astype(np.float64)


def moments(vectors: NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Mean (D,) and mean outer product (D, D) of vectors (n, D)."""
    width = vectors.shape[1]
    total, outer = np.zeros(width), np.zeros((width, width))
    for block in _blocks(vectors):
        total += block.sum(0)
        outer += block.T @ block
    return total / len(vectors), outer / len(vectors)


def whitening(covariance: Doubles) -> Doubles:
    """The matrix (D, D) that scales every principal direction to about unit variance."""
    values, directions = np.linalg.eigh(covariance)
    values = values.clip(0) + _RIDGE * values.sum() + np.finfo(np.float64).tiny
    return np.asarray(directions / np.sqrt(values))
