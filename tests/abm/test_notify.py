"""What is told outside: chosen, once for a trouble, quiet at night, signed, tried again."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from abm.notify import work
from abm.notify.models import CHOSEN, Delivery, Kind, NotifyTarget, Trouble, Watermark
from abm.notify.services import Wish, add_target, change_target
from abm.notify.services import test_target as send_test
from abm.notify.troubles import GRACE, REPEAT
from accounts.audit_models import AuditEntry
from accounts.models import User
from accounts.refused import Refused
from accounts.secrets import decrypted
from engines.models import Engine
from engines.observe import CRASHED
from engines.state import change_state
from hosts.models import Host
from jobs.events import announce
from jobs.models import Job
from tests.engines.factories import make_engine
from tests.pages.factories import browser_of, make_job, make_user

pytestmark = pytest.mark.django_db
ALL = tuple(kind.value for kind in CHOSEN)
PAGE = "/notifications/"


class Heard(ThreadingHTTPServer):
    """A real server that keeps what it was sent and answers as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Ear)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def rows(self) -> list[dict[str, Any]]:
        return [row for _, body in self.requests for row in json.loads(body)["events"]]

    def titles(self) -> list[str]:
        return [row["title"] for row in self.rows()]


class Ear(BaseHTTPRequestHandler):
    server: Heard

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((dict(self.headers), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def heard() -> Iterator[Heard]:
    server = Heard()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def hook(heard: Heard) -> NotifyTarget:
    wish = Wish(name="hook", url=f"http://127.0.0.1:{heard.port}/x", kinds=ALL, secret="s3cret")
    target, _ = add_target("webhook", wish, user=None)
    work.run()  # the first look: what was wrong before is no news
    return target


def a_host(**values: Any) -> Host:
    defaults = {"host_id": "docker:1", "host_type": "docker:remote", "display_name": "gpu-box"}
    return Host.objects.create(**{**defaults, "seen_at": timezone.now(), **values})


def later(by: timedelta) -> None:
    """Let time pass for what is known: everything happened so much longer ago."""
    for row in Trouble.objects.all():
        Trouble.objects.filter(pk=row.pk).update(
            began_at=row.began_at - by, told_at=row.told_at and row.told_at - by
        )
    for one in Delivery.objects.all():
        Delivery.objects.filter(pk=one.pk).update(due_at=one.due_at - by)


def test_a_host_that_stays_away_is_told_once_and_its_return_once(
    hook: NotifyTarget, heard: Heard
) -> None:
    host = a_host(state="unreachable", state_text="It does not answer.")
    work.run()
    assert heard.titles() == []

    later(GRACE)
    for _ in range(3):
        work.run()
    assert heard.titles() == ["gpu-box is down"]
    assert heard.rows()[0]["text"] == "It does not answer."

    Host.objects.update(state="available")
    for _ in range(3):
        work.run()
    assert heard.titles() == ["gpu-box is down", "gpu-box is back"]
    assert [row["isOver"] for row in heard.rows()] == [False, True]
    assert {row["trouble"] for row in heard.rows()} == {f"host-{host.pk}-down"}


def test_a_host_that_is_back_at_once_is_not_told(hook: NotifyTarget, heard: Heard) -> None:
    a_host(state="unreachable")
    work.run()
    Host.objects.update(state="available")
    later(GRACE)
    work.run()

    assert heard.titles() == []


def test_a_host_that_comes_and_goes_is_no_flood(hook: NotifyTarget, heard: Heard) -> None:
    a_host(state="unreachable")
    for _ in range(5):
        Host.objects.update(state="unreachable")
        work.run()
        later(GRACE)
        work.run()
        Host.objects.update(state="available")
        work.run()

    assert heard.titles() == ["gpu-box is down", "gpu-box is back"]

    later(REPEAT)
    Host.objects.update(state="unreachable")
    work.run()
    later(GRACE)
    work.run()
    assert heard.titles()[2:] == ["gpu-box is down"]


def test_hosts_that_are_off_or_were_never_there_are_no_news(
    hook: NotifyTarget, heard: Heard
) -> None:
    a_host(host_id="docker:2", state="unreachable", is_enabled=False)
    a_host(host_id="docker:3", state="client_missing", seen_at=None)
    work.run()
    later(GRACE)
    work.run()

    assert heard.titles() == []


def test_a_crash_is_told_and_a_loop_of_them_once_an_hour(hook: NotifyTarget, heard: Heard) -> None:
    engine = make_engine(state=Engine.State.RUNNING)

    def crash() -> None:
        change_state(engine, Engine.State.FAILED, error="It ended: signal 9.", error_code=CRASHED)
        work.run()
        change_state(engine, Engine.State.STARTING)
        change_state(engine, Engine.State.RUNNING)
        work.run()

    for _ in range(4):
        crash()
    assert heard.titles() == [f"{engine.address} crashed"]
    assert Trouble.objects.get().times == 4

    later(REPEAT)
    crash()
    assert len(heard.titles()) == 2


def test_an_engine_that_was_stopped_did_not_crash(hook: NotifyTarget, heard: Heard) -> None:
    engine = make_engine(state=Engine.State.RUNNING)
    change_state(engine, Engine.State.STOPPING)
    change_state(engine, Engine.State.STOPPED)
    work.run()

    assert heard.titles() == []


def test_a_failed_job_is_told_and_twenty_of_them_at_once_are_one_message(
    hook: NotifyTarget, heard: Heard
) -> None:
    for number in range(20):
        job = make_job("failed", subject=f"Engine {number}", error="No space left.")
        announce("jobs", "job.changed", pk=job.pk, status=Job.Status.FAILED)

    work.run()

    assert len(heard.requests) == 1
    assert len(heard.rows()) == 20
    assert heard.rows()[0]["title"] == "Install Engine 0 failed"


def test_an_update_is_told_once_for_each_digest(hook: NotifyTarget, heard: Heard) -> None:
    engine = make_engine(state=Engine.State.STOPPED)
    for digest in ("sha256:" + "a" * 64, "sha256:" + "a" * 64, "sha256:" + "b" * 64):
        Engine.objects.update(update_digest=digest)
        work.run()

    assert heard.titles() == [f"{engine} on {engine.host} has an update"] * 2


def test_a_disk_is_told_when_it_is_nearly_full_and_not_while_it_wavers(
    hook: NotifyTarget, heard: Heard
) -> None:
    host = a_host(state="available")
    for free in (10, 4.9, 5.1, 4.9, 5.5):
        Host.objects.filter(pk=host.pk).update(
            facts={"disk_free": int(free * 1e9), "disk_total": 1_000_000_000_000}
        )
        work.run()

    assert heard.titles() == ["The disk of gpu-box is nearly full"]


def test_only_chosen_things_are_told(heard: Heard) -> None:
    wish = Wish(
        name="disks", url=f"http://127.0.0.1:{heard.port}/", kinds=[Kind.DISK_LOW], secret="x"
    )
    add_target("webhook", wish, user=None)
    work.run()
    job = make_job("failed")
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.FAILED)
    work.run()

    assert heard.titles() == []


def test_what_went_wrong_before_anybody_was_to_be_told_is_no_news(heard: Heard) -> None:
    job = make_job("failed")
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.FAILED)
    wish = Wish(name="hook", url=f"http://127.0.0.1:{heard.port}/", kinds=ALL, secret="x")
    add_target("webhook", wish, user=None)

    work.run()

    assert heard.titles() == []
    assert Watermark.objects.get().event_id > 0


def test_a_webhook_is_signed_over_its_time_and_body(hook: NotifyTarget, heard: Heard) -> None:
    send_test(hook, user=None)
    work.run()

    headers, body = heard.requests[0]
    stamp = (
        headers["X-Abm-Timestamp"] if "X-Abm-Timestamp" in headers else headers["X-ABM-Timestamp"]
    )
    expected = hmac.new(b"s3cret", stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-ABM-Signature"] == f"sha256={expected}"
    assert headers["X-ABM-Event"] == "test"
    assert abs(int(stamp) - timezone.now().timestamp()) < 60


def test_what_was_not_taken_is_tried_again_later_each_time_and_then_given_up(
    hook: NotifyTarget, heard: Heard
) -> None:
    heard.statuses = [503] * 20
    delivery = send_test(hook, user=None)
    waits = []
    for _ in range(len(work.BACK_OFF) + 3):
        work.run()
        delivery.refresh_from_db()
        waits.append(round((delivery.due_at - timezone.now()).total_seconds()))
        later(timedelta(hours=3))

    assert len(heard.requests) == len(work.BACK_OFF) + 1
    assert delivery.status == Delivery.Status.FAILED
    assert waits[:3] == [10, 60, 300]
    hook.refresh_from_db()
    assert hook.error == "It answered 503 instead of 2xx."


def test_a_retry_that_is_taken_clears_the_error(hook: NotifyTarget, heard: Heard) -> None:
    heard.statuses = [500]
    send_test(hook, user=None)
    work.run()
    later(timedelta(minutes=1))
    work.run()

    hook.refresh_from_db()
    assert (hook.error, Delivery.objects.get().status) == ("", Delivery.Status.SENT)


def test_a_redirect_is_not_followed_and_nobody_there_is_a_sentence(
    hook: NotifyTarget, heard: Heard
) -> None:
    heard.statuses = [302]
    send_test(hook, user=None)
    work.run()
    hook.refresh_from_db()
    assert hook.error == "It answered 302 instead of 2xx."

    change_target(hook, Wish(name="hook", url="http://127.0.0.1:9/x", kinds=ALL), user=None)
    later(timedelta(minutes=1))
    work.run()
    hook.refresh_from_db()
    assert "could not be reached" in hook.error


def test_a_sender_that_died_is_followed_by_another(hook: NotifyTarget, heard: Heard) -> None:
    delivery = send_test(hook, user=None)
    Delivery.objects.update(
        status=Delivery.Status.SENDING, due_at=timezone.now() + work.SENDING_FOR
    )
    work.run()
    assert heard.titles() == []

    later(work.SENDING_FOR)
    work.run()
    delivery.refresh_from_db()
    assert (delivery.status, len(heard.requests)) == (Delivery.Status.SENT, 1)


def test_a_message_goes_by_apprise(heard: Heard) -> None:
    wish = Wish(name="json", url=f"json://127.0.0.1:{heard.port}/abm", kinds=ALL)
    target, secret = add_target("apprise", wish, user=None)
    send_test(target, user=make_user("admin", "ada"))
    work.run()

    told = json.loads(heard.requests[0][1])
    assert secret == ""
    assert told["title"] == "abm: This is a test"
    assert "ada pressed Test" in told["message"]


def test_a_service_that_does_not_take_it_is_named_without_its_password(heard: Heard) -> None:
    heard.statuses = [401]
    url = f"json://ada:hunter2@127.0.0.1:{heard.port}/abm"
    target, _ = add_target("apprise", Wish(name="json", url=url, kinds=ALL), user=None)
    send_test(target, user=None)
    work.run()

    target.refresh_from_db()
    assert "did not take it" in target.error
    assert "hunter2" not in target.error


@pytest.mark.parametrize(
    ("moment", "speaks"),
    [
        ("12:00", "12:00"),
        ("22:30", "07:00"),
        ("03:00", "07:00"),
        ("07:00", "07:00"),
    ],
)
def test_a_quiet_night_ends_in_the_morning(moment: str, speaks: str) -> None:
    target = NotifyTarget(quiet_from=time(22), quiet_until=time(7))
    at = datetime.combine(date(2026, 5, 4), time.fromisoformat(moment), tzinfo=UTC)

    found = target.speaks_at(at)

    assert found.strftime("%H:%M") == speaks
    assert timedelta() <= found - at < timedelta(hours=12)


def test_quiet_times_are_those_of_the_zone(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    target = NotifyTarget(quiet_from=time(22), quiet_until=time(7))
    at = datetime(2026, 1, 5, 5, 30, tzinfo=UTC)  # 06:30 in Berlin

    assert target.speaks_at(at) == datetime(2026, 1, 5, 6, 0, tzinfo=UTC)


def test_what_happens_in_quiet_times_comes_as_one_message_afterwards(
    hook: NotifyTarget, heard: Heard
) -> None:
    now = timezone.localtime()
    NotifyTarget.objects.update(
        quiet_from=(now - timedelta(hours=1)).time(), quiet_until=(now + timedelta(hours=1)).time()
    )
    for number in range(3):
        job = make_job("failed", subject=f"Engine {number}")
        announce("jobs", "job.changed", pk=job.pk, status=Job.Status.FAILED)
        work.run()
    assert heard.requests == []

    later(timedelta(hours=2))
    work.run()
    assert (len(heard.requests), len(heard.rows())) == (1, 3)


def test_nothing_secret_is_shown_noted_or_kept_readable(hook: NotifyTarget, admin: Client) -> None:
    admin.post(
        f"{PAGE}add/apprise/",
        {"name": "mail", "url": "mailto://ada:hunter2@mail.example", "kind": ALL, "enabled": "on"},
    )
    mail = NotifyTarget.objects.get(name="mail")

    pages = admin.get(PAGE).content + admin.get(f"{PAGE}{mail.pk}/change/").content
    pages += admin.get(f"{PAGE}{hook.pk}/change/").content
    notes = json.dumps(list(AuditEntry.objects.values("before", "after", "object_name")))
    assert mail.address == "mailto://…"
    for text in (pages.decode(), notes, mail.url, hook.secret):
        assert "hunter2" not in text
        assert "s3cret" not in text
    assert decrypted(mail.url) == "mailto://ada:hunter2@mail.example"


def test_a_secret_that_abm_made_is_shown_once(admin: Client) -> None:
    values = {"name": "hook", "url": "https://hooks.example/x", "kind": ALL, "enabled": "on"}
    page = admin.post(f"{PAGE}add/webhook/", values, follow=True).content.decode()

    secret = decrypted(NotifyTarget.objects.get().secret)
    assert secret in page
    assert secret not in admin.get(PAGE).content.decode()


def test_an_empty_address_keeps_the_stored_one(hook: NotifyTarget, admin: Client) -> None:
    before = decrypted(NotifyTarget.objects.get().url)
    values = {"name": "other", "url": "", "kind": [Kind.UPDATE], "enabled": "on"}

    admin.post(f"{PAGE}{hook.pk}/change/", values)

    hook.refresh_from_db()
    assert (hook.name, decrypted(hook.url), hook.kinds) == ("other", before, ["update"])
    assert decrypted(hook.secret) == "s3cret"


@pytest.mark.parametrize(
    ("type", "change", "says"),
    [
        ("apprise", {"url": "nonsense"}, "no address that Apprise knows"),
        ("webhook", {"url": "ftp://x/"}, "begins with https://"),
        ("webhook", {"url": "http://x\r\nHost: y/"}, "no spaces"),
        ("webhook", {"kinds": ["nonsense"]}, "at least one thing"),
        ("webhook", {"quiet_from": "22:00"}, "a beginning and an end"),
        ("webhook", {"quiet_from": "25:00", "quiet_until": "1"}, "no time of day"),
        ("webhook", {"name": "\x00"}, "1 to 100"),
        ("pigeon", {}, "Choose a message"),
    ],
)
def test_what_makes_no_sense_is_refused(type: str, change: dict[str, Any], says: str) -> None:
    values = {"name": "x", "url": "http://127.0.0.1:1/", "kinds": ALL, **change}

    with pytest.raises(Refused, match=says):
        add_target(type, Wish(**values), user=None)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_notifications_are_for_admins(hook: NotifyTarget, role: str) -> None:
    browser = browser_of(User.objects.create_user(role, role=role))

    for path in ("", "add/webhook/", f"{hook.pk}/change/"):
        assert browser.get(f"{PAGE}{path}").status_code == 403
    for verb in ("test", "delete", "change"):
        assert browser.post(f"{PAGE}{hook.pk}/{verb}/").status_code == 403


def test_one_that_is_switched_off_is_told_nothing(hook: NotifyTarget, heard: Heard) -> None:
    NotifyTarget.objects.update(is_enabled=False)
    hook.refresh_from_db()

    with pytest.raises(Refused, match="switched off"):
        send_test(hook, user=None)
    job = make_job("failed")
    announce("jobs", "job.changed", pk=job.pk, status=Job.Status.FAILED)
    work.run()
    assert heard.requests == []


def test_old_messages_are_forgotten(hook: NotifyTarget, heard: Heard) -> None:
    send_test(hook, user=None)
    work.run()
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    work.prune()

    assert not Delivery.objects.exists()
