"""A link that signs one person in once: made on the command line, when nothing else works."""

from __future__ import annotations

from django.core import signing
from django.utils.crypto import salted_hmac

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused

SALT = "abm.sign-in-link"
GOOD_SECONDS = 600


def make_link(person: User) -> str:
    """The path of the link, good for ten minutes and until they sign in next."""
    token = signing.dumps({"pk": person.pk, "state": _state(person)}, salt=SALT)
    note("user.link", person, user=None)
    return f"/accounts/link/{token}/"


def person_of(token: str) -> User:
    """Whom the link is for. Raises Refused LINK_INVALID."""
    try:
        said = signing.loads(token, salt=SALT, max_age=GOOD_SECONDS)
    except signing.BadSignature as error:
        raise _used_up() from error
    person = User.objects.filter(pk=said["pk"], is_active=True).first()
    if person is None or said["state"] != _state(person):
        raise _used_up()
    return person


def _state(person: User) -> str:
    """Changes with each sign-in and with the password, so that a link works once."""
    last = person.last_login.isoformat() if person.last_login else ""
    return salted_hmac(SALT, f"{last}|{person.password}").hexdigest()


def _used_up() -> Refused:
    return Refused(
        "LINK_INVALID",
        "This link is used up or older than ten minutes. Make another: manage.py abm users link.",
        status=404,
    )
