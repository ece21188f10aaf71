"""Files that belong to nobody: what a process was writing when it was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from engines.models import Trial
from engines.sample_models import draft_of, own_samples
from engines.sources import places
from engines.trial_models import trials_folder

UNFINISHED_SECONDS = 3600.0
"""So long nothing takes that writes a sample or a result."""


def tidy_files() -> int:
    """Delete what nobody finished and nobody fetched; how many files and folders those were."""
    before = time.time() - UNFINISHED_SECONDS
    old = [path for path in (*_drafts(), *_results()) if _is_older(path, before)]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old) + places.tidy()


def _drafts() -> Iterator[Path]:
    return own_samples().glob(draft_of("*.wav").name)


def _results() -> list[Path]:
    """Recordings of Try it that no row names."""
    named = set(Trial.objects.exclude(audio="").values_list("audio", flat=True))
    return [path for path in trials_folder().glob("*.wav") if path.name not in named]


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False  # it got its name meanwhile
