"""How hard the long faults are tried: all the way by `make soak`, a part of it elsewhere.

How long the lab's slow engines take is the lab's own setting, ABM_LAB_LOAD_SECONDS.
"""

from __future__ import annotations

import os

IS_SOAK = os.environ.get("ABM_SOAK") == "1"

KILLS = 20 if IS_SOAK else 6
"""Times that abm is killed in the middle of an install."""
BREAKS = (5, 30, 120) if IS_SOAK else (5,)
"""Seconds for which a remote host is cut off or frozen."""
RESTARTS = 5 if IS_SOAK else 1
"""Times that a daemon is restarted under running engines."""
