"""A scan of the yeast genome, and what its tracks say about features found in the sequence itself.

    python benchmarks/yeast_scan.py -o docs/results/yeast-scan [-m runs/first-light/yeast-5m]
        [--genome FASTA] [--tracks runs/yeast-scan] [--chroms I,II]

No annotation is used. Features: GC-rich and GC-poor kilobases, tandem repeats (runs of bases that
equal the base one period before), near-identical copies (32-mers that stand twice in the genome,
either strand), chromosome ends, and the mitochondrion. Each claim is the mean of a track over a
feature against random intervals of the same lengths on the same chromosomes, once drawn anywhere
and once among those nearest in GC. Random intervals themselves are judged too, as a control.

The tracks are written to the folder of `--tracks`, or read from there if the same model has scanned
the same genome. Exit code 1 if a region that is scanned anew does not equal its track.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from findna.data.similarity import words
from findna.evaluation.comparison import holm
from findna.files import write_json
from findna.inference.precision import Precision
from findna.inference.scan import FACTS, TABLE, scan
from findna.inference.scanning.passes import SETS
from findna.model.loading import load_model
from findna.model.model import Model, weights_digest
from findna.sequence.genome import Genome
from findna.sequence.organelles import is_organelle
from findna.sequence.tracks import read_track

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Spans = dict[str, Ints]

GENOME = "../shared/data/yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"
TRACKS = ("surprise", "pc1", "pc2", "pc3")
K, MIN_COPY, JOINED = 32, 200, 100
PERIODS, MIN_COPIES, MIN_REPEAT = 60, 3, 24
END, KILOBASE, DECILE = 10_000, 1000, 10
CANDIDATES, POOL, REPLICATES = 2000, 100, 10_000
CHECKED, PICTURED, DRAWN_BIN = 5000, 40_000, 200
SAME = 1e-4  # bits between a track and a region that is scanned anew


# ---------------------------------------------------------------- features


def tandem_repeats(codes: NDArray[np.uint8]) -> Ints:
    """Spans (K, 2) of at least three exact copies of a unit of 1 to 60 bases, 24 bases or more."""
    found = []
    for period in range(1, PERIODS + 1):
        same = (codes[period:] == codes[:-period]) & (codes[period:] < 4)
        runs = _runs(same)
        runs[:, 1] += period
        widths = runs[:, 1] - runs[:, 0]
        found.append(runs[(widths >= MIN_COPIES * period) & (widths >= MIN_REPEAT)])
    return _merged(np.concatenate(found), 0)


def copies(genome: Mapping[str, NDArray[np.uint8]]) -> Spans:
    """Spans of 200 bases or more of 32-mers that stand twice, gaps up to 100 bases joined."""
    forward = {chrom: words((codes & 3).astype(np.uint64), K) for chrom, codes in genome.items()}
    either = {}
    for chrom, word in forward.items():
        other = words((3 - (genome[chrom] & 3))[::-1].astype(np.uint64), K)[::-1]
        either[chrom] = np.minimum(word, other)
    ordered = np.sort(np.concatenate(list(either.values())))
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    spans = {}
    for chrom, word in either.items():
        place = np.searchsorted(twice, word)
        known = twice[np.minimum(place, len(twice) - 1)] == word if len(twice) else word < 0
        runs = _runs(known)
        runs[:, 1] += K - 1
        joined = _merged(runs, JOINED)
        spans[chrom] = joined[joined[:, 1] - joined[:, 0] >= MIN_COPY]
    return spans


def gc_extremes(genome: Mapping[str, NDArray[np.uint8]]) -> tuple[Spans, Spans]:
    """The tenth of all kilobases of nuclear chromosomes with the most, and the least, G and C."""
    shares = {}
    for chrom, codes in genome.items():
        whole = codes[: len(codes) // KILOBASE * KILOBASE].reshape(-1, KILOBASE)
        shares[chrom] = np.isin(whole, (1, 2)).mean(1)
    low, high = np.percentile(np.concatenate(list(shares.values())), [DECILE, 100 - DECILE])

    def spans(chosen: Mapping[str, NDArray[np.bool_]]) -> Spans:
        starts = {chrom: np.flatnonzero(flags) * KILOBASE for chrom, flags in chosen.items()}
        return {chrom: np.stack([at, at + KILOBASE], 1) for chrom, at in starts.items()}

    return (
        spans({chrom: share >= high for chrom, share in shares.items()}),
        spans({chrom: share <= low for chrom, share in shares.items()}),
    )


def _runs(flags: NDArray[np.bool_]) -> Ints:
    """Spans (K, 2) of neighbouring True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2).astype(np.int64)


def _merged(spans: Ints, gap: int) -> Ints:
    """Sorted spans, those no further apart than `gap` as one."""
    if not len(spans):
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.flatnonzero(np.concatenate([[True], spans[1:, 0] > reach[:-1] + gap]))
    return np.stack([spans[first, 0], reach[np.append(first[1:], len(spans)) - 1]], 1)


def features(
    everything: Mapping[str, NDArray[np.uint8]], asked: Sequence[str], seed: int
) -> dict[str, Spans]:
    """Name -> spans on the nuclear chromosomes that are asked; copies are sought in all of them."""
    nuclear = {chrom: everything[chrom] for chrom in asked if not is_organelle(chrom)}
    rich, poor = gc_extremes(nuclear)
    doubled = copies(everything)
    rng = np.random.default_rng(seed)
    ends, random = {}, {}
    for chrom, codes in nuclear.items():
        size = len(codes)
        ends[chrom] = np.array([[0, END], [size - END, size]])
        starts = np.sort(rng.choice(size // KILOBASE - 1, 20, replace=False)) * KILOBASE
        random[chrom] = np.stack([starts, starts + KILOBASE], 1)
    return {
        "GC-rich kilobases (top tenth)": rich,
        "GC-poor kilobases (bottom tenth)": poor,
        "tandem repeats": {chrom: tandem_repeats(codes) for chrom, codes in nuclear.items()},
        "near-identical copies": {chrom: doubled[chrom] for chrom in nuclear},
        "chromosome ends (10 kb)": ends,
        "random kilobases (control)": random,
    }


# ---------------------------------------------------------------- enrichment


class Track:
    """Means of intervals of a track, or of GC, by running sums: NaN bases count neither way."""

    def __init__(self, values: Mapping[str, Floats]) -> None:
        self.sums, self.counts = {}, {}
        for chrom, track in values.items():
            known = ~np.isnan(track)
            self.sums[chrom] = np.append(0, np.cumsum(np.where(known, track, 0.0)))
            self.counts[chrom] = np.append(0, np.cumsum(known))

    def means(self, chrom: str, starts: Ints, ends: Ints) -> Floats:
        """Mean over each interval, any shape."""
        counts = self.counts[chrom][ends] - self.counts[chrom][starts]
        sums = self.sums[chrom][ends] - self.sums[chrom][starts]
        return np.asarray(
            np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        )


@dataclass(frozen=True)
class Matched:
    """N intervals of a feature by chromosome, and starts (n, P) of random ones to hold against."""

    spans: Spans
    pools: Spans

    @property
    def widths(self) -> Floats:
        """Lengths (N,) of all intervals."""
        return np.concatenate([s[:, 1] - s[:, 0] for s in self.spans.values()]).astype(np.float64)


def matched(spans: Spans, gc: Track, sizes: Mapping[str, int], alike: bool, seed: int) -> Matched:
    """Random intervals of the same lengths on the same chromosomes.

    If `alike`, those of 2000 that are nearest in GC, else any 100.
    """
    rng = np.random.default_rng(seed)
    pools = {}
    for chrom, rows in spans.items():
        widths = rows[:, 1] - rows[:, 0]
        drawn = (rng.random((len(rows), CANDIDATES)) * (sizes[chrom] - widths + 1)[:, None]).astype(
            np.int64
        )
        if alike:
            own = gc.means(chrom, rows[:, 0], rows[:, 1])
            far = np.abs(gc.means(chrom, drawn, drawn + widths[:, None]) - own[:, None])
            drawn = np.take_along_axis(drawn, np.argsort(far, 1, kind="stable"), 1)
        pools[chrom] = drawn[:, :POOL]
    return Matched(spans, pools)


def enrichment(feature: Matched, track: Track, seed: int) -> dict[str, float]:
    """Difference of means, its 95 % interval (intervals resampled) and permutation p.

    `sd` is the difference in standard deviations of single random intervals.
    """
    rng = np.random.default_rng(seed)
    own, null = [], []
    for chrom, rows in feature.spans.items():
        starts = feature.pools[chrom]
        own.append(track.means(chrom, rows[:, 0], rows[:, 1]))
        null.append(track.means(chrom, starts, starts + (rows[:, 1] - rows[:, 0])[:, None]))
    seen, drawn, weight = np.concatenate(own), np.concatenate(null), feature.widths
    known = ~np.isnan(seen) & ~np.isnan(drawn).any(1)
    seen, drawn, weight = seen[known], drawn[known], weight[known]
    observed = np.average(seen, weights=weight)
    picks = rng.integers(0, drawn.shape[1], (REPLICATES, len(seen)))
    replicates = np.average(drawn[np.arange(len(seen)), picks], axis=1, weights=weight)
    middle = replicates.mean()
    extreme = np.abs(replicates - middle) >= abs(observed - middle)
    rows_ = rng.integers(0, len(seen), (REPLICATES, len(seen)))
    excess = seen - drawn.mean(1)
    resampled = (excess[rows_] * weight[rows_]).sum(1) / weight[rows_].sum(1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {
        "intervals": len(seen),
        "bases": float(weight.sum()),
        "mean": observed,
        "random": middle,
        "difference": observed - middle,
        "low": low,
        "high": high,
        "sd": (observed - middle) / drawn.std() if drawn.std() > 0 else float("nan"),
        "p": (1 + extreme.sum()) / (1 + REPLICATES),
    }


def mitochondrion(
    track: Track, chrom: str, sizes: Mapping[str, int], nuclear: Sequence[str], seed: int
) -> dict[str, float]:
    """All kilobases of the mitochondrion against as many random ones of the nuclear chromosomes.

    There is nothing on the same chromosome to hold against, so labels are permuted.
    """
    rng = np.random.default_rng(seed)
    starts = np.arange(0, sizes[chrom] - KILOBASE + 1, KILOBASE)
    own = track.means(chrom, starts, starts + KILOBASE)
    shares = np.array([sizes[c] for c in nuclear], np.float64)
    chosen = rng.choice(len(nuclear), 10 * len(own), p=shares / shares.sum())
    places = [int(rng.integers(0, sizes[nuclear[c]] - KILOBASE)) for c in chosen]
    other = np.array(
        [
            track.means(nuclear[c], np.array([at]), np.array([at + KILOBASE]))[0]
            for c, at in zip(chosen, places, strict=True)
        ]
    )
    own, other = own[~np.isnan(own)], other[~np.isnan(other)]
    both, difference = np.concatenate([own, other]), own.mean() - other.mean()
    extreme = 0
    for _ in range(REPLICATES):
        mixed = rng.permutation(both)
        extreme += abs(mixed[: len(own)].mean() - mixed[len(own) :].mean()) >= abs(difference)
    resampled = [
        rng.choice(own, len(own)).mean() - rng.choice(other, len(other)).mean()
        for _ in range(REPLICATES)
    ]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {
        "intervals": len(own),
        "bases": float(len(own) * KILOBASE),
        "mean": own.mean(),
        "random": other.mean(),
        "difference": difference,
        "low": low,
        "high": high,
        "sd": difference / other.std(),
        "p": (1 + extreme) / (1 + REPLICATES),
    }


def judged(
    found: Mapping[str, Spans], tracks: Mapping[str, Track], gc: Track, sizes: Mapping[str, int],
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """One row a feature, a way to draw random intervals, and a track."""
    rows = []
    for feature, spans in found.items():
        if not sum(map(len, spans.values())):
            continue
        for against in ("same length", "same length and GC"):
            held = matched(spans, gc, sizes, against.endswith("GC"), seed)
            for name, track in {**tracks, "GC": gc}.items():
                what = {"feature": feature, "against": against, "track": name}
                rows.append({**what, **enrichment(held, track, seed)})
    nuclear = [chrom for chrom in sizes if not is_organelle(chrom)]
    for chrom in (c for c in sizes if is_organelle(c) and nuclear):
        for name, track in {**tracks, "GC": gc}.items():
            what = {"feature": "mitochondrion", "against": "nuclear kilobases", "track": name}
            rows.append({**what, **mitochondrion(track, chrom, sizes, nuclear, seed)})
    table = pd.DataFrame(rows)
    # GC itself is shown, not claimed.
    claims = (table["track"] != "GC").to_numpy()
    table["p_holm"] = np.nan
    table.loc[claims, "p_holm"] = holm(table.loc[claims, "p"].tolist())
    return table


# ---------------------------------------------------------------- tracks


def scanned(
    genome: Genome,
    model: Model,
    named: str,
    folder: Path,
    chroms: Sequence[str],
    precision: Precision,
) -> tuple[float, float]:
    """Make the tracks unless they are there; bases, and seconds it took (NaN if they were)."""
    regions = [f"{chrom}:1-{size}" for chrom, size in _sizes(genome, chroms).items()]
    bases = float(sum(_sizes(genome, chroms).values()))
    if (folder / FACTS).exists():
        facts = json.loads((folder / FACTS).read_text())
        same = (weights_digest(model), genome.digest, bases, SETS)
        if (facts["model_digest"], facts["genome_digest"], facts["bases"], facts["sets"]) == same:
            return bases, float("nan")
    began = time.perf_counter()
    scan(
        genome,
        model=named,
        output=folder,
        regions=regions,
        precision=precision,
        device="cpu",
        overwrite=True,
    )
    return bases, time.perf_counter() - began


def _sizes(genome: Genome, chroms: Sequence[str]) -> dict[str, int]:
    known = dict(zip(genome.names, genome.lengths.tolist(), strict=True))
    return {chrom: known[chrom] for chrom in chroms}


def read_tracks(folder: Path, sizes: Mapping[str, int]) -> dict[str, dict[str, Floats]]:
    """Track -> chromosome -> values of its bases, from the bigWig files."""
    return {
        name: {
            chrom: read_track(folder / f"{name}.bw", chrom, 0, size).astype(np.float64)
            for chrom, size in sizes.items()
        }
        for name in TRACKS
    }


def largest_difference(
    genome: Genome,
    model: Model,
    values: Mapping[str, Floats],
    place: tuple[str, int, int],
    precision: Precision,
) -> float:
    """Bits between a track and the same region scanned anew; infinite if one has a gap alone."""
    chrom, start, end = place
    region = f"{chrom}:{start + 1}-{end}"
    anew = scan(
        genome, model, regions=[region], tracks=["surprise"], precision=precision, device="cpu"
    ).values
    assert anew is not None
    fresh, kept = anew["surprise"][chrom]["value"].to_numpy(), values[chrom][start:end]
    if not np.array_equal(np.isnan(fresh), np.isnan(kept)):
        return float("inf")
    return float(np.nanmax(np.abs(fresh - kept)))


# ---------------------------------------------------------------- picture and pages


def pictured(found: Mapping[str, Spans], sizes: Mapping[str, int]) -> tuple[str, int, int]:
    """The 40 kb of nuclear DNA with most bases in near-identical copies; the first if there are
    several.
    """
    best, place = -1.0, (next(iter(sizes)), 0, min(PICTURED, next(iter(sizes.values()))))
    for chrom, spans in found["near-identical copies"].items():
        flags = np.zeros(sizes[chrom] + 1)
        for start, end in spans.tolist():
            flags[start:end] = 1
        sums = np.append(0, np.cumsum(flags[:-1]))
        width = min(PICTURED, sizes[chrom])
        starts = np.arange(0, sizes[chrom] - width + 1, KILOBASE)
        covered = sums[starts + width] - sums[starts]
        if covered.max() > best:
            best, at = float(covered.max()), int(starts[covered.argmax()])
            place = (chrom, at, at + width)
    return place


def draw(
    path: Path, place: tuple[str, int, int], tracks: Mapping[str, Mapping[str, Floats]],
    codes: NDArray[np.uint8], found: Mapping[str, Spans],
) -> None:  # fmt: skip
    """Surprise, two components and GC of a region in bins of 200 bases, features below."""
    chrom, start, end = place
    edges = np.arange(start, end - DRAWN_BIN + 1, DRAWN_BIN)
    middles = (edges + DRAWN_BIN / 2) / 1000
    strong = np.isin(codes, (1, 2)).astype(np.float64)
    rows = {
        "surprise\n(bits a base)": tracks["surprise"][chrom],
        "pc1": tracks["pc1"][chrom],
        "pc2": tracks["pc2"][chrom],
        "GC": strong,
    }
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    panels = figure.subplots(len(rows) + 1, 1, sharex=True, height_ratios=[2, 1, 1, 1, 0.9])
    for axes, (label, values), colour in zip(
        panels, rows.items(), ("#1f77b4", "#d62728", "#2ca02c", "#555555"), strict=False
    ):
        binned = [np.nanmean(values[at : at + DRAWN_BIN]) for at in edges]
        axes.plot(middles, binned, color=colour, linewidth=1)
        axes.axhline(np.nanmean(values), color="#999999", linewidth=0.8, linestyle=":")
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    _draw_features(panels[-1], place, found)
    panels[-1].tick_params(labelsize=8)
    panels[-1].set_xlabel(f"chromosome {chrom}, kb", fontsize=9)
    figure.suptitle(
        f"{chrom}:{start + 1:,}-{end:,}, bins of {DRAWN_BIN} bp; dotted: mean of the chromosome",
        fontsize=10,
    )
    figure.savefig(path, dpi=130)


def _draw_features(axes: object, place: tuple[str, int, int], found: Mapping[str, Spans]) -> None:
    chrom, start, end = place
    shown = {"near-identical copies": "copies", "tandem repeats": "tandem repeats"}
    for row, name in enumerate(shown):
        spans = found[name].get(chrom, np.empty((0, 2), np.int64))
        here = spans[(spans[:, 1] > start) & (spans[:, 0] < end)]
        bars = [
            (max(s, start) / 1000, (min(e, end) - max(s, start)) / 1000) for s, e in here.tolist()
        ]
        axes.broken_barh(bars, (row - 0.35, 0.7), color="#444444")  # type: ignore[attr-defined]
    axes.set_yticks(range(len(shown)), list(shown.values()), fontsize=8)  # type: ignore[attr-defined]
    axes.set_ylim(-0.6, len(shown) - 0.4)  # type: ignore[attr-defined]
    axes.set_xlim(start / 1000, end / 1000)  # type: ignore[attr-defined]


def bed_lines(found: Mapping[str, Spans]) -> Iterator[str]:
    """The features as BED, by chromosome and place."""
    rows = [
        (chrom, start, end, name)
        for name, spans in found.items()
        for chrom, places in spans.items()
        for start, end in places.tolist()
    ]
    chroms = list(dict.fromkeys(row[0] for row in rows))
    for chrom, start, end, name in sorted(rows, key=lambda r: (chroms.index(r[0]), *r[1:])):
        yield f"{chrom}\t{start}\t{end}\t{name}\n"


def markdown(table: pd.DataFrame) -> str:
    """The table of claims, as people read it."""
    columns = [
        "feature", "against", "track", "intervals", "mean", "random", "difference [95 %]", "sd",
        "p", "p (Holm)",
    ]  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for _, r in table.iterrows():
        corrected = "" if np.isnan(r["p_holm"]) else f"{r['p_holm']:.2g}"
        lines.append(
            f"| {r['feature']} | {r['against']} | {r['track']} | {r['intervals']:,} "
            f"| {r['mean']:.3f} | {r['random']:.3f} "
            f"| {r['difference']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}] "
            f"| {r['sd']:+.2f} | {r['p']:.2g} | {corrected} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Scan, find, judge, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-m", "--model", default="runs/first-light/yeast-5m")
    parser.add_argument("--genome", default=GENOME)
    parser.add_argument("--tracks", type=Path, default=Path("runs/yeast-scan"))
    parser.add_argument("--chroms", help="comma-separated; all by default")
    parser.add_argument("--precision", default="auto", choices=get_args(Precision))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    genome, model = Genome.open(args.genome), load_model(args.model).eval()
    asked = args.chroms.split(",") if args.chroms else list(genome.names)
    sizes = _sizes(genome, asked)
    bases, seconds = scanned(genome, model, args.model, args.tracks, asked, args.precision)
    print(f"{bases:,.0f} bases, {seconds:.0f} s, {bases / seconds:,.0f} bases/s (nan: found there)")
    everything = {
        chrom: genome.fetch(chrom, 0, int(size)).codes
        for chrom, size in zip(genome.names, genome.lengths, strict=True)
    }
    tracks = read_tracks(args.tracks, sizes)
    found = features(everything, asked, args.seed)
    gc = Track({c: np.isin(everything[c], (1, 2)).astype(np.float64) for c in sizes})
    table = judged(found, {name: Track(tracks[name]) for name in TRACKS}, gc, sizes, args.seed)
    place = pictured(found, sizes)
    checked_at = (place[0], place[1], place[1] + CHECKED)
    off = largest_difference(genome, model, tracks["surprise"], checked_at, args.precision)
    args.output.mkdir(parents=True, exist_ok=True)
    draw(args.output / "region.png", place, tracks, everything[place[0]], found)
    table.to_csv(args.output / "claims.tsv", sep="\t", index=False, float_format="%.6g")
    (args.output / "claims.md").write_text(markdown(table), encoding="utf-8")
    (args.output / "features.bed").write_text("".join(bed_lines(found)), encoding="utf-8")
    (args.output / TABLE).write_text((args.tracks / TABLE).read_text(), encoding="utf-8")
    timed = {"seconds": seconds, "bases_a_second": bases / seconds} if seconds == seconds else {}
    facts = json.loads((args.tracks / FACTS).read_text())
    checked = {"pictured": list(place), "bases_checked": CHECKED, "largest_difference_bits": off}
    write_json(args.output / "run.json", {**facts, **timed, **checked})
    print(markdown(table))
    print(
        f"{place[0]}:{place[1] + 1}-{place[1] + CHECKED} scanned anew: "
        f"{off:.2g} bits from its track"
    )
    return int(not off <= SAME)


if __name__ == "__main__":
    sys.exit(main())
