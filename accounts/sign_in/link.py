"""A link that signs one person in once: made on the command line, when nothing else works."""

from __future__ import annotations

from accounts.audit import note
from accounts.models import User
from accounts.sign_in.once import OnceLink


def _state(person: User) -> str:
    """Changes with each sign-in and with the password, so that a link works once."""
    last = person.last_login.isoformat() if person.last_login else ""
    return f"{last}|{person.password}"


SIGN_IN = OnceLink(
    salt="abm.sign-in-link",
    seconds=600,
    state=_state,
    used_up="This link is used up or older than ten minutes. "
    "Make another: manage.py abm users link.",
)


def make_link(person: User) -> str:
    """The path of the link, good for ten minutes and until they sign in next."""
    note("user.link", person, user=None)
    return f"/accounts/link/{SIGN_IN.token(person)}/"


def person_of(token: str) -> User:
    """Whom the link is for. Raises Refused LINK_INVALID."""
    return SIGN_IN.person_of(token)
