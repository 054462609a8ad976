"""Exact nearest neighbours in an index: by matrix products in chunks, or by faiss.

Both engines only propose candidates, in float32, where the order of nearly equal ones depends on
the order of sums. `search` recomputes the similarities of candidates in the same way for both.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.files import BadInput
from findna.inference.searching.index import Ints, SearchIndex, Vectors

EngineName = Literal["torch", "faiss"]
# Largest error of inner products of unit vectors in float32.
TOLERANCE = 1e-5
_CHUNK = 65_536  # windows; with 64 queries 16 MB of similarities
_QUERIES = 64


class Engine(Protocol):
    """Finds candidates in one index."""

    def nearest(self, queries: Vectors, count: int) -> tuple[Vectors, Ints]:
        """The `count` most similar windows of each query (m, D): similarities and numbers
        (m, count), most similar first.
        """
        ...


def require_engine(name: EngineName) -> None:
    """`BadInput` for an unknown engine or a missing library, before hours of indexing."""
    if name not in get_args(EngineName):
        raise BadInput(f"there is no engine {name!r}", remedy="use torch or faiss")
    if name == "faiss":
        _faiss()


def open_engine(name: EngineName, index: SearchIndex, device: torch.device) -> Engine:
    """The engine called `name`, which `require_engine` has passed, over an index."""
    return FaissEngine(index.vectors) if name == "faiss" else TorchEngine(index.vectors, device)


class TorchEngine:
    """Reads the index in chunks through its memory map: memory does not grow with the genome."""

    def __init__(self, vectors: NDArray[np.float16], device: torch.device) -> None:
        self.vectors, self.device = vectors, device

    def nearest(self, queries: Vectors, count: int) -> tuple[Vectors, Ints]:
        """See `Engine`."""
        asked = torch.from_numpy(queries).to(self.device)
        best = asked.new_empty((len(asked), 0))
        place = torch.empty((len(asked), 0), dtype=torch.int64, device=self.device)
        for at in range(0, len(self.vectors), _CHUNK):
            chunk = torch.from_numpy(self.vectors[at : at + _CHUNK].astype(np.float32))
            here, where = _most_similar(asked, chunk.to(self.device), count)
            best, place = torch.cat([best, here], 1), torch.cat([place, where + at], 1)
            best, order = best.topk(min(count, best.shape[1]))
            place = place.gather(1, order)
        return best.cpu().numpy(), place.cpu().numpy()


def _most_similar(queries: Tensor, windows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Similarities and numbers of the nearest of some windows, some queries at a time."""
    found = [
        (some @ windows.T).topk(min(count, len(windows))) for some in torch.split(queries, _QUERIES)
    ]
    return torch.cat([top.values for top in found]), torch.cat([top.indices for top in found])


class FaissEngine:
    """A flat index of faiss (Douze et al. 2024, arXiv 2401.08281), float32 and all in memory."""

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        self.flat: Any = _faiss().IndexFlatIP(vectors.shape[1])
        for at in range(0, len(vectors), _CHUNK):
            self.flat.add(vectors[at : at + _CHUNK].astype(np.float32))

    def nearest(self, queries: Vectors, count: int) -> tuple[Vectors, Ints]:
        """See `Engine`."""
        similarities, windows = self.flat.search(np.ascontiguousarray(queries), count)
        return similarities, windows


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError:
        raise BadInput(
            "the engine faiss needs a library that is not installed",
            remedy="pip install 'findna[search]', or use the engine torch",
        ) from None
