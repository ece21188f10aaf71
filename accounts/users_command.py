"""`manage.py abm users ...`: people, when the pages cannot help."""

from __future__ import annotations

import getpass
import json
import secrets
import sys
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper

from accounts.audit import note
from accounts.models import User
from accounts.services import add_user, remove_user, set_active, set_password, set_role
from accounts.sign_in.link import SIGN_IN, make_link
from accounts.token_command import Written


def add_arguments(verbs: Any) -> None:
    """Add the verbs to `manage.py abm users`."""
    listed = verbs.add_parser("list", help="who may sign in")
    listed.add_argument("--json", action="store_true", help="for programs")
    added = verbs.add_parser("add", help="let somebody new sign in")
    added.add_argument("name", metavar="NAME")
    added.add_argument("--role", choices=User.Role.values, default=User.Role.VIEWER)
    password = verbs.add_parser("password", help="give somebody a new password")
    password.add_argument("name", metavar="NAME")
    for parser in (added, password):
        parser.add_argument(
            "--stdin", action="store_true", help="read it from the standard input, do not ask"
        )
        parser.add_argument("--random", action="store_true", help="make one and print it")
    role = verbs.add_parser("role", help="give somebody another role")
    role.add_argument("name", metavar="NAME")
    role.add_argument("role", choices=User.Role.values)
    link = verbs.add_parser("link", help="print a link that signs somebody in once")
    link.add_argument("name", metavar="NAME")
    factor = verbs.add_parser("second-factor-off", help="forget somebody's app, codes and passkeys")
    factor.add_argument("name", metavar="NAME")
    active = verbs.add_parser("switch-on", help="let somebody sign in again")
    active.add_argument("name", metavar="NAME")
    inactive = verbs.add_parser("switch-off", help="let somebody sign in no more")
    inactive.add_argument("name", metavar="NAME")
    removed = verbs.add_parser("remove", help="delete somebody, with their tokens")
    removed.add_argument("name", metavar="NAME")


def handle(options: dict[str, Any], terminal: Written) -> None:
    """Do what the arguments say. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal.out)


def _list(options: dict[str, Any], out: OutputWrapper) -> None:
    rows = [
        {"name": one.username, "role": one.role, "isActive": one.is_active}
        for one in User.objects.all()
    ]
    if options["json"]:
        out.write(json.dumps(rows, indent=1))
        return
    for row in rows:
        out.write(f"{row['name']}  {row['role']}{'' if row['isActive'] else '  cannot sign in'}")


def _add(options: dict[str, Any], out: OutputWrapper) -> None:
    password = _new_password(options)
    made = add_user(name=options["name"], password=password, role=options["role"], user=None)
    out.write(f"{made} can sign in now, as {made.get_role_display().lower()}.")
    if options["random"]:
        out.write(password)


def _password(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    password = _new_password(options)
    set_password(person, password=password, user=None)
    out.write(f"{person} has a new password. Their sessions have ended.")
    if options["random"]:
        out.write(password)


def _new_password(options: dict[str, Any]) -> str:
    if options["random"]:
        return secrets.token_urlsafe(15)
    if options["stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"New password of {options['name']}: ")
    if password != getpass.getpass("Once more: "):
        raise CommandError("The two are not the same. Try again.")
    return password


def _role(options: dict[str, Any], out: OutputWrapper) -> None:
    person = set_role(_person(options), role=options["role"], user=None)
    out.write(f"{person} is {person.get_role_display().lower()} now.")


def _link(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    if not person.is_active:
        raise CommandError(f"{person} is switched off: manage.py abm users switch-on {person}")
    base = settings.PUBLIC_URL or f"http://127.0.0.1:{settings.PORT}"
    out.write(f"This signs {person} in, once, within {SIGN_IN.seconds // 60} minutes:")
    out.write(f"{base}{make_link(person)}")


def _second_factor_off(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    count, _ = Authenticator.objects.filter(user=person).delete()
    note("user.second_factor_off", person, user=None)
    out.write(f"{person} signs in without a second factor now." if count else "There was none.")


def _switch_on(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    set_active(person, is_active=True, user=None)
    out.write(f"{person} can sign in again.")


def _switch_off(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    set_active(person, is_active=False, user=None)
    out.write(f"{person} cannot sign in any more.")


def _remove(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    remove_user(person, user=None)
    out.write(f"{person} was deleted.")


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
