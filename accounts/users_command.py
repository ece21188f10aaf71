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
from accounts.services import set_active, set_password
from accounts.sign_in.link import GOOD_SECONDS, make_link
from accounts.token_command import Written


def add_arguments(verbs: Any) -> None:
    """Add the verbs to `manage.py abm users`."""
    listed = verbs.add_parser("list", help="who may sign in")
    listed.add_argument("--json", action="store_true", help="for programs")
    password = verbs.add_parser("password", help="give somebody a new password")
    password.add_argument("name", metavar="NAME")
    password.add_argument(
        "--stdin", action="store_true", help="read it from the standard input; else it is asked for"
    )
    password.add_argument("--random", action="store_true", help="make one and print it")
    link = verbs.add_parser("link", help="print a link that signs somebody in once")
    link.add_argument("name", metavar="NAME")
    factor = verbs.add_parser("second-factor-off", help="forget somebody's app, codes and passkeys")
    factor.add_argument("name", metavar="NAME")
    active = verbs.add_parser("switch-on", help="let somebody sign in again")
    active.add_argument("name", metavar="NAME")


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


def _password(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    if options["random"]:
        password = secrets.token_urlsafe(15)
    elif options["stdin"]:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass(f"New password of {person}: ")
        if password != getpass.getpass("Once more: "):
            raise CommandError("The two are not the same. Try again.")
    set_password(person, password=password, user=None)
    out.write(f"{person} has a new password. Their sessions have ended.")
    if options["random"]:
        out.write(password)


def _link(options: dict[str, Any], out: OutputWrapper) -> None:
    person = _person(options)
    if not person.is_active:
        raise CommandError(f"{person} is switched off: manage.py abm users switch-on {person}")
    base = settings.PUBLIC_URL or f"http://127.0.0.1:{settings.PORT}"
    out.write(f"This signs {person} in, once, within {GOOD_SECONDS // 60} minutes:")
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


def _person(options: dict[str, Any]) -> User:
    person = User.objects.filter(username=options["name"]).first()
    if person is None:
        raise CommandError(f"There is nobody named {options['name']}.")
    return person


VERBS = {
    "list": _list,
    "password": _password,
    "link": _link,
    "second-factor-off": _second_factor_off,
    "switch-on": _switch_on,
}
