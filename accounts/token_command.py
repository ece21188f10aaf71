"""`manage.py abm token`: tokens from a shell, for scripts and for who cannot sign in."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from django.core.management.base import CommandError, OutputWrapper
from pydantic import BaseModel

from accounts.api import TokenMade, token_shape
from accounts.models import ApiToken, User
from accounts.tokens import create_token, revoke_token

COLUMNS = {
    "user": "WHOSE",
    "name": "NAME",
    "prefix": "BEGINS",
    "role": "ROLE",
    "last_used_at": "LAST USED",
    "expires_at": "GOOD UNTIL",
}


class Written(Protocol):
    """Where it is written to; accounts knows nothing of jobs, whose terminal this is."""

    @property
    def out(self) -> OutputWrapper: ...
    @property
    def is_json(self) -> bool: ...
    def rows(self, shapes: Iterable[BaseModel], columns: Mapping[str, str]) -> None: ...
    def one(self, shape: BaseModel) -> None: ...
    def say(self, text: str) -> None: ...


def verb(verbs: Any, name: str, help: str) -> ArgumentParser:
    """One more verb of a command; each can answer in JSON."""
    parser: ArgumentParser = verbs.add_parser(name, help=help)
    parser.add_argument("--json", action="store_true", help="the words of the REST API")
    return parser


def add_arguments(verbs: Any) -> None:
    """The verbs below `token`."""
    create = verb(verbs, "create", "make a token and print it, once")
    create.add_argument("--user", required=True, help="whose it is")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument("--role", choices=User.Role.values, default=User.Role.VIEWER.value)
    create.add_argument("--days", type=int, help="how long it is good; for ever if absent")
    verb(verbs, "list", "the tokens there are")
    revoke = verb(verbs, "revoke", "end a token")
    revoke.add_argument("--user", required=True)
    revoke.add_argument("--name", required=True)


def handle(options: dict[str, Any], terminal: Written) -> None:
    """Do what was asked. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal)


def _create(options: dict[str, Any], terminal: Written) -> None:
    owner = User.objects.filter(username=options["user"]).first()
    if owner is None:
        raise CommandError(f"There is nobody named {options['user']}.")
    token, key = create_token(
        owner, name=options["name"], role=options["role"], days=options["days"], user=None
    )
    if terminal.is_json:
        terminal.one(TokenMade(token=token_shape(token), key=key))
    else:
        terminal.out.write(key)


def _list(options: dict[str, Any], terminal: Written) -> None:
    tokens = ApiToken.objects.select_related("user")
    terminal.rows([token_shape(token) for token in tokens], COLUMNS)


def _revoke(options: dict[str, Any], terminal: Written) -> None:
    token = ApiToken.objects.filter(user__username=options["user"], name=options["name"]).first()
    if token is None:
        raise CommandError(f"{options['user']} has no token named {options['name']}.")
    revoke_token(token, user=None)
    terminal.say(f"{options['name']} of {options['user']} was revoked.")


VERBS = {"create": _create, "list": _list, "revoke": _revoke}
