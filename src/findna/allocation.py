"""How memory is taken from the system."""

from __future__ import annotations

import ctypes
import os
from functools import cache

# Of glibc's malloc.h. A block above the threshold is mapped by itself and given back when it is
# freed; 32 MiB is the highest that glibc takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 32 * 2**20, 2**31 - 1
_ASKED_OTHERWISE = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


@cache
def keep_freed_memory() -> bool:
    """Let this process keep blocks of up to 32 MiB that it frees, for the next time it wants one.

    A network on a CPU frees and takes the same megabytes in every layer. glibc gives them back to
    the system and gets them page by page, which takes a tenth of the time and more
    (docs/performance.md). Changes the whole process: for programs, not for libraries.

    Returns:
        Whether it was done: not without glibc, nor where the environment tunes glibc itself.
    """
    if any(name in os.environ for name in _ASKED_OTHERWISE):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
    )
