"""A wrong value stops the start with one sentence; a right one is used as it is meant."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from abm.environment import Reader, WrongSetting
from abm.filesystem import file_system_of, journal_for

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.process
SHOW = "import json; from abm import settings as s; print(json.dumps(%s, default=str))"


def started(folder: Path, code: str = "import abm.settings", **values: str) -> tuple[int, str, str]:
    """Read the settings in a process that knows nothing but these variables."""
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder / "data"), **values}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def read(folder: Path, expression: str, **values: str) -> object:
    status, out, problem = started(folder, SHOW % expression, **values)
    assert status == 0, problem
    return json.loads(out)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "eighty", "PORT is “eighty”; it must be a whole number from 1 to 65535."),
        ("PORT", "70000", "whole number from 1 to 65535"),
        ("DEBUG", "perhaps", "DEBUG is “perhaps”; it must be true or false."),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FORMAT", "xml", "one of console, json"),
        ("SQLITE_JOURNAL", "off", "one of auto, wal, delete"),
        ("ENGINE_START_TIMEOUT", "soon", "seconds above 0"),
        ("ENGINE_PORT_MAX", "80", "whole number from 8766 to 65535"),
        ("MAX_UPLOAD_MB", "0", "whole number from 1"),
        ("TIME_ZONE", "Mars/Olympus", "such as Europe/Berlin"),
        ("PUBLIC_URL", "abm.example", "begins with https://"),
        ("REDIS_URL", "localhost:6379", "begins with redis://"),
        ("CATALOG_URL", "file:///etc/passwd", "begins with https://"),
        ("DATABASE_URL", "mysql://a@b/c", "postgres://user:password@host:5432/name"),
        ("DATABASE_URL", "postgres://a@b:99999999/c", "postgres://user:password@host:5432/name"),
        ("ENGINES_DIR", "/nowhere/at/all", "a folder that exists"),
        ("SECRET_KEY_FILE", "/nowhere/key", "SECRET_KEY_FILE names “/nowhere/key”"),
        ("JOB_LOST_SECONDS", "1", "more than JOB_HEARTBEAT_SECONDS"),
        ("ADMIN_USERNAME", "ada", "set both"),
        ("OIDC_URL", "https://id.example", "OIDC_CLIENT_ID are of use together only"),
        ("PASSWORD_SIGN_IN", "false", "or nobody can sign in"),
        ("PROXY_USER_HEADER", "Remote-User", "name it in TRUSTED_PROXIES"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", "which is everybody"),
        ("TRUSTED_PROXIES", "nginx", "must be an address or a network"),
        ("MAIL_URL", "smtp://mail.example", "MAIL_FROM, and PUBLIC_URL"),
    ],
)
def test_a_wrong_value_is_told_in_one_sentence(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    status, _, problem = started(tmp_path, **{variable: value})

    assert status == 1
    assert problem.startswith("abm cannot start: ")
    assert problem.count("\n") == 1, "one line, no traceback"
    assert variable in problem
    assert said in problem


def test_a_password_in_a_url_is_not_repeated(tmp_path: Path) -> None:
    for variable in ("REDIS_URL", "DATABASE_URL"):
        _, _, problem = started(tmp_path, **{variable: "amqp://user:hunter2@host/x"})

        assert variable in problem
        assert "hunter2" not in problem


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")

    status, _, problem = started(tmp_path)

    assert status == 1
    assert problem.startswith("abm cannot start: the data directory ")
    assert problem.count("\n") == 1


def test_the_secret_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = read(tmp_path, "s.SECRET_KEY"), read(tmp_path, "s.SECRET_KEY")

    file = tmp_path / "data" / "secret_key"
    assert first == second == file.read_text()
    assert len(str(first)) >= 50
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in file.parent.iterdir()] == ["secret_key"]


def test_an_empty_key_file_that_a_full_disk_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").touch()

    assert len(str(read(tmp_path, "s.SECRET_KEY"))) >= 50


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from the file\n")
    values = {"ADMIN_USERNAME": "ada", "ADMIN_PASSWORD_FILE": str(tmp_path / "password")}

    assert read(tmp_path, "s.ADMIN_PASSWORD", **values) == "from the file"


def test_a_secret_in_both_places_is_one_too_many(tmp_path: Path) -> None:
    status, _, problem = started(tmp_path, SECRET_KEY="a", SECRET_KEY_FILE="b")

    assert status == 1
    assert "SECRET_KEY and SECRET_KEY_FILE are both set" in problem


def test_postgres_and_redis_are_taken_from_their_urls(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "[s.DATABASES['default'], s.CHANNEL_LAYERS, s.CELERY_BROKER_URL, s.IS_EMBEDDED]",
        DATABASE_URL="postgres://abm:p%40ss@db:5433/abm?sslmode=require",
        REDIS_URL="redis://cache:6379/0",
    )

    assert isinstance(found, list)
    database, layers, broker, is_embedded = found
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db", "5433", "abm")
    assert (database["USER"], database["PASSWORD"]) == ("abm", "p@ss")
    assert database["OPTIONS"] == {"sslmode": "require"}
    assert "Redis" in layers["default"]["BACKEND"]
    assert broker == "redis://cache:6379/0"
    assert is_embedded is False


def test_the_password_of_the_database_may_stand_apart(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("apart\n")
    values = {
        "DATABASE_URL": "postgres://abm@db/abm",
        "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }

    assert read(tmp_path, "s.DATABASES['default']['PASSWORD']", **values) == "apart"


def test_names_that_abm_answers_to(tmp_path: Path) -> None:
    only = read(tmp_path, "s.ALLOWED_HOSTS")
    wide = read(
        tmp_path,
        "s.ALLOWED_HOSTS",
        HOST="0.0.0.0",
        PUBLIC_URL="https://abm.example",
        ALLOWED_HOSTS="one.example, two.example",
    )

    assert only == ["localhost", "127.0.0.1", "[::1]"]
    assert isinstance(wide, list)
    assert {"127.0.0.1", "abm.example", "one.example", "two.example"} <= set(wide)
    assert "*" not in wide


def test_https_outside_makes_cookies_secure(tmp_path: Path) -> None:
    expression = "[s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.CSRF_TRUSTED_ORIGINS]"

    assert read(tmp_path, expression) == [False, False, []]
    assert read(tmp_path, expression, PUBLIC_URL="https://abm.example/") == [
        True,
        True,
        ["https://abm.example"],
    ]


def test_the_production_settings_leave_nothing_to_be_warned_of(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(tmp_path / "data"),
            "PUBLIC_URL": "https://abm.example",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_a_file_beside_manage_py_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text('TRIED_ONE=from the file\nTRIED_TWO="and this"\n')
    monkeypatch.setenv("TRIED_ONE", "from the environment")
    monkeypatch.delenv("TRIED_TWO", raising=False)

    reader = Reader(file)

    assert reader.text("TRIED_ONE", "") == "from the environment"
    assert reader.text("TRIED_TWO", "") == "and this"
    monkeypatch.setenv("TRIED_TWO", "")  # so that it is taken away again after the test


def test_a_number_out_of_range_names_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIED_NUMBER", "-5")

    with pytest.raises(WrongSetting, match="from 1 to 9"):
        Reader(Path("/nowhere")).number("TRIED_NUMBER", 3, least=1, most=9)


def test_wal_is_for_file_systems_that_are_known_to_share_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, journal in [
        ("ext4", "WAL"),
        ("nfs4", "DELETE"),
        ("bind:ext4", "DELETE"),
        ("", "DELETE"),
    ]:
        monkeypatch.setattr("abm.filesystem.file_system_of", lambda folder, kind=kind: kind)
        assert journal_for(tmp_path, "auto") == journal
    assert journal_for(tmp_path, "wal") == "WAL"
    assert journal_for(tmp_path, "delete") == "DELETE"


@pytest.mark.skipif(not Path("/proc/mounts").exists(), reason="mounts are told by Linux only")
def test_the_file_system_of_a_folder_is_told() -> None:
    assert file_system_of(Path("/proc/self")) == "proc"
