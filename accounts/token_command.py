"""`manage.py abm token`: tokens from a shell, for scripts and for who cannot sign in."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, Protocol

from django.core.management.base import CommandError, OutputWrapper

from accounts.models import ApiToken, User
from accounts.tokens import create_token, revoke_token


def add_arguments(verbs: Any) -> None:
    """The verbs below `token`."""
    create: ArgumentParser = verbs.add_parser("create", help="make a token and print it, once")
    create.add_argument("--user", required=True, help="whose it is")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--role", choices=User.Role.values, default=User.Role.VIEWER.value)
    create.add_argument("--days", type=int, help="how long it is good; for ever if absent")
    create.add_argument("--json", action="store_true", help="for programs")
    listed: ArgumentParser = verbs.add_parser("list", help="the tokens there are")
    listed.add_argument("--json", action="store_true", help="for programs")
    revoke: ArgumentParser = verbs.add_parser("revoke", help="end a token")
    revoke.add_argument("--user", required=True)
    revoke.add_argument("--name", required=True)


class Written(Protocol):
    """Where it is written to; accounts knows nothing of jobs, whose terminal this is."""

    @property
    def out(self) -> OutputWrapper: ...


def handle(options: dict[str, Any], terminal: Written) -> None:
    """Do what was asked. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal.out)


def _create(options: dict[str, Any], out: OutputWrapper) -> None:
    owner = User.objects.filter(username=options["user"]).first()
    if owner is None:
        raise CommandError(f"There is nobody named {options['user']}.")
    token, key = create_token(
        owner, name=options["name"], role=options["role"], days=options["days"], user=None
    )
    out.write(json.dumps({"id": token.pk, "key": key}) if options["json"] else key)


def _list(options: dict[str, Any], out: OutputWrapper) -> None:
    rows = [
        {
            "id": token.pk,
            "user": token.user.username,
            "name": token.name,
            "prefix": token.prefix,
            "role": token.role,
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
        }
        for token in ApiToken.objects.select_related("user")
    ]
    if options["json"]:
        out.write(json.dumps(rows))
        return
    for row in rows:
        used = row["last_used_at"] or "never used"
        out.write(f"{row['user']}\t{row['name']}\t{row['prefix']}…\t{row['role']}\t{used}")


def _revoke(options: dict[str, Any], out: OutputWrapper) -> None:
    token = ApiToken.objects.filter(user__username=options["user"], name=options["name"]).first()
    if token is None:
        raise CommandError(f"{options['user']} has no token named {options['name']}.")
    revoke_token(token, user=None)
    out.write(f"{options['name']} of {options['user']} was revoked.")


VERBS = {"create": _create, "list": _list, "revoke": _revoke}
