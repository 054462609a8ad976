"""The index of a genome for `search`: one unit vector for every window, on disk.

A vector is the mean of the embeddings of a window's bases, averaged over both strands. Most of it
is the mean over all windows, and most of the rest lies in one or two directions (composition), so
that any two windows are similar. The index keeps centred and whitened vectors, and mean and
whitening for the queries. On yeast (`benchmarks/search.py`) it is whitening, not centring, that
finds copies. See `searching.build` for how an index is built.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from findna.files import BadInput, cache_folder, plain_number, read_json
from findna.inference.tiles import usual_window
from findna.model.model import Model, weights_digest
from findna.sequence.alphabet import Strand, refuse_unknown_strand
from findna.sequence.genome import Genome

Vectors = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMAT_VERSION = 1
DESCRIPTION = "index.json"
_USUAL_MAX_N = 0.1
VECTORS, STARTS, ENDS, SHAPE = "vectors.f16", "starts.i64", "ends.i64", "shape.npz"


@dataclass(frozen=True)
class IndexSettings:
    """Settings of an index; None is the default, or the setting of an existing index.

    window: bases per window; by default the longest the model was trained on. step: bases from one
    window to the next; by default half a window. max_n: largest share of N in a window. strand:
    "both" is averaged. whiten: scale all directions of the vectors to equal variance; by default
    yes.
    """

    window: int | None = None
    step: int | None = None
    max_n: float | None = None
    strand: Strand | None = None
    whiten: bool | None = None

    def resolved(self, model: Model) -> dict[str, Any]:
        """Every setting with a value.

        Raises:
            BadInput: an invalid setting.
            ValueError: an unknown strand.
        """
        refuse_unknown_strand(self.strand)
        window = usual_window(model) if self.window is None else self.window
        step = max(1, window // 2) if self.step is None else self.step
        max_n = _USUAL_MAX_N if self.max_n is None else self.max_n
        if window < 1 or not 1 <= step <= window or not 0 <= max_n < 1:
            raise BadInput(
                f"no index can have a window of {window}, a step of {step} and at most {max_n:g} N",
                remedy="the step must be 1 to the window, and max-n at least 0 and below 1",
            )
        strand, whiten = self.strand or "both", self.whiten is not False
        return {"window": window, "step": step, "max_n": max_n, "strand": strand, "whiten": whiten}


@dataclass(frozen=True)
class SearchIndex:
    """n windows of a genome and their vectors, read through memory maps.

    folder: its folder. model, genome, regions: their names; regions None is a whole genome, or was
    not recorded. made_from: digests of model, genome and regions, and every setting. vectors:
    float16 (n, D), unit vectors. starts, ends: (n,) store offsets of the genome, half-open, both
    ascending. mean (D,) and turn (D, D): a raw vector v becomes (v − mean) @ turn, normalised.
    unit_mean (D,) and unit_second (D, D): mean of the vectors and of their outer products.
    """

    folder: Path
    model: str
    genome: str
    made_from: Mapping[str, Any]
    vectors: NDArray[np.float16]
    starts: Ints
    ends: Ints
    mean: Doubles
    turn: Doubles
    unit_mean: Doubles
    unit_second: Doubles
    regions: str | None = None

    def __len__(self) -> int:
        """Windows."""
        return len(self.vectors)

    def transformed(self, raw: Vectors) -> Vectors:
        """Raw embeddings (m, D) as vectors of this index: centred, whitened, of length 1."""
        return unit((raw.astype(np.float64) - self.mean) @ self.turn)

    def spread(self, query: Vectors) -> tuple[float, float]:
        """Mean and standard deviation of the similarities of a query (D,) to all windows."""
        q = query.astype(np.float64)
        mean = float(q @ self.unit_mean)
        return mean, float(np.sqrt(max(float(q @ self.unit_second @ q) - mean**2, 0.0)))


def unit(vectors: Doubles) -> Vectors:
    """Vectors scaled to length 1; a zero vector stays zero, and has similarity 0 to all."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


# ---------------------------------------------------------------- names


def fingerprint(
    model: Model, genome: Genome, runs: Ints, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that an index depends on."""
    regions = hashlib.sha256(np.ascontiguousarray(runs).tobytes()).hexdigest()
    return {
        "model": weights_digest(model),
        "genome": genome.digest,
        "regions": f"sha256:{regions}",
        **settings,
    }


def cached(made_from: Mapping[str, Any]) -> Path:
    """The folder of an index in the cache."""
    key = hashlib.sha256(
        json.dumps(made_from, sort_keys=True, default=plain_number).encode()
    ).hexdigest()
    return cache_folder() / "search" / key[:24]


# ---------------------------------------------------------------- reading


def read_index(folder: str | Path) -> SearchIndex:
    """Open an index; vectors are loaded as they are read.

    Raises:
        BadInput: not an index, an unknown format version, or an incomplete one.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise BadInput(
            f"this is not a search index: it has no {DESCRIPTION}",
            file=folder,
            remedy="name a new folder to build one there",
        )
    described = read_json(folder / DESCRIPTION)
    version = described.get("format_version") if isinstance(described, dict) else None
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise BadInput(
            f"format version {version!r} is unknown; this findna reads 1 to {FORMAT_VERSION}",
            file=folder / DESCRIPTION,
            remedy="delete the index and build it again",
        )
    windows, width = described["windows"], described["width"]
    with np.load(folder / SHAPE, allow_pickle=False) as shape:
        return SearchIndex(
            folder,
            described["model"],
            described["genome"],
            described["made_from"],
            _mapped(folder / VECTORS, np.float16, (windows, width)),
            _mapped(folder / STARTS, np.int64, (windows,)),
            _mapped(folder / ENDS, np.int64, (windows,)),
            **{key: shape[key] for key in ("mean", "turn", "unit_mean", "unit_second")},
            regions=described.get("regions"),
        )


def _mapped(file: Path, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not file.is_file() or file.stat().st_size != wanted:
        raise BadInput(
            f"does not have the {wanted:,} bytes that the index records",
            file=file,
            remedy="the index is truncated or damaged: delete its folder and build it again",
        )
    return np.memmap(file, dtype, "r", shape=shape)
