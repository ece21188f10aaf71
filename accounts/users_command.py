"""`manage.py abm users ...`: people, when the pages cannot help."""

from __future__ import annotations

import getpass
import secrets
import sys
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management.base import CommandError

from accounts.api import PersonShape, person_shape
from accounts.audit import note
from accounts.models import User
from accounts.rest import Shape
from accounts.services import add_user, remove_user, set_active, set_password, set_role
from accounts.sign_in.link import SIGN_IN, make_link
from accounts.token_command import Written, verb

COLUMNS = {
    "name": "NAME",
    "role": "ROLE",
    "is_active": "MAY SIGN IN",
    "last_login": "LAST HERE",
}


class NewPassword(PersonShape):
    """Somebody whose password was made here; it is told once."""

    password: str


class SignInLink(Shape):
    """A link that signs somebody in, once."""

    url: str
    seconds: int


def add_arguments(verbs: Any) -> None:
    """Add the verbs to `manage.py abm users`."""
    verb(verbs, "list", "who may sign in")
    for name, words in {
        "add": "let somebody new sign in",
        "password": "give somebody a new password",
        "role": "give somebody another role",
        "link": "print a link that signs somebody in once",
        "second-factor-off": "forget somebody's app, codes and passkeys",
        "switch-on": "let somebody sign in again",
        "switch-off": "let somebody sign in no more",
        "remove": "delete somebody, with their tokens",
    }.items():
        parser = verb(verbs, name, words)
        parser.add_argument("name", metavar="NAME")
        if name == "role":
            parser.add_argument("role", choices=User.Role.values)
        if name == "add":
            parser.add_argument("--role", choices=User.Role.values, default=User.Role.VIEWER)
        if name in ("add", "password"):
            parser.add_argument(
                "--stdin", action="store_true", help="read it from the standard input, do not ask"
            )
            parser.add_argument("--random", action="store_true", help="make one and print it")


def handle(options: dict[str, Any], terminal: Written) -> None:
    """Do what the arguments say. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal)


def _list(options: dict[str, Any], terminal: Written) -> None:
    terminal.rows([person_shape(one) for one in User.objects.all()], COLUMNS)


def _add(options: dict[str, Any], terminal: Written) -> None:
    password = _new_password(options)
    made = add_user(name=options["name"], password=password, role=options["role"], user=None)
    text = f"{made} can sign in now, as {made.get_role_display().lower()}."
    _tell(made, text, password if options["random"] else "", terminal)


def _password(options: dict[str, Any], terminal: Written) -> None:
    person = _person(options)
    password = _new_password(options)
    set_password(person, password=password, user=None)
    text = f"{person} has a new password. Their sessions have ended."
    _tell(person, text, password if options["random"] else "", terminal)


def _tell(person: User, text: str, password: str, terminal: Written) -> None:
    if terminal.is_json:
        shape = person_shape(person)
        terminal.one(NewPassword(**shape.model_dump(), password=password) if password else shape)
        return
    terminal.say(text)
    if password:
        terminal.out.write(password)


def _new_password(options: dict[str, Any]) -> str:
    if options["random"]:
        return secrets.token_urlsafe(15)
    if options["stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"New password of {options['name']}: ")
    if password != getpass.getpass("Once more: "):
        raise CommandError("The two are not the same. Try again.")
    return password


def _role(options: dict[str, Any], terminal: Written) -> None:
    person = set_role(_person(options), role=options["role"], user=None)
    terminal.say(f"{person} is {person.get_role_display().lower()} now.")


def _link(options: dict[str, Any], terminal: Written) -> None:
    person = _person(options)
    if not person.is_active:
        raise CommandError(f"{person} is switched off: manage.py abm users switch-on {person}")
    base = settings.PUBLIC_URL or f"http://127.0.0.1:{settings.PORT}"
    url, seconds = f"{base}{make_link(person)}", SIGN_IN.seconds
    if terminal.is_json:
        terminal.one(SignInLink(url=url, seconds=seconds))
        return
    terminal.say(f"This signs {person} in, once, within {seconds // 60} minutes:")
    terminal.out.write(url)


def _second_factor_off(options: dict[str, Any], terminal: Written) -> None:
    person = _person(options)
    count, _ = Authenticator.objects.filter(user=person).delete()
    note("user.second_factor_off", person, user=None)
    terminal.say(f"{person} signs in without a second factor now." if count else "There was none.")


def _switch_on(options: dict[str, Any], terminal: Written) -> None:
    person = _person(options)
    set_active(person, is_active=True, user=None)
    terminal.say(f"{person} can sign in again.")


def _switch_off(options: dict[str, Any], terminal: Written) -> None:
    person = _person(options)
    set_active(person, is_active=False, user=None)
    terminal.say(f"{person} cannot sign in any more.")


def _remove(options: dict[str, Any], terminal: Written) -> None:
    person = _person(options)
    remove_user(person, user=None)
    terminal.say(f"{person} was deleted.")


def _person(options: dict[str, Any]) -> User:
    person = User.objects.filter(username=options["name"]).first()
    if person is None:
        raise CommandError(f"There is nobody named {options['name']}.")
    return person


VERBS = {
    "list": _list,
    "add": _add,
    "password": _password,
    "role": _role,
    "link": _link,
    "second-factor-off": _second_factor_off,
    "switch-on": _switch_on,
    "switch-off": _switch_off,
    "remove": _remove,
}
