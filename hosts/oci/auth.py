"""Logging in to a registry: the challenge, the token for it, how long that is good for.

Source: distribution.github.io/distribution/spec/auth/token. A registry says with 401 who hands
out tokens (realm, service, scope); whoever has a login shows it there and nowhere else.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, Field, ValidationError

from hosts.oci.answers import (
    is_page,
    login_needed,
    login_refused,
    not_a_registry,
    refusal,
)
from hosts.oci.errors import NotARegistry, RegistryBroken, Subject
from hosts.oci.web import Web

USUAL_LIFE = 60.0
"""Seconds that a token lives if nothing is said, by the specification."""
LONGEST_LIFE = 3600.0
MARGIN = 0.1
"""The share of its life for which a token is not used any more."""
TOKEN_LIMIT = 256 * 1024
_SCHEME = re.compile(r"(?:^|,)\s*(bearer|basic)(?=\s|$|,)", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password or token of one registry; the password is never printed."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a 401 asks for: `bearer` tokens from `realm`, or a `basic` login."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def challenge_in(header: str) -> Challenge | None:
    """Read WWW-Authenticate; Bearer goes before Basic, and None stands for neither."""
    starts = [(found.start(), found.end(), found[1].lower()) for found in _SCHEME.finditer(header)]
    starts = [one for one in starts if not _is_quoted(header, one[0])]
    found: dict[str, Challenge] = {}
    for number, (_, begin, scheme) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else len(header)
        values = dict(_parameters(header[begin:end]))
        found.setdefault(
            scheme,
            Challenge(
                scheme,
                values.get("realm", ""),
                values.get("service", ""),
                values.get("scope", ""),
            ),
        )
    return found.get("bearer") or found.get("basic")


def _is_quoted(header: str, position: int) -> bool:
    return header.count('"', 0, position) % 2 == 1


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for found in _PARAMETER.finditer(text):
        yield found[1].lower(), re.sub(r"\\(.)", r"\1", found[2] or "") or found[3] or ""


class _TokenJson(BaseModel):
    token: str = ""
    access_token: str = ""
    expires_in: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    good_until: float


class Authorizer:
    """What to write into Authorization for one registry; may be asked from several threads."""

    def __init__(
        self,
        web: Web,
        *,
        credentials: Credentials | None,
        is_plain: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web = web
        self._credentials = credentials
        self._is_plain = is_plain
        self._clock = clock
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._waiting: dict[tuple[str, str, str], threading.Lock] = {}

    @property
    def user(self) -> str:
        """Who is logged in; empty for nobody."""
        return self._credentials.user if self._credentials else ""

    def learn(self, header: str, *, about: Subject) -> None:
        """Remember what the registry asks for. Raises LoginNeeded, NotARegistry."""
        challenge = challenge_in(header)
        if challenge is None:
            raise NotARegistry(
                f"{about.registry} wants a login of a kind that abm does not know{about.purpose}. "
                "Check the address of the registry.",
                about=about,
                detail=header[:300],
            )
        if challenge.scheme == "basic" and self._credentials is None:
            raise login_needed(about)
        if challenge.scheme == "bearer":
            self._check_realm(challenge.realm, about)
        with self._lock:
            self._challenge = challenge

    def header(self, scope: str, *, about: Subject) -> Mapping[str, str]:
        """The header for this scope, empty if the registry asks for nothing.

        Raises RegistryError.
        """
        with self._lock:
            challenge = self._challenge
        if challenge is None:
            return {}
        if challenge.scheme == "basic":
            return {"Authorization": self._credentials.basic} if self._credentials else {}
        return {"Authorization": f"Bearer {self._token(challenge, scope, about)}"}

    def forget(self, scope: str) -> None:
        """Drop the token of this scope: it was refused."""
        with self._lock:
            for key in [key for key in self._tokens if key[2] == scope]:
                del self._tokens[key]

    def _check_realm(self, realm: str, about: Subject) -> None:
        """A password goes only where it travels as safely as to the registry itself."""
        if urlsplit(realm).scheme not in ({"http", "https"} if self._is_plain else {"https"}):
            raise NotARegistry(
                f"{about.registry} sends its users to an unprotected address to log in"
                f"{about.purpose}, and abm does not follow. Check the settings of the registry.",
                about=about,
                detail=realm[:300],
            )

    def _token(self, challenge: Challenge, scope: str, about: Subject) -> str:
        """A token that is still good; threads that want the same one fetch it once."""
        key = (challenge.realm, challenge.service, scope)
        with self._lock:
            waiting = self._waiting.setdefault(key, threading.Lock())
        with waiting:
            with self._lock:
                token = self._tokens.get(key)
            if token is None or token.good_until <= self._clock():
                token = self._fetch(challenge, scope, about)
                with self._lock:
                    self._tokens[key] = token
            return token.text

    def _fetch(self, challenge: Challenge, scope: str, about: Subject) -> _Token:
        asked = {"service": challenge.service, "scope": scope}
        query = urlencode({name: value for name, value in asked.items() if value})
        joint = "&" if urlsplit(challenge.realm).query else "?"
        headers = {"Authorization": self._credentials.basic} if self._credentials else {}
        begun = self._clock()
        url = f"{challenge.realm}{joint}{query}"
        reply = self._web.ask("GET", url, about=about, headers=headers, limit=TOKEN_LIMIT)
        if reply.status == 401 or (reply.status == 403 and not scope):
            detail = refusal(reply, about=about).detail
            if self._credentials:
                raise login_refused(about, self.user, detail)
            raise login_needed(about, detail)
        if reply.status != 200:
            raise refusal(reply, about=about, user=self.user)
        if is_page(reply):
            raise not_a_registry(about)
        return _read_token(reply.content, begun, about)


def _read_token(content: bytes, begun: float, about: Subject) -> _Token:
    try:
        answer = _TokenJson.model_validate_json(content)
    except ValidationError:
        answer = _TokenJson()
    text = answer.token or answer.access_token
    if not text or not text.isascii() or not text.isprintable():
        raise RegistryBroken(
            f"{about.registry} gave no usable token{about.purpose}. Try again later; if the "
            "registry is yours, look at the log of its login service.",
            about=about,
        )
    life = min(answer.expires_in or USUAL_LIFE, LONGEST_LIFE)
    return _Token(text, begun + life * (1 - MARGIN))
