"""Who did what: written by services, shown to admins, changed by nobody."""

from __future__ import annotations

import ast
import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.audit import HIDDEN, Via, acting, forget_old, note
from accounts.audit_models import AuditEntry, Unchangeable
from engines.services import set_keep_running, start_engine
from hosts.registry_logins import add_login
from hosts.services import change_host
from jobs.services import prune
from tests.engines.factories import make_engine
from tests.pages.factories import browser_of, make_user

AUDIT = "/accounts/audit/"
DOORS = ("views", "consumers", "consumer", "roles", "rest")
NOTERS = {"note", "note_engine", "submit_job", "submit_once", "_note"}
UNNOTED = {
    "accounts.tokens._require_own": "checks for its callers",
    "catalog.overriding.say_of_entry": "each field is noted by itself",
    "catalog.services.add_source": "save_source notes it",
    "catalog.services.change_source": "save_source notes it",
    "engines.preferences.set_preferences": "each change is noted by itself",
    "engines.updates.check_now": "asks a registry and changes nothing",
    "engines.updates.do_many": "each verb is noted by itself",
    "engines.trials._require_running": "Try it keeps its own history",
    "engines.services._check_fit": "checks for its caller",
    "engines.sources.uploading.start_upload": "the job that loads it is noted",
    "engines.sources.uploading.read_upload": "the job that loads it is noted",
    "hosts.registry_logins._of_admin": "checks for its callers",
    "hosts.registry_logins.test_login": "asks a registry and changes nothing",
    "hosts.remote.ask_check": "looks and changes nothing",
    "hosts.services.ask_probe": "looks and changes nothing",
    "hosts.services.change_host": "each change is noted by itself",
    "jobs.services.retry_job": "makes a job, which is noted",
}


def only() -> AuditEntry:
    return AuditEntry.objects.get()


@pytest.mark.django_db
def test_an_entry_says_who_did_what_to_what_and_from_where() -> None:
    ada = make_user("admin", "ada")

    with acting(via=Via.PAGE, address="192.0.2.7"):
        engine = make_engine()
        set_keep_running(engine, keeps=True, user=ada)

    entry = only()
    assert (entry.username, entry.user_pk, entry.verb) == ("ada", ada.pk, "engine.keep_running")
    assert (entry.object_type, entry.object_pk) == ("engine", str(engine.pk))
    assert entry.object_name == f"{engine} on {engine.host}"
    assert (entry.via, entry.address, entry.after) == (Via.PAGE, "192.0.2.7", {"is_on": True})


@pytest.mark.django_db
def test_what_abm_does_by_itself_is_told_from_what_people_do() -> None:
    set_keep_running(make_engine(), keeps=True, user=None)

    assert (only().username, only().user_pk, only().via) == ("", None, Via.ABM)


@pytest.mark.django_db
def test_a_verb_that_makes_a_job_is_noted_with_the_job() -> None:
    job = start_engine(make_engine(), user=make_user("operator"))

    assert job is not None
    assert (only().verb, only().after) == ("engine.start", {"job": job.pk, "model": ""})


@pytest.mark.django_db
def test_before_and_after_hold_only_what_changed() -> None:
    host = make_engine().host
    name, paths = host.display_name, (host.samples_path, host.models_path)

    change_host(
        host,
        name="Cellar",
        samples=paths[0],
        models=paths[1],
        is_enabled=True,
        user=make_user("admin"),
    )

    assert (only().before, only().after) == ({"display_name": name}, {"display_name": "Cellar"})


@pytest.mark.django_db
def test_a_change_that_is_taken_back_is_not_noted() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        set_keep_running(make_engine(), keeps=True, user=None)
        raise ZeroDivisionError

    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_no_secret_is_ever_written() -> None:
    add_login("ghcr.io", username="ada", password="hunter2-token", user=make_user("admin"))
    after = {"api_key": "sk-1", "nested": {"password": "p", "port": 1}, "empty_secret": ""}
    note("host.change", "box", user=None, after=after)

    text = json.dumps(list(AuditEntry.objects.values("before", "after")))
    assert "hunter2" not in text
    assert AuditEntry.objects.get(verb="host.change").after == {
        "api_key": HIDDEN,
        "nested": {"password": HIDDEN, "port": 1},
        "empty_secret": "",
    }


@pytest.mark.django_db
def test_strange_signs_and_endless_values_are_kept_within_bounds() -> None:
    note("host.change", "b\x00ox", user=None, after={"a": "x\x00y", "long": "z" * 5_000})

    assert only().object_name == "box"
    assert only().after["a"] == "xy"
    assert only().after["long"].endswith("… (5000 signs)")


@pytest.mark.django_db
def test_nothing_in_the_code_can_change_or_delete_an_entry() -> None:
    entry = note("host.change", "box", user=None)

    for way in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(verb="x"),
    ):
        with pytest.raises(Unchangeable):
            way()
    assert only().verb == "host.change"


@pytest.mark.django_db
def test_entries_outlive_who_they_speak_of() -> None:
    bob = make_user("operator", "bob")
    set_keep_running(make_engine(), keeps=True, user=bob)

    bob.delete()

    assert only().username == "bob"


@pytest.mark.django_db
def test_only_what_is_older_than_the_setting_goes(settings: Settings) -> None:
    for days in (1, 29, 31):
        AuditEntry.objects.create(
            at=timezone.now() - timedelta(days=days), via=Via.ABM, verb=f"host.day{days}"
        )

    settings.AUDIT_DAYS = 0
    assert forget_old() == 0
    settings.AUDIT_DAYS = 30
    prune()

    assert {entry.verb for entry in AuditEntry.objects.all()} == {"host.day1", "host.day29"}


def test_a_request_brings_its_address_and_its_door(admin: Client) -> None:
    other = make_user("viewer", "eve")

    admin.post(f"/accounts/users/{other.pk}/role/", {"role": "operator"}, REMOTE_ADDR="192.0.2.9")

    entry = AuditEntry.objects.get(verb="user.role")
    assert (entry.address, entry.via, entry.object_name) == ("192.0.2.9", Via.PAGE, "eve")
    assert entry.changes == [("role", "viewer", "operator")]


@pytest.mark.parametrize("role", ["viewer", "operator"])
@pytest.mark.parametrize("path", [AUDIT, f"{AUDIT}csv/", f"{AUDIT}json/"])
@pytest.mark.django_db
def test_the_audit_is_for_admins(role: str, path: str) -> None:
    assert browser_of(make_user(role)).get(path).status_code == 403


def test_the_page_is_narrowed_by_person_kind_words_and_days(admin: Client) -> None:
    note("engine.start", "XTTS on gpu-box", user=make_user("operator", "bob"))
    note("host.rename", "Cellar", user=None)
    today = timezone.localdate()

    def names(**query: str) -> list[str]:
        page = admin.get(AUDIT, query).content.decode()
        return [name for name in ("XTTS on gpu-box", "Cellar") if name in page]

    assert names() == ["XTTS on gpu-box", "Cellar"]
    assert names(user="bob") == ["XTTS on gpu-box"]
    assert names(user="abm") == ["Cellar"]
    assert names(kind="host") == ["Cellar"]
    assert names(q="xtts") == ["XTTS on gpu-box"]
    assert names(since=(today + timedelta(days=1)).isoformat()) == []
    assert names(until=today.isoformat(), since=today.isoformat()) == ["XTTS on gpu-box", "Cellar"]
    assert names(since="nonsense", before="x", q="%\x00'") == []


def test_a_long_audit_comes_in_pages(admin: Client) -> None:
    for number in range(60):
        note("host.rename", f"host-{number:02}", user=None)

    first = admin.get(AUDIT).content.decode()
    second = admin.get(AUDIT, {"before": AuditEntry.objects.all()[49].pk}).content.decode()

    assert "host-10" in first and "host-09" not in first
    assert "host-09" in second and "host-10" not in second
    assert f"before={AuditEntry.objects.all()[49].pk}" in first


def test_what_is_shown_can_be_taken_away_as_csv_and_json(admin: Client) -> None:
    note("engine.start", "=HYPERLINK(1)", user=None, after={"model": "a,b"})
    note("host.rename", "Cellar", user=None)

    rows = list(csv.DictReader(io.StringIO(admin.get(f"{AUDIT}csv/?kind=engine").content.decode())))
    data = json.loads(admin.get(f"{AUDIT}json/?kind=engine").content)

    assert [row["object_name"] for row in rows] == ["'=HYPERLINK(1)"]
    assert json.loads(rows[0]["after"]) == {"model": "a,b"}
    assert [(row["user"], row["verb"], row["after"]) for row in data] == [
        ("abm", "engine.start", {"model": "a,b"})
    ]
    assert data[0]["at"].endswith("Z")
    assert admin.get(f"{AUDIT}xml/").status_code == 404


def test_every_service_that_asks_for_a_role_notes_what_it_does() -> None:
    """A new verb without a note fails here; what needs none stands in UNNOTED with the reason."""
    silent = {}
    root = Path(django_settings.BASE_DIR)
    apps = ("accounts", "jobs", "hosts", "catalog", "engines")
    for file in sorted(path for app in apps for path in (root / app).rglob("*.py")):
        parts = file.relative_to(root).parts
        if file.stem.endswith(DOORS) or file.stem.startswith("api"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            calls = {
                call.func.id
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }
            name = ".".join([*parts[:-1], file.stem, node.name])
            asks = calls & {"require_role", "_of_admin"}
            jobs = {called for called in calls if called.startswith("_submit")}
            if asks and not calls & NOTERS and not jobs and name not in UNNOTED:
                silent[name] = sorted(calls)

    assert not silent
