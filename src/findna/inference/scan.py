"""Genome scans: tracks of surprise per base, and of components and classes per window.

No annotation is needed. Three kinds of track:

* `surprise`: -log2 P(base | the bases of its window that are not hidden with it), bits, each known
  base hidden once (see `masked`), one value per base or the mean of a bin. 2 bits is the surprise
  of a guess among four equally frequent bases.
* `pc1`, `pc2`, ...: principal components of the embeddings of sliding windows.
* `p_<class>`: probabilities of a fine-tuned model for sliding windows, its second class if there
  are two; `prediction` or `prediction_<target>` of a regression.

In a window track, a base has the value of the window with the nearest centre. N is a gap, and so
are windows with more than half N.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.files import atomic_folder, log, write_json
from findna.inference.devices import pick_device
from findna.inference.embedding.files import Pooled, write_embeddings
from findna.inference.precision import Precision, autocast, resolve_precision
from findna.inference.scanning.browser import Browsed, Kind, write_browser_files
from findna.inference.scanning.components import Components, Relations
from findna.inference.scanning.passes import (
    MAX_N,
    SETS,
    Answered,
    Put,
    Row,
    fit,
    nothing_answered,
    scan_surprise,
    scan_windows,
)
from findna.inference.scanning.plan import (
    Plan,
    pick_kinds,
    refuse_impossible,
    surprise_tracks,
    tracks_of,
    usual_bin,
    window_tracks,
)
from findna.inference.scanning.sliding import (
    Regions,
    asked_runs,
    count_windows,
)
from findna.inference.scanning.table import table_of, tell
from findna.inference.tiles import usual_window
from findna.inference.windowed import track_sizes
from findna.inference.writing import held, write_tables
from findna.model.loading import model_name, pick_model
from findna.model.model import Model, software_versions, weights_digest
from findna.sequence.alphabet import Strand, refuse_unknown_strand
from findna.sequence.genome import Genome
from findna.sequence.tracks import TrackPiece, track_writer

Format = Literal["bigwig", "bedgraph"]
Floats = NDArray[np.floating[Any]]
# Consumes the results of windows, chunk by chunk.
Consume = Callable[[Iterator[Answered]], object]

TABLE, FACTS, COMPONENTS, EMBEDDINGS = (
    "tracks.tsv",
    "scan.json",
    "components.npz",
    "embeddings.parquet",
)
_ENDINGS: dict[str, str] = {"bigwig": ".bw", "bedgraph": ".bedgraph.gz"}


@dataclass(frozen=True)
class ScanResult:
    """The result of a scan.

    `table` has a row per track: what it is and its correlation with GC, lower case and N. `windows`
    are the windows with their composition and, on request, `vectors` (n, D) in their order: None
    if nothing was embedded, or an output was given.
    """

    output: Path | None
    table: pd.DataFrame
    _values: dict[str, dict[str, pd.DataFrame]] | None
    windows: pd.DataFrame | None
    vectors: Floats | None

    @property
    def values(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Track -> chromosome -> data frame of start, end (0-based half-open) and value;
        `ValueError` if an output was given.
        """
        return held(self._values, "the tracks")


def scan(
    genome: Genome | str | Path,
    model: Model | str | Path | None = None,
    output: str | Path | None = None,
    *,
    tracks: Sequence[Kind] | None = None,
    regions: Regions = None,
    window: int | None = None,
    step: int | None = None,
    bin: int | None = None,
    components: int = 3,
    sets: int = SETS,
    strand: Strand | None = None,
    format: Format = "bigwig",
    embeddings: bool = False,
    assembly: str | None = None,
    seed: int = 0,
    batch_bases: int | None = None,
    precision: Precision = "fp32",
    device: str = "auto",
    overwrite: bool = False,
) -> ScanResult:
    """Scan a genome, or regions of it, into tracks that genome browsers open.

    Args:
        genome: FASTA or opened genome; contigs of any length, regions of a genome (in source
            coordinates), no annotation.
        model: a model, its folder, its run or its name; None is the one that comes with findna.
        output: folder to write; None to get data frames back, for regions and small genomes.
        tracks: "surprise", "components", "classes"; None is "classes" for a fine-tuned model and
            the other two for a pretrained one.
        regions: BED, or regions (`chr1:1,001-2,000`, counted from 1, both ends included); None is
            the whole genome. Values are those of a scan of the whole genome, except that a bin of
            surprise cut by a region is the mean of the part inside.
        window: bases the model reads at once; None is the longest it was trained on.
        step: bases from one window of embeddings or classes to the next; None is half a window.
        bin: bases per value of surprise; None is 1, or 10 above 200 Mb.
        components: number of principal components.
        sets: surprise hides one base in `sets` at once; 8 costs twice as much as 4.
        strand: None averages both strands, and for classes uses the setting of the fine-tuned task.
        format: "bigwig", or "bedgraph" (bgzipped, with tabix index).
        embeddings: keep the vectors of the windows, in `embeddings.parquet`.
        assembly: name of the genome at UCSC and IGV, if known there (sacCer3, hg38).
        seed: for the sample of windows that components are fitted on.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        precision: "bf16" is faster on hardware that supports it, and changed the surprise of a base
            by about 0.001 bits, at most 0.014, when tried; "auto" uses it there.
        device: auto, cpu, cuda or mps.
        overwrite: replace an existing output.

    Raises:
        BadInput: unknown tracks, incompatible window and step, regions the genome lacks, an output
            that exists, a missing library.
        ValueError: an unknown strand, format or precision.
    """
    refuse_unknown_strand(strand)
    if format not in _ENDINGS:
        raise ValueError(f"no such format: {format!r}; choose from {', '.join(_ENDINGS)}")
    network = pick_model(model).to(pick_device(device)).eval()
    genome = Genome.of(genome)
    window = usual_window(network) if window is None else window
    asked = asked_runs(genome, regions)
    plan = Plan(
        model=network,
        genome=genome,
        asked=asked,
        kinds=pick_kinds(tracks, network),
        window=window,
        step=window - 2 * (window // 4) if step is None else step,
        bin=usual_bin(asked) if bin is None else bin,
        components=components,
        sets=sets,
        strand=strand,
        batch_bases=batch_bases,
        seed=seed,
        precision=resolve_precision(precision, network.device),
    )
    refuse_impossible(plan)
    if not plan.bases:
        log.warning("no regions are given: the tracks are empty")
    with autocast(network.device, plan.precision):
        if output is None:
            return _in_memory(plan, embeddings)
        first = None if regions is None else _first(plan)
        how = _How(_ENDINGS[format], assembly, overwrite, first)
        return _in_folder(plan, Path(output), _facts(model, plan), embeddings, how)


# ---------------------------------------------------------------- where it goes


class _How(NamedTuple):
    """How a folder is written."""

    ending: str
    assembly: str | None
    overwrite: bool
    opened: tuple[str, int, int] | None


class _Found(NamedTuple):
    rows: list[Row]
    components: Components | None


def _run(plan: Plan, put: Put, ending: str, consume: Consume | None, embed: bool) -> _Found:
    """Write all tracks of a plan; `consume`, if given, receives the results of windows, with their
    embeddings if `embed`.
    """
    rows = [scan_surprise(plan, track, put) for track in surprise_tracks(plan, ending)]
    tracks = window_tracks(plan, ending)
    if not tracks and consume is None:
        return _Found(rows, None)
    components = fit(plan) if "components" in plan.kinds else None
    total = count_windows(plan.genome, plan.asked, plan.window, plan.flank)
    relations = Relations(total, plan.seed)
    (consume or _drain)(scan_windows(plan, components, embed, put, relations))
    shares = [] if components is None else components.shares.tolist()
    shares += [float("nan")] * (len(tracks) - len(shares))
    for number, (track, share) in enumerate(zip(tracks, shares, strict=True)):
        rows.append(Row(track, relations.of(number), share))
    return _Found(rows, components)


def _first(plan: Plan) -> tuple[str, int, int] | None:
    """The first region of the scan, which browsers open first."""
    if not plan.bases:
        return None
    start, end = plan.asked[0].tolist()
    record = int(plan.genome.record_at(start))
    shift = int(plan.genome.shifts[record])
    return plan.genome.chroms[record], start + shift, end + shift


def _drain(stream: Iterator[Answered]) -> None:
    deque(stream, maxlen=0)


def _in_folder(
    plan: Plan, output: Path, facts: dict[str, Any], embed: bool, how: _How
) -> ScanResult:
    sizes = track_sizes(plan.genome)
    with atomic_folder(output, how.overwrite, known_by=FACTS) as folder:
        consume = _to_parquet(plan, folder / EMBEDDINGS, facts) if embed else None
        with _files(plan, folder, how.ending, sizes) as put:
            found = _run(plan, put, how.ending, consume, embed)
        table = table_of(found.rows, plan.genome)
        write_tables(iter([table]), folder / TABLE, overwrite=False)
        write_json(folder / FACTS, facts)
        if found.components is not None:
            np.savez(folder / COMPONENTS, **vars(found.components))
        genome = plan.genome
        browsed = Browsed(genome.files, how.assembly, sizes, genome.mapped, how.opened)
        write_browser_files(folder, browsed, [row.track for row in found.rows])
    tell(table, plan, str(output))
    return ScanResult(output, table, None, None, None)


@contextmanager
def _files(plan: Plan, folder: Path, ending: str, sizes: dict[str, int]) -> Iterator[Put]:
    """A function that writes the pieces of all tracks, each to its file."""
    with ExitStack() as stack:
        writers = {
            track.name: stack.enter_context(track_writer(folder / track.file, sizes))
            for track in tracks_of(plan, ending)
        }
        yield lambda name, piece: writers[name](piece)


def _to_parquet(plan: Plan, path: Path, facts: dict[str, Any]) -> Consume:
    width = plan.model.config.backbone.width
    more = {"pooling": "mean", "strand": plan.both, "width": width, "dtype": "float32"}

    def consume(stream: Iterator[Answered]) -> object:
        pooled = (_pooled(plan, answered) for answered in stream)
        # The file has its columns even without any window.
        first = _pooled(plan, nothing_answered(plan))
        return write_embeddings(chain([first], pooled), path, {**facts, **more}, overwrite=False)

    return consume


def _pooled(plan: Plan, answered: Answered) -> Pooled:
    """The windows with a vector, with the columns that `embed` writes."""
    usable = answered.made_of.n <= MAX_N
    frame = _frame(plan, answered)[usable]
    places = zip(frame["chrom"], frame["start"], frame["end"], strict=True)
    columns = {
        "id": [f"{chrom}:{start}-{end}" for chrom, start, end in places],
        **{name: frame[name].tolist() for name in ("chrom", "start", "end")},
        "strand": ["."] * len(frame),
        "length": (frame["end"] - frame["start"]).tolist(),
        "frac_n": frame["n"].tolist(),
    }
    return Pooled(columns, answered.vectors[usable])


def _frame(plan: Plan, answered: Answered) -> pd.DataFrame:
    """Windows in source coordinates, 0-based half-open, with composition and values."""
    genome, windows = plan.genome, answered.windows
    record = genome.record_at(windows.starts)
    shift = genome.shifts[record]
    return pd.DataFrame(
        {
            "chrom": pd.Series([genome.chroms[r] for r in record.tolist()], dtype="str"),
            "start": windows.starts + shift,
            "end": windows.ends + shift,
            **answered.made_of._asdict(),
            **{t.name: answered.values[:, k] for k, t in enumerate(window_tracks(plan))},
        }
    )


def _in_memory(plan: Plan, embed: bool) -> ScanResult:
    pieces: dict[str, dict[str, list[TrackPiece]]] = {t.name: {} for t in tracks_of(plan)}
    frames, vectors = [], []

    def put(name: str, piece: TrackPiece) -> None:
        pieces[name].setdefault(piece.chrom, []).append(piece)

    def consume(stream: Iterator[Answered]) -> None:
        for answered in chain([nothing_answered(plan)], stream):
            frames.append(_frame(plan, answered))
            vectors.append(answered.vectors)

    wanted = embed or bool(window_tracks(plan))
    found = _run(plan, put, "", consume if wanted else None, embed)
    table = table_of(found.rows, plan.genome).drop(columns="file")
    tell(table, plan, "scan")
    values = {
        name: {chrom: _values(parts) for chrom, parts in chroms.items()}
        for name, chroms in pieces.items()
    }
    windows = pd.concat(frames, ignore_index=True) if wanted else None
    return ScanResult(None, table, values, windows, np.concatenate(vectors) if embed else None)


def _values(pieces: Sequence[TrackPiece]) -> pd.DataFrame:
    starts, ends, values = (np.concatenate(part) for part in list(zip(*pieces, strict=True))[1:])
    return pd.DataFrame({"start": starts, "end": ends, "value": values.astype(np.float32)})


def _facts(named: Model | str | Path | None, plan: Plan) -> dict[str, Any]:
    """How the tracks were computed, for `scan.json`."""
    model = plan.model
    settings = (
        "kinds", "window", "step", "bin", "components", "sets", "strand", "seed", "precision",
    )  # fmt: skip
    return {
        "findna": software_versions()["findna"],
        "model": model_name(named, model),
        "model_digest": weights_digest(model),
        "genome": plan.genome.source,
        "genome_digest": plan.genome.digest,
        "bases": plan.bases,
        **{setting: getattr(plan, setting) for setting in settings},
    }
