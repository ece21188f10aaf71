"""What an admin may ask of notifications."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import time
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.views.decorators.debug import sensitive_variables

from abm.notify.models import CHOSEN, Delivery, Kind, NotifyTarget
from abm.notify.senders import readable
from abm.notify.work import TOPIC
from accounts.audit import columns, note
from accounts.models import User
from accounts.plain import is_name
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.secrets import encrypted
from jobs.events import announce
from jobs.services import ring_task

TASK = "abm.notify"
LONGEST_URL = 2_000
TOLD = ("name", "kinds", "is_enabled", "quiet_from", "quiet_until")
Type = NotifyTarget.Type


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person entered."""

    name: str
    url: str
    """Empty keeps the stored one."""
    kinds: Collection[str]
    is_enabled: bool = True
    quiet_from: str = ""
    quiet_until: str = ""
    secret: str = ""
    """Of a webhook; empty makes one, or keeps the stored one."""


@sensitive_variables()
@transaction.atomic
def add_target(type: str, wish: Wish, *, user: User | None) -> tuple[NotifyTarget, str]:
    """A new target and the secret that signs its webhooks, which is shown this once.

    Raises Refused NOTIFY_INVALID or NOTIFY_EXISTS.
    """
    require_role(user, User.Role.ADMIN)
    if type not in Type.values:
        raise _invalid("Choose a message or a webhook.")
    if not wish.url:
        raise _invalid("Enter the address that messages go to.")
    secret = (wish.secret or secrets.token_urlsafe(32)) if type == Type.WEBHOOK else ""
    target = NotifyTarget(type=type, secret=encrypted(secret) if secret else "")
    _fill(target, wish)
    _save(target)
    note("notify.add", target, user=user, after={"type": type, **columns(target, *TOLD)})
    announce(TOPIC, "notify.changed", pk=target.pk)
    return target, "" if wish.secret else secret


@sensitive_variables()
@transaction.atomic
def change_target(target: NotifyTarget, wish: Wish, *, user: User | None) -> NotifyTarget:
    """Another name, address, choice or quiet time. Raises Refused as `add_target`."""
    require_role(user, User.Role.ADMIN)
    before = columns(target, *TOLD)
    _fill(target, wish)
    if wish.secret and target.type == Type.WEBHOOK:
        target.secret = encrypted(wish.secret)
    _save(target)
    after = {**columns(target, *TOLD), "address": "changed" if wish.url else "kept"}
    note("notify.change", target, user=user, before={**before, "address": "kept"}, after=after)
    announce(TOPIC, "notify.changed", pk=target.pk)
    return target


@transaction.atomic
def delete_target(target: NotifyTarget, *, user: User | None) -> None:
    """Forget it, and what was on its way to it."""
    require_role(user, User.Role.ADMIN)
    note("notify.delete", target, user=user)
    pk = target.pk
    target.delete()
    announce(TOPIC, "notify.changed", pk=pk)


@transaction.atomic
def test_target(target: NotifyTarget, *, user: User | None) -> Delivery:
    """Send a test now, quiet time or not; how it went shows up on every open page.

    Raises Refused NOTIFY_OFF.
    """
    require_role(user, User.Role.ADMIN)
    if not target.is_enabled:
        raise Refused("NOTIFY_OFF", f"{target} is switched off. Switch it on, then test it.")
    text = f"{user or 'abm'} pressed Test. Messages for {target} arrive here."
    sent = Delivery.objects.create(target=target, kind=Kind.TEST, title="This is a test", text=text)
    note("notify.test", target, user=user)
    ring_task(TASK)
    return sent


def _fill(target: NotifyTarget, wish: Wish) -> None:
    name = wish.name.strip()
    if not is_name(name):
        raise _invalid("A name has 1 to 100 characters.")
    target.name = name
    if wish.url:
        target.url = encrypted(_checked_url(target.type, wish.url.strip()))
    chosen = [kind.value for kind in CHOSEN if kind.value in wish.kinds]
    if not chosen:
        raise _invalid("Choose at least one thing to be told of.")
    target.kinds = chosen
    target.is_enabled = wish.is_enabled
    target.quiet_from, target.quiet_until = _time(wish.quiet_from), _time(wish.quiet_until)
    if (target.quiet_from is None) != (target.quiet_until is None):
        raise _invalid("A quiet time has a beginning and an end; fill in both or neither.")


def _checked_url(type: str, url: str) -> str:
    if len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        raise _invalid(f"An address has at most {LONGEST_URL:,} characters and no spaces.")
    if type == Type.APPRISE:
        if readable(url) is None:
            raise _invalid(
                "This is no address that Apprise knows. One looks like ntfy://ntfy.sh/my-topic or "
                "mailto://user:password@mail.example; its documentation lists them all."
            )
        return url
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise _invalid("A webhook's address begins with https:// or http:// and a host.")
    return url


def _time(text: str) -> time | None:
    if not text:
        return None
    try:
        return time.fromisoformat(text).replace(second=0, microsecond=0, tzinfo=None)
    except ValueError as error:
        raise _invalid(f"“{text[:20]}” is no time of day such as 22:00.") from error


def _save(target: NotifyTarget) -> None:
    try:
        with transaction.atomic():
            target.save()
    except IntegrityError as error:
        raise Refused("NOTIFY_EXISTS", f"There is a target named {target.name} already.") from error


def _invalid(message: str) -> Refused:
    return Refused("NOTIFY_INVALID", message, status=400)
