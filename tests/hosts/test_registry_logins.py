"""Logins to image registries: for admins, tested when saved, never shown again."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.test import Client
from pytest_django import Settings

from accounts.refused import Refused
from accounts.secrets import decrypted
from hosts import registry_check
from hosts import registry_logins as logins
from hosts.models import Host, RegistryLogin
from hosts.oci.auth import Credentials
from hosts.oci.reference import ImageReference
from hosts.work import runner_of
from jobs.models import Event
from tests.hosts.oci_server import Asked, Told, small_server
from tests.hosts.oci_tokens import Dance, dancing
from tests.pages.factories import HTMX, make_user

pytestmark = pytest.mark.django_db

PASSWORD = "right horse"


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """What a worker was rung for: the test does the work itself, when it wants."""
    sent: list[tuple[str, list[int]]] = []

    def send_task(name: str, args: list[int], **options: object) -> None:
        sent.append((name, args))

    app: Any = current_app
    monkeypatch.setattr(app._get_current_object(), "send_task", send_task)
    return sent


@pytest.fixture(autouse=True)
def plain_static_files(settings: Settings) -> None:
    plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": plain}}


def stored(registry: str = "ghcr.io", *, password: str = PASSWORD) -> RegistryLogin:
    return logins.add_login(registry, username="ada", password=password, user=None)


def shown_to_registry(login: RegistryLogin) -> RegistryLogin:
    """The row after the worker showed it to its registry."""
    registry_check.check_stored(login.pk)
    login.refresh_from_db()
    return login


def add(client: Client, **values: str) -> Any:
    form = {"registry": "ghcr.io", "username": "ada", "password": PASSWORD, **values}
    return client.post("/hosts/registries/add/", form, headers=HTMX)


class TestStoring:
    def test_the_database_holds_no_password(self) -> None:
        login = stored()

        row = RegistryLogin.objects.values().get(pk=login.pk)
        assert PASSWORD not in str(row)
        assert decrypted(row["password"]) == PASSWORD

    def test_neither_row_nor_credentials_print_it(self) -> None:
        login = stored()

        found = logins.credentials_of("ghcr.io")
        assert found == Credentials("ada", PASSWORD)
        assert PASSWORD not in f"{login!r} {login} {found!r}"

    @pytest.mark.parametrize(
        ("typed", "name"),
        [
            ("ghcr.io", "ghcr.io"),
            (" HTTPS://GHCR.io/ ", "ghcr.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("hub.docker.com", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("http://10.0.0.5:5000/v2", "10.0.0.5:5000"),
        ],
    )
    def test_a_registry_is_known_by_the_name_that_images_have(self, typed: str, name: str) -> None:
        assert stored(typed).registry == name

    @pytest.mark.parametrize("typed", ["", "nas", "ghcr.io/owner", "a b", "x:99999", "http://"])
    def test_what_is_no_registry_is_refused(self, typed: str) -> None:
        with pytest.raises(Refused) as caught:
            stored(typed)

        assert caught.value.code == "REGISTRY_INVALID"
        assert "ghcr.io" in caught.value.message

    @pytest.mark.parametrize(
        ("username", "password"),
        [("", "x"), ("a:b", "x"), ("a\nb", "x"), ("ada", "x\r\ny"), ("ada", ""), ("a" * 256, "x")],
    )
    def test_what_no_registry_can_accept_is_refused(self, username: str, password: str) -> None:
        with pytest.raises(Refused) as caught:
            logins.add_login("ghcr.io", username=username, password=password, user=None)

        assert caught.value.code == "LOGIN_INVALID"
        assert not RegistryLogin.objects.exists()

    def test_a_registry_has_one_login(self) -> None:
        stored()

        with pytest.raises(Refused, match="There is a login to"):
            stored("https://ghcr.io")

    def test_an_image_is_asked_for_with_the_login_of_its_registry(self) -> None:
        stored("docker.io")

        parse = ImageReference.parse
        assert logins.login_for(parse("owner/name:1")) == Credentials("ada", PASSWORD)
        assert logins.login_for(parse("ghcr.io/owner/name:1")) is None

    def test_the_runner_of_a_host_knows_the_logins(self) -> None:
        stored()
        host = Host(host_id="d", display_name="Box", host_type=Host.Type.DOCKER_LOCAL)

        with runner_of(host) as runner:
            assert runner._credentials("ghcr.io") == Credentials("ada", PASSWORD)  # type: ignore[attr-defined]


class TestChanging:
    def test_an_empty_password_keeps_the_stored_one(self) -> None:
        login = stored()

        logins.change_login(login.pk, username="ada", password="", user=None)

        assert logins.credentials_of("ghcr.io") == Credentials("ada", PASSWORD)

    def test_another_user_name_needs_a_password_of_its_own(self) -> None:
        login = stored()

        with pytest.raises(Refused, match="Enter the password of bob too"):
            logins.change_login(login.pk, username="bob", password="", user=None)

        assert logins.credentials_of("ghcr.io") == Credentials("ada", PASSWORD)

    def test_a_change_is_tested_anew(self, django_capture_on_commit_callbacks: Any) -> None:
        login = stored()
        RegistryLogin.objects.update(error="No.", checked_at="2025-01-01T00:00Z")

        with django_capture_on_commit_callbacks() as wanted:
            login = logins.change_login(login.pk, username="bob", password="x", user=None)

        assert (login.error, login.checked_at, login.state) == ("", None, "starting")
        assert any("hosts.check_login" in str(call) for call in wanted)

    def test_a_deleted_login_is_used_no_more(self) -> None:
        logins.delete_login(stored().pk, user=None)

        assert logins.credentials_of("ghcr.io") is None
        assert Event.objects.filter(text="The login to ghcr.io was deleted").exists()

    def test_what_was_deleted_meanwhile_is_refused(self) -> None:
        with pytest.raises(Refused, match="deleted meanwhile"):
            logins.test_login(999, user=None)


class TestTesting:
    def test_a_right_one_is_accepted(self) -> None:
        with dancing(Dance()) as server:
            login = shown_to_registry(stored(server.address))

        assert (login.state, login.error, login.is_unproved) == ("available", "", False)
        assert login.checked_at is not None

    def test_a_wrong_one_has_the_registrys_reason(self) -> None:
        with dancing(Dance()) as server:
            login = shown_to_registry(stored(server.address, password="wrong horse"))

        assert login.state == "failed"
        assert "does not accept the user name ada with this password" in login.error
        assert server.address in login.error
        assert "wrong horse" not in login.error + "".join(
            Event.objects.values_list("text", flat=True)
        )

    def test_a_registry_that_looks_at_nobody_proves_nothing(self) -> None:
        with small_server(lambda asked: Told(200, b"{}")) as server:
            login = shown_to_registry(stored(server.address))

        assert (login.state, login.is_unproved) == ("degraded", True)

    def test_a_registry_that_is_away_is_told_as_such(self) -> None:
        with small_server(lambda asked: Told(200)) as server:
            address = server.address
        login = shown_to_registry(stored(address))

        assert login.state == "failed"
        assert address in login.error
        assert login.error.endswith(".")

    def test_under_another_secret_key_it_is_asked_for_again(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        login = stored()
        settings.SECRET_KEY = "another"

        assert logins.credentials_of("ghcr.io") is None
        assert "the login to ghcr.io is not used" in caplog.text
        assert login.state == "failed"
        assert "Enter it again" in login.trouble

    def test_a_former_secret_key_still_reads_it(self, settings: Settings) -> None:
        stored()
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another"

        assert logins.credentials_of("ghcr.io") == Credentials("ada", PASSWORD)

    def test_a_deleted_login_is_tested_quietly(self) -> None:
        registry_check.check_stored(999)

    def test_nothing_of_a_test_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with dancing(Dance()) as server:
            shown_to_registry(stored(server.address))
            shown_to_registry(stored(f"localhost:{server.server_port}", password="wrong horse"))

        assert "horse" not in caplog.text


class TestPages:
    @pytest.mark.parametrize("verb", ["add/", "{pk}/change/", "{pk}/test/", "{pk}/delete/"])
    def test_only_admins_may(self, operator: Client, verb: str) -> None:
        login = stored()

        answer = operator.post(f"/hosts/registries/{verb}".format(pk=login.pk), headers=HTMX)

        assert answer.status_code == 403
        assert RegistryLogin.objects.count() == 1

    def test_the_dialogs_are_for_admins(self, operator: Client, admin: Client) -> None:
        for page in ("add/", f"{stored().pk}/change/"):
            assert operator.get(f"/hosts/registries/{page}").status_code == 403
            assert admin.get(f"/hosts/registries/{page}").status_code == 200

    def test_the_list_is_for_admins(self, operator: Client, admin: Client) -> None:
        stored()

        assert "registry-logins" not in operator.get("/settings/").content.decode()
        assert "ghcr.io" in admin.get("/settings/").content.decode()

    def test_no_page_has_the_password(self, admin: Client) -> None:
        login = stored()
        for page in ("/settings/", f"/hosts/registries/{login.pk}/change/"):
            text = admin.get(page).content.decode()
            assert PASSWORD not in text
            assert login.password not in text

    def test_saving_leads_back_and_the_row_says_that_it_is_being_tested(
        self, admin: Client
    ) -> None:
        answer = add(admin)

        assert answer["HX-Redirect"] == "/settings/"
        assert "Being tested" in admin.get("/settings/").content.decode()

    def test_a_refusal_says_why(self, admin: Client) -> None:
        answer = add(admin, registry="nas")

        assert answer.status_code == 400
        assert "is not the address of a registry" in answer.content.decode()
        assert PASSWORD not in answer.content.decode()

    def test_a_plain_form_works_too(self, admin: Client) -> None:
        form = {"registry": "ghcr.io", "username": "ada", "password": PASSWORD}

        answer = admin.post("/hosts/registries/add/", form)

        assert (answer.status_code, answer["Location"]) == (302, "/settings/")

    def test_each_result_has_its_words(self, admin: Client) -> None:
        results: dict[str, dict[str, Any]] = {
            "Accepted": {},
            "Not needed": {"is_unproved": True},
            "does not accept": {"error": "ghcr.io does not accept ada."},
        }
        login = stored()
        for words, values in results.items():
            RegistryLogin.objects.filter(pk=login.pk).update(
                checked_at="2025-01-01T00:00Z", **values
            )

            assert words in admin.get("/settings/").content.decode()

    def test_saving_never_waits_for_the_registry(self, admin: Client) -> None:
        with small_server(lambda asked: Told(is_silent=True)) as server:
            began = time.monotonic()
            answer = add(admin, registry=server.address)

            assert answer["HX-Redirect"] == "/settings/"
            assert time.monotonic() - began < 1
            assert server.asked == []


@pytest.mark.django_db(transaction=True)
def test_saving_rings_for_the_test(rung: list[tuple[str, list[int]]]) -> None:
    admin = Client()
    admin.force_login(make_user("admin"))

    add(admin)

    assert rung == [("hosts.check_login", [RegistryLogin.objects.get().pk])]


@pytest.mark.django_db(transaction=True)
def test_two_who_add_the_same_registry_at_once_make_one_login() -> None:
    refused: list[str] = []

    def added() -> None:
        try:
            stored()
        except Refused as error:
            refused.append(error.code)

    threads = [threading.Thread(target=added) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert (RegistryLogin.objects.count(), refused) == (1, ["LOGIN_EXISTS"])


@pytest.mark.django_db(transaction=True)
def test_the_test_of_a_former_password_says_nothing_of_the_new_one() -> None:
    def changed_meanwhile(asked: Asked) -> Told:
        logins.change_login(RegistryLogin.objects.get().pk, username="ada", password="b", user=None)
        connection.close()
        return Told(500)

    with small_server(changed_meanwhile) as server:
        login = shown_to_registry(stored(server.address))

    assert (login.state, login.checked_at, login.error) == ("starting", None, "")
