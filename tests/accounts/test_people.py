"""People: added, given roles and passwords, switched off; an admin is always left."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import has_role, require_role
from accounts.services import set_active, set_role
from tests.pages.factories import browser_of, make_user

PASSWORD = "correct horse battery"


def made_by(client: Client, **values: str) -> int:
    form = {"name": "bob", "password": PASSWORD, "role": "operator", **values}
    return client.post("/accounts/users/add/", form).status_code


def test_an_admin_adds_somebody_who_can_sign_in(admin: Client, client: Client) -> None:
    assert made_by(admin) == 302

    client.post("/accounts/login/", {"username": "bob", "password": PASSWORD})

    assert client.get("/").status_code == 200
    assert User.objects.get(username="bob").role == User.Role.OPERATOR
    assert "bob" in admin.get("/accounts/users/").content.decode()


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"name": "a b"}, 400),
        ({"password": "12345678"}, 400),
        ({"password": "bob"}, 400),
        ({"role": "king"}, 400),
        ({"role": ""}, 400),
    ],
)
def test_what_makes_no_person_is_refused(
    admin: Client, values: dict[str, str], status: int
) -> None:
    assert made_by(admin, **values) == status
    assert not User.objects.filter(username="bob").exists()


def test_a_name_is_given_once(admin: Client) -> None:
    made_by(admin)

    assert made_by(admin) == 409


def test_a_role_is_changed(admin: Client) -> None:
    bob = make_user("viewer", "bob")

    answer = admin.post(f"/accounts/users/{bob.pk}/role/", {"role": "operator"}, follow=True)

    bob.refresh_from_db()
    assert bob.role == User.Role.OPERATOR
    assert "bob is operator now." in answer.content.decode()


@pytest.mark.parametrize(
    ("path", "form"), [("role", {"role": "viewer"}), ("active", {"active": ""})]
)
def test_the_last_admin_stays(admin: Client, path: str, form: dict[str, str]) -> None:
    me = User.objects.get()

    answer = admin.post(f"/accounts/users/{me.pk}/{path}/", form)

    me.refresh_from_db()
    assert answer.status_code == 409
    assert "is the only admin" in answer.content.decode()
    assert me.is_admin


@pytest.mark.django_db
def test_one_of_two_admins_may_go() -> None:
    one, two = make_user("admin", "one"), make_user("admin", "two")

    set_role(one, role="viewer", user=two)

    with pytest.raises(Refused, match="only admin"):
        set_active(two, is_active=False, user=two)


@pytest.mark.django_db
def test_an_admin_who_is_switched_off_counts_for_nothing() -> None:
    one, two = make_user("admin", "one"), make_user("admin", "two")
    set_active(two, is_active=False, user=one)

    with pytest.raises(Refused, match="only admin"):
        set_role(one, role="viewer", user=one)


def test_who_is_switched_off_is_signed_out_and_stays_out(admin: Client) -> None:
    bob = User.objects.create_user("bob", password=PASSWORD)
    browser = browser_of(bob)

    admin.post(f"/accounts/users/{bob.pk}/active/", {})

    assert browser.get("/").status_code == 302
    tried = browser.post("/accounts/login/", {"username": "bob", "password": PASSWORD})
    assert tried.status_code == 200, "the form again"
    admin.post(f"/accounts/users/{bob.pk}/active/", {"active": "on"})
    tried = browser.post("/accounts/login/", {"username": "bob", "password": PASSWORD})
    assert tried.status_code == 302


def test_a_new_password_from_an_admin_ends_the_sessions_of_its_owner(admin: Client) -> None:
    bob = User.objects.create_user("bob", password="the old one")
    browser = browser_of(bob)

    admin.post(f"/accounts/users/{bob.pk}/password/", {"password": PASSWORD})

    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)
    assert browser.get("/").status_code == 302


def test_one_sets_ones_own_password_and_stays_signed_in(viewer: Client) -> None:
    me = User.objects.get()

    answer = viewer.post(f"/accounts/users/{me.pk}/password/", {"password": PASSWORD}, follow=True)

    assert "has a new password" in answer.content.decode()
    me.refresh_from_db()
    assert me.check_password(PASSWORD)


def test_nobody_sets_the_password_of_another(operator: Client) -> None:
    bob = make_user("viewer", "bob")

    answer = operator.post(f"/accounts/users/{bob.pk}/password/", {"password": PASSWORD})

    assert answer.status_code == 403


def test_a_weak_password_is_refused(viewer: Client) -> None:
    me = User.objects.get()

    answer = viewer.post(f"/accounts/users/{me.pk}/password/", {"password": "12345678"})

    assert answer.status_code == 400
    assert "too common" in answer.content.decode()


def test_a_person_who_is_not_there_is_not_found(admin: Client) -> None:
    assert admin.post("/accounts/users/999/role/", {"role": "viewer"}).status_code == 404


@pytest.mark.parametrize(
    ("held", "may"),
    [
        ("viewer", [True, False, False]),
        ("operator", [True, True, False]),
        ("admin", [True, True, True]),
    ],
)
def test_each_role_includes_the_ones_before_it(held: str, may: list[bool]) -> None:
    user = User(username="bob", role=held)

    assert [has_role(user, role) for role in User.Role] == may


def test_abm_itself_may_do_everything_and_a_refusal_says_whom_to_ask() -> None:
    require_role(None, User.Role.ADMIN)

    with pytest.raises(Refused, match=r"bob is viewer here.*needs the role operator.*Ask an admin"):
        require_role(User(username="bob"), User.Role.OPERATOR)
