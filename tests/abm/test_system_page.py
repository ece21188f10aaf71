"""The system page, and the diagnostics that go out without secrets."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from abm.notify.models import NotifyTarget
from accounts.secrets import encrypted
from hosts.models import Host, RegistryLogin, RemoteAccess
from hosts.ssh.keys import fresh_key, sealed
from jobs.models import Process
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import browser_of, make_job, make_user

pytestmark = pytest.mark.django_db
PATHS = ["/system/", "/system/seen/", "/system/stream/", "/system/diagnostics/"]


@pytest.mark.parametrize("path", PATHS)
def test_the_system_is_for_admins(client: Client, admin: Client, path: str) -> None:
    assert client.get(path).status_code == 302
    for role in ("viewer", "operator"):
        assert browser_of(make_user(role)).get(path).status_code == 403
    assert admin.get(path).status_code == 200
    assert admin.post(path).status_code == 405


def test_the_way_to_it_is_shown_to_admins(operator: Client, admin: Client) -> None:
    assert 'href="/system/"' not in operator.get("/settings/").content.decode()
    assert 'href="/system/"' in admin.get("/settings/").content.decode()


def test_processes_and_what_waits_are_shown(admin: Client) -> None:
    Process.objects.create(
        role="link", name="1-x", machine="box-7", version="9.9", is_standby=True,
        started_at=Now(), seen_at=Now(),
    )  # fmt: skip
    job = make_job("queued")
    type(job).objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=5))

    page = admin.get("/system/").content.decode()

    assert "box-7" in page
    assert "stands by" in page
    assert "5 min 0 s" in page
    assert "none works" in page


def test_each_proxy_trouble_names_the_line_to_add(admin: Client) -> None:
    page = admin.get("/system/").content.decode()

    for line in ("X-Forwarded-Proto $scheme", "Host $http_host", "Upgrade $http_upgrade"):
        assert f"proxy_set_header {line};" in page
    assert "proxy_buffering off;" in page
    assert "TRUSTED_PROXIES=127.0.0.1,::1,&lt;the address that abm sees&gt;" in page


def test_a_request_is_told_as_it_arrived(admin: Client) -> None:
    told = admin.get("/system/seen/", headers={"Host": "localhost:8765"}).json()

    assert (told["scheme"], told["host"], told["address"]) == (
        "http",
        "localhost:8765",
        "127.0.0.1",
    )


SECRETS = {
    "SECRET_KEY": "the-key-of-all-sessions",
    "ADMIN_PASSWORD": "pass&word of the admin",
    "METRICS_TOKEN": "metrics-token-1",
    "BACKUP_PASSPHRASE": 'words "and" quotes',
    "DATABASE_URL": "postgres://abm:database-pw@db/abm",
    "REDIS_URL": "redis://:redis-pw@redis/0",
}
STORED = ("registry-pw", "hf_stored_token", "plain_api_token", "hook-signature", "build-arg-secret")
ADDRESS = "ntfys://bob:ntfy-password@ntfy.example/topic-nobody-knows"


def plant(settings: Settings) -> list[str]:
    """Put a secret wherever abm keeps one; all that must not come out."""
    for name, value in SECRETS.items():
        setattr(settings, name, value)
    key = fresh_key()
    host = make_host(host_type=Host.Type.DOCKER_REMOTE, ssh_url="ssh://abm@box")
    RemoteAccess.objects.create(
        host=host, name="Box", mark="docker:1", address="ssh://abm@box", key=sealed(key)
    )
    RegistryLogin.objects.create(registry="ghcr.io", username="a", password=encrypted(STORED[0]))
    NotifyTarget.objects.create(
        name="n", type="apprise", url=encrypted(ADDRESS), secret=encrypted(STORED[3])
    )
    secrets = {"HF_TOKEN": encrypted(STORED[1])}
    everything = [
        *SECRETS.values(),
        *STORED,
        ADDRESS,
        key.private,
        "ntfy-password",
        *secrets.values(),
    ]
    leaked = "leaked: " + " ".join(everything)
    engine = make_engine(
        host=host,
        secrets=secrets,
        environment={"API_TOKEN": STORED[2]},
        error=leaked,
        error_detail="docker login -p https%3A//x pass%26word%20of%20the%20admin",
        parameters={"password": "typed-by-somebody"},
    )
    job = make_job(
        "failed", engine=engine, host=host, error_detail=leaked,
        params={"build_args": encrypted(STORED[4])},
    )  # fmt: skip
    job.lines.create(number=1, text=leaked)
    job.lines.create(number=2, text="git clone https://me:unknown-pw@git.example/x")
    body = [line for line in key.private.splitlines() if not line.startswith("-----")]
    return [
        *(value for value in SECRETS.values()), *STORED, ADDRESS, "database-pw", "redis-pw",
        "ntfy-password", "topic-nobody-knows", "unknown-pw", "typed-by-somebody", "gAAAAA",
        "pass%26word", *body,
    ]  # fmt: skip


def test_the_diagnostics_hold_no_secret_wherever_one_leaked(settings: Settings) -> None:
    planted = plant(settings)
    admin = browser_of(make_user("admin"))  # another SECRET_KEY ends every session

    answer = admin.get("/system/diagnostics/")

    files = read(answer.content)
    assert {"system.json", "settings.json", "hosts.json", "engines.json", "jobs.json"} <= set(files)
    found = {
        (name, secret)
        for name, text in files.items()
        for secret in planted
        if secret in text or json.dumps(secret)[1:-1] in text
    }
    assert not found
    raw = answer.content
    assert not [secret for secret in planted if secret.encode() in raw]
    assert base64.b64encode(SECRETS["SECRET_KEY"].encode()) not in raw


def test_the_diagnostics_say_what_failed() -> None:
    engine = make_engine(name="speaker", error="The image is gone.")
    job = make_job("failed", engine=engine, host=engine.host, error="No space left on gpu-box.")
    job.lines.create(number=7, text="layer 3 of 9")
    admin = browser_of(make_user("admin"))

    files = read(admin.get("/system/diagnostics/").content)

    (told,) = json.loads(files["jobs.json"])
    assert told["error"] == "No space left on gpu-box."
    assert told["lines"] == [[7, "layer 3 of 9"]]
    assert json.loads(files["engines.json"])[0]["error"] == "The image is gone."
    assert json.loads(files["system.json"])["tables"]["jobs_job"] == 1
    assert "abm_jobs_last_day" in files["metrics.txt"]


def read(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        return {name: made.read(name).decode() for name in made.namelist()}
