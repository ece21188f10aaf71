"""Signing in with an app, with recovery codes, by a link, and ending it elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from accounts.audit_models import AuditEntry
from accounts.models import User
from tests.accounts.totp import code_of

PASSWORD = "correct horse battery"
LOGIN, SECURITY = "/accounts/login/", "/accounts/security/"


@pytest.fixture(autouse=True)
def nobody_has_tried() -> None:
    cache.clear()


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password=PASSWORD, role="operator")


def sign_in(client: Client, *, name: str = "bob", **more: str) -> str:
    """Where the first step leads to."""
    answer = client.post(LOGIN, {"username": name, "password": PASSWORD, **more})
    return str(answer.headers.get("Location", answer.content.decode()))


def again(client: Client, path: str) -> None:
    """Show once more that it is them, which some pages ask for."""
    asked = client.get(path)
    if asked.status_code == 302:
        client.post(asked["Location"], {"password": PASSWORD})


def set_up(client: Client) -> tuple[str, list[str]]:
    """Set up an app; its secret and the recovery codes that were shown."""
    again(client, f"{SECURITY}app/")
    page = client.get(f"{SECURITY}app/").content.decode()
    found = re.search(r'id="totp-secret">(\w+)<', page)
    assert found, page[:2_000]
    answer = client.post(f"{SECURITY}app/", {"code": code_of(found[1])}, follow=True)
    shown = re.search(r'id="recovery-codes" tabindex="0">([\s\d]+)<', answer.content.decode())
    assert shown, answer.content.decode()[:2_000]
    return found[1], shown[1].split()


@pytest.fixture
def guarded(bob: User) -> tuple[str, list[str]]:
    """Bob with an app."""
    client = Client()
    sign_in(client)
    secret, codes = set_up(client)
    # A code counts once; the one that set the app up is spent.
    cache.clear()
    return secret, codes


def test_a_password_alone_is_enough_without_a_second_factor(client: Client, bob: User) -> None:
    assert sign_in(client, next="/jobs/") == "/jobs/"
    assert client.get("/jobs/").status_code == 200


def test_with_an_app_the_password_is_only_the_first_step(
    client: Client, guarded: tuple[str, list[str]]
) -> None:
    where = sign_in(client, next="/jobs/")

    assert where.startswith(f"{SECURITY}code/")
    assert client.get("/jobs/").status_code == 302
    answer = client.post(where, {"code": code_of(guarded[0])})
    assert answer["Location"] == "/jobs/"
    assert client.get("/jobs/").status_code == 200


def test_a_wrong_code_lets_nobody_in(client: Client, guarded: tuple[str, list[str]]) -> None:
    where = sign_in(client)

    page = client.post(where, {"code": "000000"}).content.decode()

    assert "Incorrect code" in page
    assert client.get("/jobs/").status_code == 302


def test_codes_cannot_be_tried_without_end(client: Client, guarded: tuple[str, list[str]]) -> None:
    where = sign_in(client)
    for _ in range(10):
        page = client.post(where, {"code": "000000"}).content.decode()

    assert "Too many" in page
    assert "Too many" in client.post(where, {"code": code_of(guarded[0])}).content.decode()


def test_a_code_counts_once(client: Client, guarded: tuple[str, list[str]]) -> None:
    code = code_of(guarded[0])
    client.post(sign_in(client), {"code": code})
    other = Client()

    page = other.post(sign_in(other), {"code": code}).content.decode()

    assert "Incorrect code" in page


def test_a_recovery_code_lets_in_once(client: Client, guarded: tuple[str, list[str]]) -> None:
    code = guarded[1][0]
    assert len(guarded[1]) == 10
    assert client.post(sign_in(client), {"code": code})["Location"] == "/"
    other = Client()

    assert "Incorrect code" in other.post(sign_in(other), {"code": code}).content.decode()


def test_recovery_codes_are_shown_once(client: Client, guarded: tuple[str, list[str]]) -> None:
    client.post(sign_in(client), {"code": guarded[1][0]})

    again(client, f"{SECURITY}codes/")
    page = client.get(f"{SECURITY}codes/").content.decode()

    assert not any(code in page for code in guarded[1])
    assert "9 of 10 are left" in page


def test_what_is_stored_tells_nobody_the_secret(guarded: tuple[str, list[str]]) -> None:
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))

    assert guarded[0] not in stored
    assert not any(code in stored for code in guarded[1])


def test_doing_without_the_app_needs_to_be_shown_again(
    client: Client, guarded: tuple[str, list[str]]
) -> None:
    client.post(sign_in(client), {"code": guarded[1][0]})
    assert client.post(f"{SECURITY}app/remove/").status_code == 302
    assert Authenticator.objects.exists()

    again(client, f"{SECURITY}app/remove/")
    client.post(f"{SECURITY}app/remove/")

    assert not Authenticator.objects.exists()
    assert sign_in(Client()) == "/"


@pytest.mark.django_db(transaction=True)
def test_each_step_is_in_the_audit(client: Client, guarded: tuple[str, list[str]]) -> None:
    client.post(LOGIN, {"username": "bob", "password": "wrong"})
    client.post(LOGIN, {"username": "hunter2", "password": "wrong"})
    client.post(sign_in(client), {"code": code_of(guarded[0])})
    client.post("/accounts/logout/")

    noted = list(AuditEntry.objects.order_by("pk").values_list("verb", "object_name"))
    assert ("user.totp_activated", "bob") in noted
    assert ("user.sign_in_failed", "bob") in noted
    assert ("user.sign_in_failed", "Nobody of that name") in noted
    assert ("user.sign_out", "bob") in noted
    last = AuditEntry.objects.filter(verb="user.sign_in").first()
    assert last is not None
    assert last.after == {"by": "a password and a second factor"}


def test_somebody_who_is_switched_off_gets_no_second_step(
    client: Client, guarded: tuple[str, list[str]]
) -> None:
    where = sign_in(client)
    User.objects.update(is_active=False)

    client.post(where, {"code": code_of(guarded[0])})

    assert client.get("/jobs/").status_code == 302


def test_sessions_are_listed_and_ended_by_their_owner(client: Client, bob: User) -> None:
    phone = Client(headers={"User-Agent": "Mozilla/5.0 (Android 15; Mobile) Firefox/140.0"})
    sign_in(client), sign_in(phone)

    page = client.get(SECURITY).content.decode()
    assert "Firefox on Android" in page
    found = re.findall(r"/accounts/sessions/(\d+)/end/", page)
    assert len(found) == 1  # one's own has no button

    client.post(f"/accounts/sessions/{found[0]}/end/")
    assert phone.get("/jobs/").status_code == 302
    assert client.get("/jobs/").status_code == 200


def test_all_other_sessions_end_at_once(client: Client, bob: User) -> None:
    others = [Client(), Client()]
    for other in (client, *others):
        sign_in(other)

    client.post("/accounts/sessions/end/")

    assert [other.get("/jobs/").status_code for other in others] == [302, 302]
    assert client.get("/jobs/").status_code == 200


def test_nobody_ends_the_session_of_another(client: Client, bob: User, admin: Client) -> None:
    sign_in(client)
    page = admin.get(SECURITY).content.decode()
    from_bob = Client()
    sign_in(from_bob)
    found = re.findall(r"/sessions/(\d+)/end/", from_bob.get(SECURITY).content.decode())

    assert "/sessions/" not in page.replace("/sessions/end/", "")
    assert admin.post(f"/accounts/sessions/{found[0]}/end/").status_code == 404
    assert client.get("/jobs/").status_code == 200


def told(*args: str) -> str:
    out = io.StringIO()
    call_command("abm", "users", *args, stdout=out)
    return out.getvalue()


def test_a_link_of_the_command_line_lets_in_once(
    client: Client, bob: User, settings: Settings
) -> None:
    settings.PASSWORD_SIGN_IN = False
    found = re.search(r"http://127.0.0.1:\d+(/\S+)", told("link", "bob"))
    assert found
    path = found[1]

    assert "Sign in as bob" in client.get(path).content.decode()
    assert client.post(path)["Location"] == "/"
    assert client.get("/jobs/").status_code == 200
    assert Client().post(path).status_code == 404


def test_a_link_gets_old(client: Client, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    path = re.findall(r"(/accounts/link/\S+)", told("link", "bob"))[0]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 601)

    assert client.get(path).status_code == 404


@pytest.mark.django_db
def test_a_made_up_link_is_nothing(client: Client) -> None:
    assert client.get("/accounts/link/eyJwayI6MX0:abc:def/").status_code == 404


def test_the_command_line_sets_passwords_and_takes_factors_away(
    client: Client, guarded: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("another fine day\n"))
    told("password", "bob", "--stdin")
    told("second-factor-off", "bob")

    values = {"username": "bob", "password": "another fine day"}
    assert client.post(LOGIN, values)["Location"] == "/"
    with pytest.raises(CommandError, match="nobody named eve"):
        told("password", "eve", "--random")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(CommandError, match="too short"):
        told("password", "bob", "--stdin")
    verbs = set(AuditEntry.objects.filter(via="command").values_list("verb", flat=True))
    assert {"user.password", "user.second_factor_off"} <= verbs


def test_passwords_can_be_switched_off(client: Client, bob: User, settings: Settings) -> None:
    settings.PASSWORD_SIGN_IN = False

    page = client.get(LOGIN).content.decode()

    assert 'name="password"' not in page
    assert client.post(LOGIN, {"username": "bob", "password": PASSWORD}).status_code == 403
    assert client.get("/jobs/").status_code == 302


def test_passkeys_are_offered_over_https_only(client: Client, bob: User) -> None:
    sign_in(client)

    assert "over https only" in client.get(SECURITY).content.decode()
    over_https = client.get(SECURITY, secure=True).content.decode()
    assert "Add a passkey" in over_https
