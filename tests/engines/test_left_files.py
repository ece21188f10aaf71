"""What a killed process was writing: it is no sample, no result, and goes after an hour."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from engines import samples
from engines.left_files import tidy_files
from engines.models import Trial
from engines.sample_models import draft_of, own_samples
from engines.trial_results import trials_folder
from tests.engines.factories import make_engine
from tests.engines.recordings import recording
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    for folder in (own_samples(), trials_folder()):
        folder.mkdir()
    return tmp_path


def write_old(path: Path) -> Path:
    path.write_bytes(b"RIFF")
    then = time.time() - 4000
    os.utime(path, (then, then))
    return path


def test_a_sample_has_its_name_only_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)

    with pytest.raises(OSError, match="No space"):
        samples.add_sample(name="Anna", data=recording(), user=make_user())

    assert list(own_samples().iterdir()) == []


def test_what_was_cut_off_goes_after_an_hour_and_what_is_owned_stays() -> None:
    user = make_user()
    sample = samples.add_sample(name="Anna", data=recording(), user=user)
    kept = write_old(trials_folder() / "kept.wav")
    Trial.objects.create(engine=make_engine(), user=user, audio=kept.name, took_seconds=1)
    by_hand = write_old(own_samples() / "by-hand.wav")
    cut_off = [write_old(draft_of("anna-123456.wav")), write_old(trials_folder() / "lost.wav")]
    under_way = draft_of("bert-123456.wav")
    under_way.write_bytes(b"RIFF")

    assert tidy_files() == 2

    assert not any(path.exists() for path in cut_off)
    assert all(path.exists() for path in (sample.path, kept, by_hand, under_way))
