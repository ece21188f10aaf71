"""What this process's memory is handed out from, where that is glibc's malloc.

It keeps a room (arena) of its own for up to eight threads per core, and what many hosts needed for
a moment, at a start or when all of them come back, stays with the process in pieces.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any

M_ARENA_MAX = -8
ARENAS = 2
"""As in the image's MALLOC_ARENA_MAX: Python computes in one thread at a time anyway."""


def use_few_arenas() -> None:
    """From now on; nothing where there is no glibc."""
    library = _library()
    if library is not None:
        library.mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return to the system what is not in use; milliseconds, in which other threads go on."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)


def _library() -> Any:
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.malloc_trim  # noqa: B018  # musl has none
        return library
    return None
