"""A backup's seal, what goes into it, and backups by the clock."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from abm.backup import archive, rows, schedule, sealing
from abm.backup.archive import read_backup, write_backup
from abm.backup.sealing import PIECE_BYTES, BackupUnusable, SealedReader, SealedWriter
from abm.celery import app
from abm.clock import clock
from engines.models import Engine
from jobs.lease import hold
from jobs.models import Event
from tests.engines.factories import make_engine

WORDS = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is slow to make is what scrypt is for; once below is enough."""
    monkeypatch.setattr(sealing, "COST", 1 << 4)


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    """A data directory, and a folder that the clock writes backups to."""
    settings.DATA_DIR = tmp_path / "data"
    (tmp_path / "data").mkdir()
    settings.BACKUP_DIR = tmp_path / "backups"
    settings.BACKUP_PASSPHRASE = WORDS
    settings.BACKUP_HOURS, settings.BACKUP_KEEP = 24, 2
    return tmp_path


def sealed(content: bytes) -> bytes:
    out = io.BytesIO()
    writer = SealedWriter(out, WORDS)
    writer.write(content)
    writer.finish()
    return out.getvalue()


def opened(text: bytes, passphrase: str = WORDS) -> bytes:
    reader = SealedReader(io.BytesIO(text), passphrase)
    return b"".join(iter(lambda: reader.read(100_000), b""))


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_what_was_sealed_comes_out_again(size: int) -> None:
    content = os.urandom(size)

    assert opened(sealed(content)) == content


def test_a_seal_of_full_strength_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "COST", 1 << 16)

    assert opened(sealed(b"secret")) == b"secret"
    assert b"secret" not in sealed(b"secret")


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(BackupUnusable, match="passphrase does not open"):
        opened(sealed(b"secret"), "correct horse batterie")


def test_a_backup_without_its_end_is_refused() -> None:
    text = sealed(os.urandom(PIECE_BYTES + 1))
    whole_pieces = text[: text.index(b"\n") + 1 + 4 + PIECE_BYTES + 16]

    for cut in (whole_pieces, text[:-1], text[: len(text) // 2]):
        with pytest.raises(BackupUnusable, match="not whole"):
            opened(cut)


def test_a_changed_sign_is_noticed_everywhere() -> None:
    text = sealed(os.urandom(PIECE_BYTES + 100))

    for place in (len(text) - 5, len(text) - 60, text.index(b"\n") + 1000):
        changed = bytearray(text)
        changed[place] ^= 1
        with pytest.raises(BackupUnusable):
            opened(bytes(changed))


def test_pieces_in_another_order_are_noticed() -> None:
    text = sealed(os.urandom(3 * PIECE_BYTES))
    head, size = text.index(b"\n") + 1, 4 + PIECE_BYTES + 16
    first, second = text[head : head + size], text[head + size : head + 2 * size]

    with pytest.raises(BackupUnusable):
        opened(text[:head] + second + first + text[head + 2 * size :])


@pytest.mark.parametrize("content", [b"", b"hello", b"{}\n", b"[1]\n", b'{"format": "zip"}\n'])
def test_another_file_is_no_backup(content: bytes) -> None:
    with pytest.raises(BackupUnusable, match="no backup of abm"):
        opened(content)


@pytest.mark.django_db
def test_every_table_is_backed_up_or_named_as_left_out() -> None:
    known = {model._meta.label_lower for model in apps.get_models()}

    assert rows._tables().keys() | rows.LEFT_OUT == known
    assert not rows._tables().keys() & rows.LEFT_OUT


@pytest.mark.django_db
def test_a_restore_into_an_abm_that_is_not_empty_needs_to_be_told_so(folder: Path) -> None:
    make_engine(name="old")
    write_backup(folder / "one.backup", passphrase=WORDS)
    make_engine(name="new")

    with pytest.raises(BackupUnusable, match="not empty: it has 0 people and 2 engines"):
        read_backup(folder / "one.backup", passphrase=WORDS, replaces=False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda names: names[:-1], "of an older abm, .* with that one, then upgrade that"),
        (lambda names: [*names, "jobs.0099_next"], "of another abm, .* Restore it with that one"),
    ],
)
def test_a_backup_of_other_tables_is_refused_with_the_way_out(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    other: Callable[[list[str]], list[str]],
    sentence: str,
) -> None:
    ours = archive.migrations()
    monkeypatch.setattr(archive, "migrations", lambda: other(ours))
    write_backup(folder / "one.backup", passphrase=WORDS)
    monkeypatch.setattr(archive, "migrations", lambda: ours)
    make_engine(name="kept")

    with pytest.raises(BackupUnusable, match=sentence):
        read_backup(folder / "one.backup", passphrase=WORDS, replaces=True)

    assert Engine.objects.filter(name="kept").exists()


@pytest.mark.django_db
def test_without_a_passphrase_nothing_is_written(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BACKUP_PASSPHRASE = ""
    monkeypatch.setattr("sys.stdin", io.StringIO())

    with pytest.raises(CommandError, match="needs a passphrase"):
        call_command("abm", "backup", str(folder / "one.backup"))

    assert not list(folder.glob("*backup*"))


@pytest.mark.django_db
def test_a_backup_that_cannot_be_written_leaves_none(folder: Path) -> None:
    with pytest.raises(CommandError, match="could not be made: No such file or directory"):
        call_command("abm", "backup", str(folder / "nowhere" / "one.backup"))


@pytest.mark.django_db
def test_a_backup_is_for_its_owner_alone(folder: Path) -> None:
    call_command("abm", "backup", str(folder / "one.backup"), stdout=io.StringIO())

    assert (folder / "one.backup").stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob("*.part"))


@pytest.mark.django_db
def test_the_clock_makes_one_when_the_last_is_old_and_keeps_so_many(folder: Path) -> None:
    for days in (3, 2):
        old = folder / "backups" / f"abm-2026010{5 - days}-000000.backup"
        old.parent.mkdir(exist_ok=True)
        old.touch()
        moment = timezone.now().timestamp() - days * 86_400
        os.utime(old, (moment, moment))

    schedule.run_if_due()
    schedule.run_if_due()

    found = schedule.backups()
    assert len(found) == 2
    assert found[0].stat().st_size > 0
    assert found[1].name == "abm-20260103-000000.backup"
    assert Event.objects.filter(name="backup.made").count() == 1


@pytest.mark.django_db
def test_two_workers_make_one_backup(folder: Path) -> None:
    hold(schedule.LEASE, "another worker", seconds=60)

    schedule.run_if_due()

    assert schedule.backups() == []


@pytest.mark.django_db
def test_a_scheduled_backup_that_fails_is_told_once(folder: Path) -> None:
    (folder / "backups").write_text("in the way")

    schedule.run_if_due()
    schedule.run_if_due()

    event = Event.objects.get(topic="system")
    assert event.text.startswith("The scheduled backup failed: ")


def test_the_clock_rings_for_tasks_that_there_are() -> None:
    app.loader.import_default_modules()
    rung = clock(sweep_seconds=5, measures=True, backs_up=True)

    assert {row["task"] for row in rung.values()} <= set(app.tasks)
    assert "abm.backup" not in clock(sweep_seconds=5, measures=True, backs_up=False)
