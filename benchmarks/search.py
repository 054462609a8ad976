"""Whether search finds copies, and what finds them as well; and how fast its two engines are.

    python benchmarks/search.py [--genome FASTA] [--contigs I,III] [--model findna-human-tiny]

Copies are pairs of windows that share at least half of the 12-mers of the shorter one (strands put
together) and do not overlap. Every window that has one asks for its 20 best loci; recall is the
share of its copies' loci among them. Then 200 sequences from between the windows ask with a fifth
of their bases substituted: how often is the best locus the one they come from? The same windows,
exclusions and merging serve every kind of vector: those of the model, whitened as `search` does,
centred only and as they come; those of the same network with random weights; GC alone; and
frequencies of k-mers, which copies share by definition. The last line is the time of torch over
that of faiss on random vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from findna.data.similarity import kmer_counts
from findna.inference.embed import embeddings
from findna.inference.searching.build import moments, whitening, windows_of
from findna.inference.searching.engines import Engine, FaissEngine, TorchEngine
from findna.inference.searching.index import Doubles, Ints, SearchIndex, unit
from findna.inference.searching.loci import Loci, Part, Rules
from findna.model.loading import load_model
from findna.model.model import Model, new_model
from findna.sequence.alphabet import Codes, codes_of
from findna.sequence.genome import Genome
from findna.sequence.records import Record

WINDOW, STEP, K = 512, 256, 20
DIVERGED, SUBSTITUTED = 200, 0.2
CPU = torch.device("cpu")
Vectoriser = Callable[[Sequence[Codes]], Doubles]
DATA = Path(os.environ.get("FINDNA_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
YEAST = DATA / "yeast" / "Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"


class Windows:
    """The windows of some contigs: codes, store offsets, and the queries they make."""

    def __init__(self, genome: Genome, contigs: list[str]) -> None:
        self.genome = genome
        chosen = [genome.names.index(contig) for contig in contigs]
        runs = np.stack([genome.offsets, genome.offsets + genome.lengths], axis=1)[chosen]
        spans = list(windows_of(runs, WINDOW, STEP))
        self.starts, self.ends = (np.concatenate(column) for column in zip(*spans, strict=True))
        self.codes: list[Codes] = [
            codes_of(genome.store[s:e]) for s, e in zip(self.starts, self.ends, strict=True)
        ]

    def query(self, window: int) -> Part:
        """One window as a query that knows its place."""
        record = int(self.genome.record_at(self.starts[window]))
        start = int(self.starts[window] - self.genome.offsets[record])
        codes = self.codes[window]
        chrom, end = self.genome.names[record], start + len(codes)
        return Part(Record(str(window), codes, chrom, start, end, "."), 0, len(codes))

    def copies(self) -> dict[int, Ints]:
        """Window -> the windows that are its copies and do not overlap it."""
        table = kmer_counts(self.codes, 12, canonical=True)
        table.data[:] = 1
        words = np.asarray(table.sum(1)).ravel()
        shared = (table @ table.T).tocoo()
        a, b = shared.row.astype(np.int64), shared.col.astype(np.int64)
        apart = (self.ends[a] <= self.starts[b]) | (self.starts[a] >= self.ends[b])
        enough = shared.data >= 0.5 * np.minimum(words[a], words[b])
        a, b = a[apart & enough], b[apart & enough]
        return {int(window): b[a == window] for window in np.unique(a)}

    def index(self, vectors: Doubles, whiten: bool, centre: bool) -> SearchIndex:
        """An index of vectors (n, D) in memory."""
        mean, second = moments(vectors)
        turn = whitening(second - np.outer(mean, mean)) if whiten else np.eye(len(mean))
        mean = mean if centre else np.zeros(len(mean))
        placed = unit((vectors - mean) @ turn).astype(np.float16)
        return SearchIndex(
            Path(), "", "", {}, placed, self.starts, self.ends, mean, turn, *moments(placed)
        )

    def diverged(self) -> dict[int, Codes]:
        """Window -> the sequence a quarter of a window further on, with bases substituted: half a
        step is as far from the windows of the index as a query can lie.
        """
        rng = np.random.default_rng(0)
        shifted = self.ends + STEP // 2
        inside = self.genome.record_at(shifted - 1) == self.genome.record_at(self.starts)
        inside &= shifted <= self.genome.total
        chosen = rng.choice(np.flatnonzero(inside), DIVERGED, replace=False).tolist()
        cut = [slice(shifted[window] - WINDOW, shifted[window]) for window in chosen]
        return {
            window: substituted(codes_of(self.genome.store[place]), rng)
            for window, place in zip(chosen, cut, strict=True)
        }


def substituted(codes: Codes, rng: np.random.Generator) -> Codes:
    """Another base at a share of the places."""
    changed = (rng.random(len(codes)) < SUBSTITUTED) & (codes < 4)
    other = (codes + rng.integers(1, 4, len(codes))) % 4
    return np.where(changed, other, codes).astype(np.uint8)


def main() -> None:
    """Print recall for every kind of vector, and the ratio of times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genome", type=Path, default=YEAST)
    parser.add_argument("--contigs", default="I,III")
    parser.add_argument("--model", default="findna-human-tiny")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.genome.exists():
        compare(Windows(Genome.open(given.genome), given.contigs.split(",")), given.model)
    else:
        print(f"{given.genome} is not here: recall is not measured")
    race(given.threads)


def compare(windows: Windows, name: str) -> None:
    """Both figures for each kind of vector."""
    truth, diverged = windows.copies(), windows.diverged()
    loci = np.mean([len(copies) for copies in truth.values()])
    print(f"{len(windows.codes):,} windows, {len(truth)} with copies, {loci:.1f} windows each")
    model = load_model(name)
    kinds: dict[str, tuple[Vectoriser, tuple[str, ...]]] = {
        name: (partial(embedded, model), ("whitened", "centred", "as it comes")),
        "random weights": (partial(embedded, new_model(model.config, 0).eval()), ("whitened",)),
        "composition": (partial(frequencies, 1), ("centred",)),
        **{f"{k}-mers": (partial(frequencies, k), ("centred", "whitened")) for k in (2, 3, 4)},
        "6-mers": (partial(frequencies, 6), ("centred",)),
    }
    for kind, (vectorise, shapes) in kinds.items():
        began = time.process_time()
        vectors, asked = vectorise(windows.codes), vectorise(list(diverged.values()))
        rate = len(windows.codes) * STEP / (time.process_time() - began)
        print(f"{kind}: {rate:,.0f} genome bases a processor second")
        for shape in shapes:
            index = windows.index(vectors, shape == "whitened", shape != "as it comes")
            scores = {
                **recall(windows, index, truth),
                **found(windows, index, list(diverged), asked),
            }
            print(json.dumps({"vectors": f"{kind}, {shape}", **scores}), flush=True)


def embedded(model: Model, codes: Sequence[Codes]) -> Doubles:
    """Vectors (n, D) of a model."""
    return embeddings(model, codes).astype(np.float64)


def frequencies(k: int, codes: Sequence[Codes]) -> Doubles:
    """Shares (n, 4^k) of the k-mers of each sequence, strands put together."""
    counts = kmer_counts(codes, k, canonical=True).toarray().astype(np.float64)
    return np.asarray(counts / np.maximum(counts.sum(1, keepdims=True), 1))


def recall(windows: Windows, index: SearchIndex, truth: dict[int, Ints]) -> dict[str, float]:
    """Recall of copies among the 20 best loci, and how often the best is a copy."""
    search = loci_of(windows, index, include_self=False)
    asked = np.array(list(truth))
    queries = np.asarray(index.vectors[asked], np.float32)
    hits = search.best([windows.query(window) for window in asked.tolist()], queries)
    met = [meets(windows, truth[w], best.windows) for w, best in zip(truth, hits, strict=True)]
    return {
        "recall_at_20": round(float(np.mean([m.any(1).mean() for m in met])), 3),
        "first_is_copy": round(float(np.mean([m[:, 0].any() for m in met])), 3),
    }


def found(
    windows: Windows, index: SearchIndex, sources: list[int], vectors: Doubles
) -> dict[str, float]:
    """How often the best locus of a diverged sequence is the one it comes from."""
    search = loci_of(windows, index, include_self=True)
    hits = search.best(
        [windows.query(window) for window in sources], index.transformed(vectors.astype(np.float32))
    )
    first = [
        meets(windows, np.array([window]), best.windows[:1]).any()
        for window, best in zip(sources, hits, strict=True)
    ]
    return {"diverged_found": round(float(np.mean(first)), 3)}


def loci_of(windows: Windows, index: SearchIndex, include_self: bool) -> Loci:
    """What `search` finds loci with."""
    engine = TorchEngine(index.vectors, CPU)
    return Loci(index, windows.genome, engine, Rules(K, None, include_self, False))


def meets(windows: Windows, some: Ints, others: Ints) -> NDArray[np.bool_]:
    """Which windows overlap which, bool (some, others)."""
    starts, ends = windows.starts, windows.ends
    return np.asarray(
        (starts[some][:, None] < ends[others]) & (ends[some][:, None] > starts[others])
    )


def race(threads: int, windows: int = 200_000, width: int = 128) -> None:
    """Time of 64 queries in one process, torch over faiss; reading into faiss counted apart."""
    import faiss

    faiss.omp_set_num_threads(threads)
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(windows, width))).astype(np.float16)
    queries = unit(rng.normal(size=(64, width)))
    began = time.process_time()
    flat = FaissEngine(vectors)
    reading = time.process_time() - began
    engines: dict[str, Engine] = {"torch": TorchEngine(vectors, CPU), "faiss": flat}
    seconds = {
        name: min(timed(engine, queries) for _ in range(3)) for name, engine in engines.items()
    }
    ratio = seconds["torch"] / seconds["faiss"]
    print(json.dumps({"benchmark": "search", "seconds": seconds, "faiss_reading": reading}))
    print(f"torch takes {ratio:.2f} times as long as faiss for 64 queries of {windows:,} windows")


def timed(engine: Engine, queries: NDArray[np.float32]) -> float:
    """Processor seconds of one search for 320 candidates."""
    began = time.process_time()
    engine.nearest(queries, 16 * K)
    return time.process_time() - began


if __name__ == "__main__":
    main()
