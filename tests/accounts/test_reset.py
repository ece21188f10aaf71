"""A forgotten password: a mail with a link that sets a new one, once."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from accounts.audit_models import AuditEntry
from accounts.models import User
from accounts.sign_in.mail import send
from tests.accounts.postbox import Postbox
from tests.pages.factories import browser_of

ASK, LOGIN = "/accounts/reset/", "/accounts/login/"
NEW = "another fine day"


@pytest.fixture(autouse=True)
def nobody_has_tried() -> None:
    cache.clear()


@pytest.fixture
def postbox(settings: Settings) -> Iterator[Postbox]:
    made = Postbox()
    settings.MAIL_URL, settings.MAIL_FROM = made.url, "abm@home.example"
    settings.PUBLIC_URL = "https://abm.example"
    yield made
    made.end()


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password="the old one", email="Bob@home.example")


def ask(client: Client, mail: str = "bob@home.example") -> str:
    return client.post(ASK, {"mail": mail}, headers={"Host": "testserver"}).content.decode()


def link_of(postbox: Postbox) -> str:
    """The path of the link in the next mail."""
    text = postbox.next().get_payload(decode=True)
    assert isinstance(text, bytes)
    found = re.search(r"https://abm\.example(/accounts/reset/\S+/)", text.decode())
    assert found, text
    return found[1]


@pytest.mark.django_db(transaction=True)
def test_a_mail_brings_a_link_that_sets_a_password(
    client: Client, bob: User, postbox: Postbox
) -> None:
    signed_in = browser_of(bob)
    assert 'href="/accounts/reset/"' in client.get(LOGIN).content.decode()

    assert "a mail with a link is on its way" in ask(client)
    path = link_of(postbox)
    assert "A new password for bob" in client.get(path).content.decode()
    assert client.post(path, {"password": NEW})["Location"] == LOGIN

    assert postbox.mails[0]["To"] == "Bob@home.example"
    assert postbox.mails[0]["From"] == "abm@home.example"
    assert client.post(LOGIN, {"username": "bob", "password": NEW})["Location"] == "/"
    assert signed_in.get("/jobs/").status_code == 302
    assert Client().post(path, {"password": NEW}).status_code == 404
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs[:2] == ["user.reset_mail", "user.password"]


@pytest.mark.django_db(transaction=True)
def test_a_link_gets_old(
    client: Client, bob: User, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(client)
    path = link_of(postbox)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3_601)

    assert client.get(path).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_weak_password_leaves_the_link_as_it_is(
    client: Client, bob: User, postbox: Postbox
) -> None:
    ask(client)
    path = link_of(postbox)

    assert client.post(path, {"password": "12345678"}).status_code == 400
    assert client.post(path, {"password": NEW}).status_code == 302


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["nobody", "off", "elsewhere"])
def test_the_answer_is_the_same_where_no_mail_goes(
    client: Client, bob: User, postbox: Postbox, who: str
) -> None:
    if who == "off":
        User.objects.update(is_active=False)
    if who == "elsewhere":
        bob.set_unusable_password()
        bob.save()

    said = ask(client, "eve@home.example" if who == "nobody" else "bob@home.example")

    assert "a mail with a link is on its way" in said
    assert not AuditEntry.objects.filter(verb="user.reset_mail").exists()


@pytest.mark.django_db
def test_mails_cannot_be_asked_for_without_end(client: Client, postbox: Postbox) -> None:
    answers = [client.post(ASK, {"mail": f"eve{number}@home.example"}) for number in range(6)]
    other = Client(REMOTE_ADDR="192.0.2.7")

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert other.post(ASK, {"mail": "bob@home.example"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("setting", ["MAIL_URL", "PASSWORD_SIGN_IN"])
def test_without_mail_or_passwords_it_is_not_offered(
    client: Client, postbox: Postbox, settings: Settings, setting: str
) -> None:
    setattr(settings, setting, "")

    assert "/accounts/reset/" not in client.get(LOGIN).content.decode()
    assert client.get(ASK).status_code == 404
    assert client.post(ASK, {"mail": "bob@home.example"}).status_code == 404


@pytest.mark.django_db
def test_a_made_up_link_is_nothing(client: Client, postbox: Postbox) -> None:
    assert client.get("/accounts/reset/eyJwayI6MX0:abc:def/").status_code == 404


def test_one_says_where_mails_go(client: Client, bob: User, postbox: Postbox) -> None:
    client.force_login(bob)
    assert "Bob@home.example" in client.get("/accounts/profile/").content.decode()

    client.post("/accounts/mail/", {"mail": "bob@work.example"})
    assert client.post("/accounts/mail/", {"mail": "bob\nBcc: eve"}).status_code == 400

    bob.refresh_from_db()
    assert bob.email == "bob@work.example"


def test_a_server_that_is_away_is_a_line_in_the_log(
    postbox: Postbox, caplog: pytest.LogCaptureFixture
) -> None:
    postbox.end()

    assert not send("bob@home.example", subject="Hello", text="there")
    assert "did not take a mail" in caplog.text
