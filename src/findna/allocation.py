"""How memory is taken from the system."""

from __future__ import annotations

import ctypes
import os
from functools import cache

# Of glibc's malloc.h. A block that is mapped by itself is given back when it is freed, whatever its
# size: none is. No number of bytes is the threshold at which what lies free is given back: never.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _NONE = -1, 0
_ASKED_OTHERWISE = (
    "GLIBC_TUNABLES",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
)


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the blocks that it frees, for the next time it wants one.

    A network on a CPU frees and takes the same megabytes in every layer. glibc gives them back to
    the system and gets them page by page, which takes a tenth of the time for small blocks and
    half of it for large ones (docs/performance.md). Changes the whole process: for programs, not
    for libraries.

    Returns:
        Whether it was done: not without glibc, nor where the environment tunes glibc itself.
    """
    if any(name in os.environ for name in _ASKED_OTHERWISE):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(
        mallopt(_MMAP_MAX, _NONE) and mallopt(_TRIM_THRESHOLD, _NEVER)
    )
