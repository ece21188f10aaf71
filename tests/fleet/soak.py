"""How hard the long faults are tried: all the way by `make soak`, a part of it elsewhere."""

from __future__ import annotations

import os
import sys

IS_SOAK = os.environ.get("ABM_SOAK") == "1"

KILLS = 20 if IS_SOAK else 4
"""Times that abm is killed in the middle of an install."""
LOAD_SECONDS = 25 if IS_SOAK else 3
"""How long an engine takes to load."""
RESTARTS = 5 if IS_SOAK else 1
"""Times that a daemon is restarted under running engines."""


def tell(figure: str) -> None:
    """Print a figure past pytest's capture, so that a run of `make soak` shows it."""
    sys.__stderr__.write(f"\n{figure}\n") if sys.__stderr__ else None
