"""Signing in and out, and what guessing passwords leads to."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.throttle import ATTEMPTS, ATTEMPTS_AT_NAME, ATTEMPTS_OF_ADDRESS

PASSWORD = "correct horse battery"
LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def nobody_has_tried() -> None:
    cache.clear()


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password=PASSWORD)


def sign_in(client: Client, password: str = PASSWORD, name: str = "bob", **more: str) -> str:
    """Where the answer leads to, or what the form says."""
    answer = client.post(LOGIN, {"username": name, "password": password, **more})
    return answer.headers.get("Location", answer.content.decode())


def test_the_page_that_was_wanted_comes_after_the_login(client: Client, bob: User) -> None:
    wanted = client.get("/jobs/?status=failed")

    form = client.get(wanted["Location"]).content.decode()

    assert 'name="next" value="/jobs/?status=failed"' in form
    assert sign_in(client, next="/jobs/?status=failed") == "/jobs/?status=failed"


def test_another_site_is_never_what_was_wanted(client: Client, bob: User) -> None:
    assert sign_in(client, next="https://evil.example/") == "/"


def test_a_wrong_password_is_told_without_saying_which_part_was_wrong(
    client: Client, bob: User
) -> None:
    for name in ("bob", "nobody"):
        assert "correct username and password" in sign_in(client, "wrong", name)


def test_guessing_leads_to_a_pause_even_with_the_right_password(client: Client, bob: User) -> None:
    for _ in range(ATTEMPTS):
        sign_in(client, "wrong")

    assert "Too many wrong attempts" in sign_in(client)


def test_the_pause_is_for_that_name_and_that_address(client: Client, bob: User) -> None:
    User.objects.create_user("eve", password=PASSWORD)
    for _ in range(ATTEMPTS):
        sign_in(client, "wrong")

    assert sign_in(client, name="eve") == "/"
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7")) == "/"


def test_guessing_at_many_names_leads_to_a_pause_for_the_address(client: Client, bob: User) -> None:
    for number in range(ATTEMPTS_OF_ADDRESS):
        sign_in(client, "wrong", f"name-{number}")

    assert "Too many wrong attempts" in sign_in(client)
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7")) == "/"


def test_guessing_from_many_addresses_leads_to_a_pause_for_the_name(bob: User) -> None:
    User.objects.create_user("eve", password=PASSWORD)
    for number in range(ATTEMPTS_AT_NAME):
        sign_in(Client(REMOTE_ADDR=f"192.0.2.{number}"), "wrong")

    assert "Too many wrong attempts" in sign_in(Client(REMOTE_ADDR="198.51.100.7"))
    assert sign_in(Client(REMOTE_ADDR="198.51.100.7"), name="eve") == "/"


def test_a_right_password_forgets_the_wrong_ones(client: Client, bob: User) -> None:
    for _ in range(2):
        for _ in range(ATTEMPTS - 1):
            sign_in(client, "wrong")
        assert sign_in(client) == "/"
        client.logout()


def test_signing_out_is_a_post(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert client.get("/accounts/logout/").status_code == 405
    assert client.post("/accounts/logout/")["Location"] == LOGIN
    assert client.get("/").status_code == 302


def test_who_is_signed_in_needs_no_form(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert client.get(LOGIN)["Location"] == "/"


def test_the_profile_says_who_one_is(client: Client, bob: User) -> None:
    client.force_login(bob)

    page = client.get("/accounts/profile/").content.decode()

    assert "bob" in page
    assert "You are viewer here" in page


def test_what_cannot_be_a_name_is_told_as_well(client: Client, db: None) -> None:
    for name in ("a\x00b", "a" * 100_000, ""):
        answer = client.post("/accounts/login/", {"username": name, "password": "x"})

        assert 'role="alert"' in answer.content.decode(), name[:5]
