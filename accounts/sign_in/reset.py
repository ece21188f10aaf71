"""A new password by mail: for who has an address here, where MAIL_URL names a server."""

from __future__ import annotations

import threading
from functools import partial

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.services import checked_password
from accounts.sign_in.mail import has_mail, send
from accounts.sign_in.once import OnceLink
from accounts.throttle import may_mail

RESET = OnceLink(
    salt="abm.reset",
    seconds=3_600,
    # Changes with the password and the address, so that a link works once.
    state=lambda person: f"{person.password}|{person.email}",
    used_up="This link is used up or older than an hour. Ask for another.",
)
TEXT = """Somebody, hopefully you, asked for a new password for {name} in abm.

This link sets one. It works once, within an hour:
{link}

If it was not you, do nothing: your password stays as it is.
"""


def may_reset() -> bool:
    """Whether the sign-in page offers it."""
    return has_mail() and bool(settings.PASSWORD_SIGN_IN)


def ask_reset(mail: str, *, address: str) -> None:
    """Mail a link to whoever has this address; the same happens where nobody has.

    `address` is whence it was asked. The link begins with PUBLIC_URL: what a request says of its
    host anybody may write. Raises Refused MAIL_OFF or MAIL_TOO_OFTEN.
    """
    require_mail()
    mail = mail.strip().lower()[:254]
    if not may_mail(mail, address):
        raise Refused("MAIL_TOO_OFTEN", "Too many mails were asked for. Wait an hour.", status=429)
    people = User.objects.filter(email__iexact=mail, is_active=True) if mail else []
    for person in people:
        if person.has_usable_password():
            link = f"{settings.PUBLIC_URL}/accounts/reset/{RESET.token(person)}/"
            text = TEXT.format(name=person.username, link=link)
            note("user.reset_mail", person, user=None)
            # Not waited for: how long it takes would tell who has an address here.
            transaction.on_commit(partial(_send_later, person.email, text))


def person_of(token: str) -> User:
    """Whom the link of a mail is for. Raises Refused LINK_INVALID or MAIL_OFF."""
    require_mail()
    return RESET.person_of(token)


@transaction.atomic
def reset_password(token: str, *, password: str) -> User:
    """Give the person of the link this password, which ends their sessions.

    Raises Refused LINK_INVALID or PASSWORD_WEAK.
    """
    person = person_of(token)
    person.set_password(checked_password(password, person))
    person.save(update_fields=["password"])
    note("user.password", person, user=None, after={"by": "a link by mail"})
    return person


def set_mail(person: User, *, mail: str, user: User | None) -> User:
    """Where links for a new password go; one's own, or by an admin. Raises Refused MAIL_INVALID."""
    if user is not None and user.pk != person.pk:
        require_role(user, User.Role.ADMIN)
    mail = mail.strip()
    try:
        if mail:
            validate_email(mail)
    except ValidationError as error:
        raise Refused(
            "MAIL_INVALID",
            f"“{mail[:60]}” is no mail address. Write it as name@example.com.",
            status=400,
        ) from error
    before = {"mail": person.email}
    person.email = mail
    person.save(update_fields=["email"])
    note("user.mail", person, user=user, before=before, after={"mail": mail})
    return person


def _send_later(to: str, text: str) -> None:
    values = {"subject": "A new password for abm", "text": text}
    threading.Thread(target=send, args=[to], kwargs=values, name="abm-mail", daemon=True).start()


def require_mail() -> None:
    """Raises Refused MAIL_OFF where nothing is sent."""
    if not may_reset():
        raise Refused(
            "MAIL_OFF",
            "abm sends no mails here. An admin can give you a new password.",
            status=404,
        )
