"""Signing in by a provider of OpenID Connect, by a proxy's word, and whom abm believes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from abm.allauth_settings import providers
from abm.proxies import client_address
from accounts.audit_models import AuditEntry
from accounts.models import User
from accounts.sign_in.oidc import role_of
from tests.accounts.provider import CLIENT, SECRET, Provider

BEGIN = "/accounts/oidc/oidc/login/"
ADA = {"sub": "4711", "preferred_username": "ada", "email": "ada@id.example", "groups": ["lab"]}
PROXY = "192.0.2.80"


@pytest.fixture(autouse=True)
def nobody_has_tried() -> None:
    cache.clear()


@pytest.fixture
def provider(db: None, settings: Settings) -> Iterator[Provider]:
    made = Provider()
    settings.OIDC_URL, settings.OIDC_NAME = made.url, "Home ID"
    settings.SOCIALACCOUNT_PROVIDERS = providers(
        made.url, name="Home ID", client_id=CLIENT, secret=SECRET, scopes=["openid", "profile"]
    )
    made.claims = dict(ADA)
    yield made
    made.end()


def come(client: Client, *, query: str = "") -> Any:
    """Press the button, go to the provider and come back; the last answer."""
    there = client.post(f"{BEGIN}{query}")["Location"]
    back = httpx.get(there).headers["Location"]
    return client.get(back.removeprefix("http://testserver"))


def test_the_button_stands_on_the_sign_in_page(provider: Provider, client: Client) -> None:
    page = client.get("/accounts/login/?next=/jobs/").content.decode()

    assert f'action="{BEGIN}?next=%2Fjobs%2F"' in page
    assert "Home ID" in page


def test_without_a_provider_there_is_no_button(db: None, client: Client) -> None:
    assert "oidc" not in client.get("/accounts/login/").content.decode()
    assert client.post(BEGIN).status_code == 404


def test_unknown_people_are_refused_unless_the_settings_say_otherwise(
    provider: Provider, client: Client
) -> None:
    answer = come(client)

    assert answer.status_code == 403
    assert "you have no role in abm" in answer.content.decode()
    assert not User.objects.exists()
    assert client.get("/jobs/").status_code == 302


def test_others_become_what_the_settings_say(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.OIDC_OTHERS = "viewer"

    assert come(client)["Location"] == "/"

    ada = User.objects.get()
    assert (ada.username, ada.role, ada.email) == ("ada", "viewer", "ada@id.example")
    assert not ada.has_usable_password()
    assert client.get("/jobs/").status_code == 200
    entry = AuditEntry.objects.get(verb="user.sign_in")
    assert (entry.username, entry.after) == ("ada", {"by": "single sign-on"})


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["lab"], "operator"),
        (["lab", "root"], "admin"),
        (["/root"], "admin"),
        ("guests", "viewer"),
        (["strangers"], None),
        ([], None),
        (None, None),
        (["LAB"], None),
        ([{"a": 1}, 5], None),
        (7, None),
        ({"root": True}, None),
    ],
)
def test_groups_become_roles(settings: Settings, groups: Any, role: str | None) -> None:
    settings.OIDC_ADMIN_GROUPS = ["root"]
    settings.OIDC_OPERATOR_GROUPS = ["lab"]
    settings.OIDC_VIEWER_GROUPS = ["guests"]

    assert role_of({"groups": groups}) == role


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"realm_access": {"roles": ["lab"]}}, "operator"),
        ({"realm_access.roles": ["lab"]}, "operator"),
        ({"realm_access": ["lab"]}, None),
        ({"roles": ["lab"]}, None),
    ],
)
def test_groups_may_stand_inside_another_claim(
    settings: Settings, claims: dict[str, Any], role: str | None
) -> None:
    settings.OIDC_GROUPS_CLAIM, settings.OIDC_OPERATOR_GROUPS = "realm_access.roles", ["lab"]

    assert role_of(claims) == role


def test_roles_follow_the_groups_at_each_sign_in(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.OIDC_OPERATOR_GROUPS, settings.OIDC_ADMIN_GROUPS = ["lab"], ["root"]
    User.objects.create_user("root", role="admin")
    come(client)
    assert User.objects.get(username="ada").role == "operator"

    provider.claims["groups"] = ["root"]
    come(Client())
    assert User.objects.get(username="ada").role == "admin"

    provider.claims["groups"] = []
    assert come(Client()).status_code == 403


def test_the_last_admin_stays_one(provider: Provider, client: Client, settings: Settings) -> None:
    settings.OIDC_OPERATOR_GROUPS, settings.OIDC_ADMIN_GROUPS = ["lab"], ["root"]
    provider.claims["groups"] = ["root"]
    come(client)
    provider.claims["groups"] = ["lab"]

    assert come(Client())["Location"] == "/"
    assert User.objects.get(username="ada").role == "admin"


def test_nobody_takes_the_account_of_a_namesake(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.OIDC_OTHERS = "viewer"
    User.objects.create_user("ada", password="correct horse battery", role="admin")

    answer = come(client)

    assert answer.status_code == 403
    assert "somebody named ada here already" in answer.content.decode()
    assert not SocialAccount.objects.exists()


def test_who_is_signed_in_connects_the_provider_and_disconnects_it(
    provider: Provider, client: Client
) -> None:
    ada = User.objects.create_user("ada", password="correct horse battery", role="admin")
    client.force_login(ada)

    come(client, query="?process=connect")
    assert SocialAccount.objects.get().user == ada
    assert come(Client())["Location"] == "/"

    client.post("/accounts/oidc/disconnect/")
    assert not SocialAccount.objects.exists()
    assert come(Client()).status_code == 403


def test_where_nobody_has_a_password_the_namesake_is_meant(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.PASSWORD_SIGN_IN, settings.OIDC_OTHERS = False, "viewer"
    User.objects.create_user("ada", role="admin")

    assert come(client)["Location"] == "/"
    assert User.objects.get().role == "admin"
    assert client.post("/accounts/oidc/disconnect/").status_code == 409


def test_a_second_namesake_of_the_provider_is_somebody_else(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.PASSWORD_SIGN_IN, settings.OIDC_OTHERS = False, "viewer"
    come(client)
    provider.claims["sub"] = "4712"

    assert come(Client()).status_code == 403
    assert User.objects.count() == 1


def test_one_who_is_switched_off_stays_out(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.OIDC_OTHERS = "viewer"
    come(client)
    User.objects.update(is_active=False)
    other = Client()

    come(other)

    assert other.get("/jobs/").status_code == 302


@pytest.mark.parametrize("trouble", ["refuses", "breaks", "gone"])
def test_a_provider_in_trouble_is_a_sentence_without_its_secrets(
    provider: Provider, client: Client, trouble: str
) -> None:
    there = client.post(BEGIN)["Location"]
    if trouble == "refuses":
        provider.refuses = "server_error"
    provider.breaks = trouble == "breaks"
    back = httpx.get(there).headers["Location"].removeprefix("http://testserver")
    if trouble == "gone":
        provider.end()

    answer = client.get(back)

    assert answer.status_code == 502
    assert "did not say who you are" in answer.content.decode()
    assert "hunter2" not in answer.content.decode()


def test_a_provider_that_is_away_at_the_start_is_a_sentence_too(
    provider: Provider, client: Client
) -> None:
    provider.end()

    answer = client.post(BEGIN)

    assert answer.status_code == 502
    assert "did not say who you are" in answer.content.decode()


def test_an_answer_that_nobody_asked_for_signs_nobody_in(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.OIDC_OTHERS = "viewer"
    there = Client().post(BEGIN)["Location"]
    back = httpx.get(there).headers["Location"].removeprefix("http://testserver")

    client.get(back)

    assert client.get("/jobs/").status_code == 302
    assert not User.objects.exists()


def test_a_strange_name_becomes_one_that_fits(
    provider: Provider, client: Client, settings: Settings
) -> None:
    settings.OIDC_OTHERS = "viewer"
    provider.claims["preferred_username"] = "Ada <b>L\x00ove</b>/.."

    come(client)

    assert User.objects.get().username == "Ada--b-Love--b--.."


# What proxies say.


@pytest.fixture
def behind(db: None, settings: Settings) -> Client:
    """Requests of a proxy that abm trusts."""
    settings.TRUSTED_PROXIES = [ip_network(f"{PROXY}/32"), ip_network("10.0.0.0/8")]
    settings.PROXY_USER_HEADER = "Remote-User"
    User.objects.create_user("bob", role="operator")
    return Client(REMOTE_ADDR=PROXY)


def test_a_trusted_proxy_says_who_it_is(behind: Client) -> None:
    assert behind.get("/jobs/", headers={"Remote-User": "bob"}).status_code == 200
    assert behind.get("/jobs/").status_code == 302  # signed out there, signed out here


def test_nobody_else_says_who_they_are(behind: Client) -> None:
    stranger = Client(REMOTE_ADDR="203.0.113.5")

    assert stranger.get("/jobs/", headers={"Remote-User": "bob"}).status_code == 302


def test_a_header_means_nothing_unless_it_is_switched_on(
    behind: Client, settings: Settings
) -> None:
    settings.PROXY_USER_HEADER = ""

    assert behind.get("/jobs/", headers={"Remote-User": "bob"}).status_code == 302


def test_somebody_else_at_the_proxy_is_somebody_else_here(behind: Client) -> None:
    User.objects.create_user("eve", role="viewer")
    behind.get("/jobs/", headers={"Remote-User": "bob"})

    behind.get("/jobs/", headers={"Remote-User": "eve"})

    assert User.objects.get(pk=behind.session["_auth_user_id"]).username == "eve"


@pytest.mark.parametrize("name", ["nobody", "off"])
def test_a_name_that_may_not_sign_in_is_told_so(behind: Client, name: str) -> None:
    User.objects.create_user("off", is_active=False)

    answer = behind.get("/jobs/", headers={"Remote-User": name})

    assert answer.status_code == 403
    assert "Ask an admin" in answer.content.decode()


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("", PROXY),
        ("nonsense", PROXY),
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_clients_address_is_the_last_that_no_proxy_has(
    behind: Client, forwarded: str, found: str
) -> None:
    assert client_address(PROXY, forwarded) == found


def test_only_trusted_proxies_tell_addresses(behind: Client) -> None:
    for peer, expected in ((PROXY, "198.51.100.7"), ("203.0.113.5", "203.0.113.5")):
        AuditEntry.objects.forget_before(AuditEntry().at)
        headers = {"X-Forwarded-For": "198.51.100.7"}
        values = {"username": "bob", "password": "wrong"}
        Client(REMOTE_ADDR=peer).post("/accounts/login/", values, headers=headers)
        assert AuditEntry.objects.get().address == expected


def test_an_unknown_proxy_before_https_is_named(behind: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_SSL_HOST = True, "abm.example"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    https = {"X-Forwarded-Proto": "https"}
    stranger = Client(REMOTE_ADDR="172.18.0.2")

    refused = stranger.get("/jobs/", headers=https)
    assert refused.status_code == 400
    assert "TRUSTED_PROXIES=172.18.0.2" in refused.content.decode()
    assert behind.get("/accounts/login/", headers=https).status_code == 200
    plain = stranger.get("/jobs/")
    assert (plain.status_code, plain["Location"]) == (301, "https://abm.example/jobs/")
    assert stranger.get("/readyz").status_code != 301  # machines ask inside, by plain http
