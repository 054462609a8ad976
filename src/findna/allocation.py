"""How memory is taken from the system."""

from __future__ import annotations

import ctypes
import os
from functools import cache

# Of glibc's malloc.h. A block above a threshold, at most 32 MiB, is mapped by itself and given back
# when it is freed, unless no block at all may be.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_LARGEST_KEPT, _MOST_KEPT = 32 * 2**20, 2**31 - 1
_NEVER, _NONE = -1, 0
_ASKED_OTHERWISE = (
    "GLIBC_TUNABLES",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
)


@cache
def keep_freed_memory(*, large: bool = False) -> bool:
    """Let this process keep blocks of up to 32 MiB that it frees, for the next time it wants one;
    `large` ones as well, which costs up to a fifth more memory.

    A network on a CPU frees and takes the same megabytes in every layer. glibc gives them back to
    the system and gets them page by page, which takes a tenth of the time for small blocks and a
    quarter for large ones (docs/performance.md). Changes the whole process: for programs, not
    for libraries.

    Returns:
        Whether it was done: not without glibc, nor where the environment tunes glibc itself.
    """
    if any(name in os.environ for name in _ASKED_OTHERWISE):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        and mallopt(_TRIM_THRESHOLD, _NEVER if large else _MOST_KEPT)
        and (not large or mallopt(_MMAP_MAX, _NONE))
    )
