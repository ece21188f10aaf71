"""People: added, given roles and passwords, switched off; an admin is always left."""

from __future__ import annotations

import io

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.audit_models import AuditEntry
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import has_role, require_role
from accounts.services import set_active, set_role
from tests.api.conftest import program_of
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


class TestOnesOwnPassword:
    @pytest.fixture
    def bob(self, db: None) -> User:
        cache.clear()
        return User.objects.create_user("bob", password="the old one", role=User.Role.ADMIN)

    def ask(self, bob: User, client: Client, old: str) -> int:
        form = {"old": old, "password": PASSWORD}
        status = client.post(f"/accounts/users/{bob.pk}/password/", form).status_code
        bob.refresh_from_db()
        return status

    def test_it_wants_the_present_one(self, bob: User) -> None:
        browser = browser_of(bob)

        assert "Present password" in browser.get("/accounts/profile/").content.decode()
        for wrong in ("", "guessed", PASSWORD):
            assert self.ask(bob, browser, wrong) == 400
            assert bob.check_password("the old one")
        assert self.ask(bob, browser, "the old one") == 302
        assert bob.check_password(PASSWORD)
        assert browser.get("/").status_code == 200, "still signed in"

    def test_guessing_it_is_paused(self, bob: User) -> None:
        browser = browser_of(bob)

        said = [self.ask(bob, browser, "guessed") for _ in range(6)]

        assert said == [400] * 5 + [429]
        assert self.ask(bob, browser, "the old one") == 429

    def test_the_api_wants_it_as_well(self, bob: User) -> None:
        program, path = program_of(bob), f"/api/users/{bob.pk}"

        refused = program.patch(path, {"password": PASSWORD})
        said = program.patch(path, {"password": PASSWORD, "oldPassword": "the old one"})

        assert refused.json()["detail"] == "[PASSWORD_WRONG]"
        assert said.status_code == 200

    def test_people_sends_one_to_the_profile(self, bob: User) -> None:
        page = browser_of(bob).get("/accounts/users/").content.decode()

        assert f"/accounts/users/{bob.pk}/password/" not in page


@pytest.mark.django_db
def test_the_command_line_adds_changes_and_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*args: str) -> str:
        out = io.StringIO()
        call_command("abm", "users", *args, stdout=out)
        return out.getvalue()

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert "operator" in told("add", "bob", "--role", "operator", "--stdin")
    assert User.objects.get().check_password(PASSWORD)
    assert "bob is admin now." in told("role", "bob", "admin")
    with pytest.raises(CommandError, match="only admin"):
        told("remove", "bob")
    make_user("admin", "ada")
    assert "cannot sign in any more" in told("switch-off", "bob")
    assert "bob was deleted." in told("remove", "bob")
    assert not User.objects.filter(username="bob").exists()


class TestRemoving:
    def test_it_ends_sessions_and_tokens_and_the_audit_keeps_the_name(self, admin: Client) -> None:
        bob = make_user("operator", "bob")
        browser, program = browser_of(bob), program_of(bob)

        admin.post(f"/accounts/users/{bob.pk}/delete/")

        assert browser.get("/").status_code == 302
        assert program.get("/api/engines/status").status_code == 401
        assert AuditEntry.objects.get(verb="user.remove").object_name == "bob"

    def test_the_last_admin_stays(self, db: None) -> None:
        ada = make_user("admin", "ada")

        refused = program_of(ada).delete(f"/api/users/{ada.pk}")

        assert refused.json()["detail"] == "[LAST_ADMIN]"
        assert User.objects.filter(pk=ada.pk).exists()

    def test_over_the_api(self, db: None) -> None:
        program, bob = program_of(make_user("admin")), make_user("viewer", "bob")

        assert program.delete(f"/api/users/{bob.pk}").status_code == 200
        assert program.delete(f"/api/users/{bob.pk}").status_code == 404


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


def test_the_only_admin_is_offered_nothing_that_is_refused(admin: Client) -> None:
    me = User.objects.get()
    refused = [f'action="/accounts/users/{me.pk}/{verb}/"' for verb in ("role", "active", "delete")]

    alone = admin.get("/accounts/users/").content.decode()
    User.objects.create_user("bob", role="admin")
    with_another = admin.get("/accounts/users/").content.decode()

    assert [form for form in refused if form in alone] == []
    assert "Make somebody else admin first." in alone
    assert [form for form in refused if form in with_another] == refused
