"""What every answer has, whatever the page: headers, refusals, errors."""

from __future__ import annotations

import errno
import json
import sqlite3
from pathlib import Path

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from abm.middleware import FullDiskMiddleware, answer_of
from accounts.refused import Refused
from tests.pages.factories import HTMX

REFUSED = Refused("HOST_BUSY", "This machine is busy; wait.", status=409, host="local", jobs=2)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("evil.example", "evil.example"),
        ("evil.example:8765", "evil.example"),
        ("192.0.2.9:80", "192.0.2.9"),
        ("[2001:db8::1]:80", "[2001:db8::1]"),
        ("", "that name"),
    ],
)
def test_a_refused_host_names_the_variable_to_set(client: Client, host: str, name: str) -> None:
    answer = client.get("/", headers={"Host": host})

    text = answer.content.decode()
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/plain")
    assert f"“{name}”" in text
    assert f"ALLOWED_HOSTS={name}" in text


def test_a_program_at_a_refused_host_gets_a_code(client: Client) -> None:
    answer = client.get("/api/engine-hosts", headers={"Host": "evil.example;x"})

    assert answer.status_code == 400
    assert answer.json()["detail"] == "[HOST_NAME_UNKNOWN]name:evil.example%3Bx"
    assert "ALLOWED_HOSTS" in answer.json()["message"]


def test_a_host_header_is_never_markup(client: Client) -> None:
    answer = client.get("/", headers={"Host": "<script>alert(1)</script>"})

    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("text/plain")


def test_a_form_without_its_token_is_told_kindly(db: None) -> None:
    client = Client(enforce_csrf_checks=True)

    answer = client.post("/accounts/login/", {"username": "a", "password": "b"})

    assert answer.status_code == 403
    assert "The form is too old" in answer.content.decode()


def test_no_page_runs_inline_script_or_is_framed(admin: Client) -> None:
    for path in ("/", "/engines/", "/catalog/", "/accounts/login/", "/nowhere/"):
        answer = admin.get(path, follow=True)
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_page_that_is_nowhere_is_not_found_for_who_is_signed_in(viewer: Client) -> None:
    assert viewer.get("/nowhere/").status_code == 404


def test_htmx_gets_a_refusal_as_a_message(rf: RequestFactory) -> None:
    answer = answer_of(rf.post("/engines/1/start/", headers=HTMX), REFUSED)

    assert answer.status_code == 409
    assert answer["HX-Retarget"] == "#messages"
    assert "This machine is busy; wait." in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_a_browser_gets_a_refusal_as_a_page(rf: RequestFactory) -> None:
    answer = answer_of(rf.post("/engines/1/start/"), REFUSED)

    assert answer.status_code == 409
    assert "This machine is busy; wait." in answer.content.decode()
    assert "<html" in answer.content.decode()


def test_a_program_gets_a_refusal_as_its_code(rf: RequestFactory) -> None:
    answer = answer_of(rf.post("/api/engines/1/start"), REFUSED)

    assert answer.status_code == 409
    assert json.loads(answer.content) == {
        "detail": "[HOST_BUSY]host:local;jobs:2",
        "message": "This machine is busy; wait.",
    }


def test_a_refusal_is_never_markup(rf: RequestFactory) -> None:
    nasty = Refused("NOPE", "<script>alert(1)</script>")

    for headers in ({}, HTMX):
        text = answer_of(rf.get("/x/", headers=headers), nasty).content.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text


def test_a_full_disk_is_told_with_the_way_out(rf: RequestFactory, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "small.sqlite3")
    database.execute("CREATE TABLE kept (text)")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.execute("INSERT INTO kept VALUES (?)", ["x" * 50_000])
    database.close()
    errors: list[Exception] = [OperationalError(*full.value.args)]
    errors.append(OSError(errno.ENOSPC, "No space left on device"))
    middleware = FullDiskMiddleware(lambda request: HttpResponse())

    for error in errors:
        answer = middleware.process_exception(rf.post("/jobs/1/retry/", headers=HTMX), error)
        assert answer is not None
        assert answer.status_code == 507
        assert "Free some space there" in answer.content.decode()


def test_a_program_is_told_of_a_full_disk_without_its_path(
    rf: RequestFactory, settings: Settings
) -> None:
    middleware = FullDiskMiddleware(lambda request: HttpResponse())
    error = OSError(errno.ENOSPC, "No space left on device")

    answer = middleware.process_exception(rf.post("/api/tokens"), error)

    assert answer is not None
    said = json.loads(answer.content)
    assert (answer.status_code, said["detail"]) == (507, "[DISK_FULL]")
    assert str(settings.DATA_DIR) not in said["message"]


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), OperationalError("no such table")])
def test_other_failures_are_bugs_and_stay_so(rf: RequestFactory, error: Exception) -> None:
    middleware = FullDiskMiddleware(lambda request: HttpResponse())

    assert middleware.process_exception(rf.get("/"), error) is None
