"""What every test shares: one thread each, a cache of its own, real data where it lies."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before numpy and torch are imported: two workers on two cores would fight over threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("findna", deadline=None, max_examples=50)
settings.load_profile("findna")

PROJECT = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("FINDNA_DATA", PROJECT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is no CUDA device; torch is only asked if one is."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_cuda():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """A function from a path below the real data folder to that path; skips where it is absent."""

    def find(path: str) -> Path:
        found = REAL_DATA / path
        if not found.exists():
            pytest.skip(f"real data not here: {path} (set FINDNA_DATA to its folder)")
        return found

    return find


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes of one test session never meet those of the user or of another session."""
    base = tmp_path_factory.getbasetemp() / "findna-cache"
    monkeypatch.setenv("FINDNA_CACHE", str(base))


_ASKED_FOR: list[str] = []


def _watch(event: str, details: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = details[0].decode() if isinstance(details[0], bytes) else str(details[0] or "")
        if host not in ("", "localhost", "127.0.0.1", "::1") and not host.endswith(".invalid"):
            _ASKED_FOR.append(host)


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _no_connections() -> Iterator[None]:
    """Nothing asks for a host elsewhere, not even a library that goes on without an answer."""
    _ASKED_FOR.clear()
    yield
    assert not _ASKED_FOR, f"asked for {_ASKED_FOR}"


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A verb that ran in this process has given the log handlers and a level of its own."""
    log = logging.getLogger("findna")
    log.handlers[:], log.propagate = [], True
    log.setLevel(logging.NOTSET)
    yield
    log.handlers[:] = []


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator: the same numbers in every run of the test."""
    return np.random.default_rng(20240513)
