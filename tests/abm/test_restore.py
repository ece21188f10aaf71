"""Backups brought back into empty installations: from SQLite to PostgreSQL and back again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from django.test import override_settings
from pytest_django import Settings

from abm.backup.archive import _looked_through, _rows, write_backup
from abm.notify.models import Delivery, NotifyTarget
from accounts.models import ApiToken, User
from accounts.secrets import decrypted, encrypted
from hosts.models import Host, RegistryLogin
from jobs.models import Job, JobLine
from tests.abm.apart import Browser
from tests.browser.server import ROOT, Served
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import make_job, make_user
from tests.servers import NO_POSTGRES, has_postgres, postgres

WORDS, PASSWORD = "a passphrase of many words", "correct horse battery"
MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC)
SECRETS = ("hf_token_of_ada", "registry-password", "ntfy://user:pass@box/topic")
MANAGE_SECONDS = 120

pytestmark = [
    pytest.mark.process,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
]


@pytest.fixture
def source(tmp_path: Path, settings: Settings) -> Path:
    """An abm with something in every difficult column; the folder of its data."""
    folder = tmp_path / "source"
    settings.DATA_DIR = folder
    for name in ("models/voices", "trials", "samples"):
        (folder / name).mkdir(parents=True)
    (folder / "models/voices/small.onnx").write_bytes(os.urandom(3_000_000))
    (folder / "models/latest").symlink_to("voices/small.onnx")
    (folder / "trials/1.wav").write_bytes(b"RIFF")
    ada = User.objects.create(
        username="ada", role="admin", password=Argon2PasswordHasher().encode(PASSWORD, "saltsalt")
    )
    Authenticator.objects.create(
        user=make_user("viewer", "bob"), type="totp", data={"secret": encrypted("JBSWY3DPEHPK3PXP")}
    )
    ApiToken.objects.create(user=ada, name="ci", prefix="abm_x", sha256="0" * 64, role="viewer")
    host = make_host(host_id="local", models_path=str(folder / "models"), display_name="Küche")
    make_engine(
        host=host,
        name="speaker",
        display_name="Speaker",
        secrets={"HF_TOKEN": encrypted(SECRETS[0])},
        parameters={"speed": 1.25, "list": [1, None, {"deep": "ü"}]},
        environment={"CACHE": str(folder / "models/voices")},
        used_at=MOMENT,
    )
    RegistryLogin.objects.create(registry="ghcr.io", username="ada", password=encrypted(SECRETS[1]))
    target = NotifyTarget.objects.create(
        name="phone", type="apprise", url=encrypted(SECRETS[2]), quiet_from=time(22, 15)
    )
    Delivery.objects.create(target=target, kind="test", title="late")
    first = make_job("failed", host=host, error="x" * 100_000)
    # SQLite takes both; PostgreSQL takes neither a NUL nor more than 255 signs.
    JobLine.objects.create(job=first, number=5_000, text="a\x00b")
    second = make_job("succeeded", host=host, retry_of=first, registry="r" * 300)
    Job.objects.filter(pk=first.pk).update(retry_of=second)  # a circle of foreign keys
    JobLine.objects.bulk_create(
        JobLine(job=first, number=number, text=f"line {number}") for number in range(1_200)
    )
    return folder


def manage(data: Path, *words: str, database: str = "", **more: str) -> str:
    """What a `manage.py` of that data directory says, however it ends."""
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(data),
        "DATABASE_URL": database,
        "CATALOG_URL": "",
        "CATALOG_SYNC": "false",
        "BACKUP_PASSPHRASE": WORDS,
        **more,
    }
    ended = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=MANAGE_SECONDS,
    )
    return ended.stdout + ended.stderr


def content(file: Path) -> dict[str, dict[str, Any]]:
    """The rows of a backup by table and key, with secrets in clear and places without a root."""
    manifest = _looked_through(file, WORDS)
    found: dict[str, dict[str, Any]] = {}
    for label, block in _rows(file, WORDS):
        for line in block.splitlines():
            text = line.decode().replace(manifest["data_dir"], "DATA").replace(r"\u0000", r"\ufffd")
            text = re.sub(r"gAAAAA[\w=-]+", lambda token: clear(token[0], manifest["keys"]), text)
            row = json.loads(text)
            found.setdefault(label, {})[str(row.get("id", row.get("name")))] = row
    return found


def clear(token: str, keys: list[str]) -> str:
    with override_settings(SECRET_KEY=keys[0], SECRET_KEY_FALLBACKS=[]):
        return decrypted(token)


def test_everything_comes_back_on_postgres_and_on_sqlite_again(
    source: Path, tmp_path: Path
) -> None:
    assert connection.vendor == "sqlite"
    first, second, third = (tmp_path / f"{number}.backup" for number in (1, 2, 3))
    write_backup(first, passphrase=WORDS)
    with postgres() as database:
        said = manage(tmp_path / "two", "abm", "restore", str(first), database=database)
        assert "Restored" in said, said
        assert " 3 files " in said
        said = manage(tmp_path / "two", "abm", "backup", str(second), database=database)
        assert "is whole" in said, said
        # The keys of rows go on where they ended.
        made = "from jobs.models import Event; print(Event.objects.create(origin='').pk)"
        said = manage(tmp_path / "two", "shell", "-c", made, database=database)
        assert re.search(r"^\d+$", said, re.M), said
    said = manage(tmp_path / "three", "abm", "restore", str(second))
    assert "Restored" in said, said
    assert "is whole" in manage(tmp_path / "three", "abm", "backup", str(third))

    before = content(first)
    (long,) = (row for row in before["jobs.job"].values() if row["registry"])
    assert len(long["registry"]) == 300
    long["registry"] = "r" * 255
    (sent_before,) = before.pop("abm.delivery").values()
    for after in (content(second), content(third)):
        (sent_after,) = after.pop("abm.delivery").values()
        assert (sent_before["status"], sent_after["status"]) == ("waiting", "failed")
        assert after == before
    assert SECRETS[0] in json.dumps(before)
    assert "JBSWY3DPEHPK3PXP" in json.dumps(before["mfa.authenticator"])
    (engine,) = before["engines.engine"].values()
    assert engine["used_at"] == MOMENT.isoformat()
    assert len(before["jobs.jobline"]) == 1_201
    for file in ("models/voices/small.onnx", "models/latest", "trials/1.wav", "deployment"):
        assert (tmp_path / "three" / file).read_bytes() == (source / file).read_bytes(), file
    assert (tmp_path / "three/models/latest").is_symlink()


def test_a_restored_abm_starts_and_lets_people_in(source: Path, tmp_path: Path) -> None:
    write_backup(tmp_path / "one.backup", passphrase=WORDS)
    served = Served(tmp_path / "new")
    said = manage(tmp_path / "new/data", "abm", "restore", str(tmp_path / "one.backup"))
    assert "Restored" in said, said

    served.start()
    try:
        browser = Browser(served.port)
        browser.get("/accounts/login/")
        status, _ = browser.post("/accounts/login/", username="ada", password=PASSWORD)
        page = browser.get("/engines/")[1]
    finally:
        served.stop()

    assert status == 302
    assert "Speaker" in page
    assert "Küche" in page


def test_a_backup_that_does_not_fit_changes_nothing(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    write_backup(file, passphrase=WORDS)
    data = tmp_path / "new"

    said = manage(data, "abm", "restore", str(file), BACKUP_PASSPHRASE="something else")
    assert "The passphrase does not open this backup." in said

    assert "Restored" in manage(data, "abm", "restore", str(file))
    assert "This abm is not empty: it has 2 people" in manage(data, "abm", "restore", str(file))
    assert "Restored" in manage(data, "abm", "restore", str(file), "--replace")


def test_an_abm_that_runs_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    write_backup(tmp_path / "one.backup", passphrase=WORDS)
    (tmp_path / "new").mkdir()
    served = Served(tmp_path / "new")
    served.start()
    try:
        said = manage(
            tmp_path / "new/data", "abm", "restore", str(tmp_path / "one.backup"), "--replace"
        )
    finally:
        served.stop()

    assert "is in use by abm with the process number" in said
    assert Host.objects.count() == 1
