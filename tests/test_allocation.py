"""What is freed is kept where glibc lets it, and a person's own wish is left alone."""

import subprocess
import sys

import pytest

from findna.allocation import keep_freed_memory

FAULTS = """
import resource, sys
import numpy as np
from findna.allocation import keep_freed_memory
kept = sys.argv[1] == "kept" and keep_freed_memory()
def work():
    for _ in range(20):
        blocks = [np.ones(2**18) for _ in range(8)]  # 2 MiB each
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[str, int]:
    command = [sys.executable, "-c", FAULTS, how]
    kept, count = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return kept, int(count)


def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    kept, count = faults("kept")
    if kept == "False":
        pytest.skip("no glibc here")
    assert count < 0.1 * faults("given back")[1]


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_"])
def test_who_tunes_malloc_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    keep_freed_memory.cache_clear()
    assert not keep_freed_memory()
    keep_freed_memory.cache_clear()


def test_a_system_without_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("findna.allocation.ctypes.CDLL", lambda _: object())
    keep_freed_memory.cache_clear()
    assert not keep_freed_memory()
    keep_freed_memory.cache_clear()
