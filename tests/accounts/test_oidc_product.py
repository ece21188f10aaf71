"""Signing in by a provider that is not ours: oidc-provider, which is certified."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from abm.allauth_settings import providers
from accounts.models import User
from tests.browser.server import free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODULES = Path(os.environ.get("OIDC_PROVIDER") or ROOT / ".cache/oidc") / "node_modules"
NODE = shutil.which("node")
NOT_THERE = (
    "no oidc-provider: apt install nodejs npm; npm install --prefix .cache/oidc oidc-provider@9"
)
SECRET = "the secret of abm, which is long enough"
CALLBACK = "http://testserver/accounts/oidc/oidc/login/callback/"
Put = Callable[..., None]
pytestmark = [
    pytest.mark.engine,
    pytest.mark.django_db,
    pytest.mark.skipif(NODE is None or not (MODULES / "oidc-provider").is_dir(), reason=NOT_THERE),
]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the provider reads who is in which group."""
    file = tmp_path_factory.mktemp("oidc") / "people.json"
    file.write_text("{}")
    return file


@pytest.fixture(scope="module")
def issuer(people: Path) -> Iterator[str]:
    port = free_port()
    assert NODE is not None
    with subprocess.Popen(
        [NODE, str(HERE / "oidc_provider.mjs"), str(MODULES), str(port), CALLBACK, str(people)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("listening" in line for line in process.stdout)
        yield f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture(autouse=True)
def offered(issuer: str, settings: Settings) -> None:
    cache.clear()
    settings.OIDC_URL, settings.OIDC_NAME = issuer, "Home ID"
    settings.OIDC_OPERATOR_GROUPS, settings.OIDC_ADMIN_GROUPS = ["lab"], ["root"]
    scopes = ["openid", "profile", "email"]
    settings.SOCIALACCOUNT_PROVIDERS = providers(
        issuer, name="Home ID", client_id="abm", secret=SECRET, scopes=scopes
    )


@pytest.fixture
def put(people: Path) -> Put:
    """Puts people into groups over there."""

    def write(**groups: list[str]) -> None:
        people.write_text(json.dumps(groups))

    return write


def come(client: Client, *, name: str) -> Any:
    """Press the button, sign in over there, agree, and come back; abm's last answer."""
    address = client.post("/accounts/oidc/oidc/login/")["Location"]
    with httpx.Client() as browser:
        for _ in range(12):
            if address.startswith(CALLBACK):
                return client.get(address.removeprefix("http://testserver"))
            page = browser.get(address)
            if page.is_redirect:
                address = urljoin(address, page.headers["Location"])
                continue
            assert page.status_code == 200, page.text[:500]
            form = re.search(r'<form[^>]*action="([^"]+)"', page.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
            assert form and prompt, page.text[:2_000]
            said = {"prompt": prompt[1], "login": name, "password": "any"}
            answer = browser.post(urljoin(address, unescape(form[1])), data=said)
            address = urljoin(address, answer.headers["Location"])
    raise AssertionError(f"it did not come back: {urlsplit(address).path}")


@pytest.mark.parametrize(("groups", "role"), [(["lab"], "operator"), (["lab", "root"], "admin")])
def test_groups_over_there_are_the_role_here(
    client: Client, put: Put, groups: list[str], role: str
) -> None:
    put(ada=groups)

    assert come(client, name="ada")["Location"] == "/"

    ada = User.objects.get()
    assert (ada.username, ada.role, ada.email) == ("ada", role, "ada@id.example")
    assert client.get("/jobs/").status_code == 200


def test_who_is_in_no_group_is_refused(client: Client, put: Put) -> None:
    put()

    assert come(client, name="bob").status_code == 403
    assert not User.objects.exists()


def test_the_role_follows_the_groups(client: Client, put: Put) -> None:
    User.objects.create_user("root", role="admin")
    put(ada=["root"])
    come(client, name="ada")
    put(ada=["lab"])
    come(Client(), name="ada")

    assert User.objects.get(username="ada").role == "operator"


def test_a_wrong_secret_lets_nobody_in(
    client: Client, put: Put, issuer: str, settings: Settings
) -> None:
    put(ada=["root"])
    settings.SOCIALACCOUNT_PROVIDERS = providers(
        issuer, name="Home ID", client_id="abm", secret="another one", scopes=["openid", "profile"]
    )

    answer = come(client, name="ada")

    assert answer.status_code >= 400
    assert "another one" not in answer.content.decode()
    assert not User.objects.exists()
