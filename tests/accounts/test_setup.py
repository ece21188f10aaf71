"""The first admin: by the one-time link, or by the settings, and by nothing else."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.refused import Refused
from accounts.setup import admin_from_settings, make_first_admin, needs_setup, new_setup_token
from tests.pages.factories import make_user

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def link() -> str:
    return f"/accounts/setup/{new_setup_token()}/"


@pytest.mark.django_db
def test_the_link_makes_the_first_admin_and_signs_them_in(client: Client) -> None:
    address = link()
    assert "Make the first admin" in client.get(address).content.decode()

    answer = client.post(address, {"name": "ada", "password": PASSWORD})

    assert answer["Location"] == "/"
    assert User.objects.get().role == User.Role.ADMIN
    assert client.get("/accounts/users/").status_code == 200


@pytest.mark.django_db
def test_the_link_works_once(client: Client) -> None:
    address = link()
    client.post(address, {"name": "ada", "password": PASSWORD})

    for answer in (Client().get(address), Client().post(address, {"name": "eve", "password": "x"})):
        assert answer.status_code == 404
        assert "used up" in answer.content.decode()
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_only_the_newest_link_counts(client: Client) -> None:
    old, new = link(), link()

    assert client.get(old).status_code == 404
    assert client.get(new).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["x", "0" * 32, "ä" * 40])
def test_a_guessed_link_does_nothing(client: Client, token: str) -> None:
    new_setup_token()

    answer = client.post(f"/accounts/setup/{token}/", {"name": "eve", "password": PASSWORD})

    assert answer.status_code == 404
    assert not User.objects.exists()


@pytest.mark.django_db
def test_an_empty_token_file_opens_nothing(client: Client, own_folder: Path) -> None:
    (own_folder / "setup_token").touch()

    assert client.get("/accounts/setup/x/").status_code == 404


@pytest.mark.django_db
def test_a_link_is_void_once_there_is_an_admin(client: Client) -> None:
    address = link()
    make_user("admin")

    assert client.get(address).status_code == 404
    assert not needs_setup()


@pytest.mark.django_db
def test_an_admin_who_is_switched_off_does_not_lock_everybody_out() -> None:
    make_user("admin")
    User.objects.update(is_active=False)

    assert needs_setup()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("", PASSWORD, "A name has"),
        ("a b!", PASSWORD, "A name has"),
        ("x" * 151, PASSWORD, "A name has"),
        ("ada", "short", "too short"),
        ("ada", "password", "too common"),
        ("ada", "", "too short"),
    ],
)
def test_a_bad_name_or_password_is_told_and_the_link_stays(
    client: Client, name: str, password: str, said: str
) -> None:
    address = link()

    answer = client.post(address, {"name": name, "password": password})

    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert not User.objects.exists()
    assert client.get(address).status_code == 200


@pytest.mark.django_db
def test_a_name_that_is_taken_is_told(client: Client) -> None:
    make_user("viewer", "ada")

    answer = client.post(link(), {"name": "ada", "password": PASSWORD})

    assert answer.status_code == 409
    assert "already" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_moment_make_one_admin() -> None:
    token, together = new_setup_token(), threading.Barrier(2)
    refused: list[str] = []

    def use(name: str) -> None:
        together.wait()
        try:
            make_first_admin(token, name=name, password=PASSWORD)
        except Refused as no:
            refused.append(no.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=use, args=(name,)) for name in ("ada", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert User.objects.count() == 1
    assert refused == ["SETUP_LINK_INVALID"]


@pytest.mark.django_db
def test_the_token_is_kept_as_a_hash_that_only_its_owner_reads(own_folder: Path) -> None:
    token = new_setup_token()

    file = own_folder / "setup_token"
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.django_db
def test_the_sign_in_page_says_how_to_begin(client: Client) -> None:
    assert "one-time link" in client.get("/accounts/login/").content.decode()
    make_user("admin")
    assert "one-time link" not in client.get("/accounts/login/").content.decode()


@pytest.mark.django_db
def test_the_settings_make_an_admin_once(settings: Settings) -> None:
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "ada", PASSWORD

    admin_from_settings()

    ada = User.objects.get()
    assert ada.is_admin
    assert ada.check_password(PASSWORD)


@pytest.mark.django_db
def test_a_password_that_was_changed_since_is_kept(settings: Settings) -> None:
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "ada", PASSWORD
    admin_from_settings()
    ada = User.objects.get()
    ada.set_password("changed later")
    ada.save()

    admin_from_settings()

    assert User.objects.get().check_password("changed later")


@pytest.mark.django_db
def test_the_settings_leave_a_person_of_that_name_alone(settings: Settings) -> None:
    make_user("viewer", "ada")
    settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD = "ada", PASSWORD

    admin_from_settings()

    assert User.objects.get().role == User.Role.VIEWER
