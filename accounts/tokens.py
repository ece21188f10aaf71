"""Keys for programs: made once, shown once, kept as a hash, ended by their owner or an admin."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.audit import note
from accounts.models import ApiToken, User
from accounts.plain import is_name
from accounts.refused import Refused
from accounts.roles import ORDER, has_role, lower, require_role
from accounts.services import checked_role

MARK = "abm_"
SHOWN = 10
MOST_EACH = 100
MOST_DAYS = 3_650
USED_EVERY = timedelta(minutes=1)


def create_token(
    owner: User, *, name: str, role: str, days: int | None = None, user: User | None
) -> tuple[ApiToken, str]:
    """A new token and its key, which nobody can read again; for oneself, or by an admin.

    `days` is how long it is good for; None for ever. Raises Refused ROLE_REQUIRED, ROLE_UNKNOWN,
    TOKEN_ROLE_TOO_HIGH, TOKEN_INVALID or TOKEN_EXISTS.
    """
    _require_own(owner, user)
    wanted = checked_role(role)
    # Who asks may be a token itself, with less than its person has.
    most = min(_rank(owner), _rank(user or owner))
    if ORDER.index(wanted) > most:
        raise Refused(
            "TOKEN_ROLE_TOO_HIGH",
            f"This token can be {ORDER[most].label.lower()} at most.",
            status=400,
            role=wanted.value,
        )
    name = _checked_name(name)
    _check_days(owner, days)
    key = MARK + secrets.token_urlsafe(32)
    token = ApiToken(
        user=owner,
        name=name,
        prefix=key[:SHOWN],
        sha256=hash_of(key),
        role=wanted,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    try:
        with transaction.atomic():
            token.save()
    except IntegrityError as error:
        raise Refused(
            "TOKEN_EXISTS", f"{owner.username} has a token named {name} already.", name=name
        ) from error
    note("token.add", owner, user=user, pk=token.pk, after={"name": name, "role": token.role})
    return token, key


def revoke_token(token: ApiToken, *, user: User | None) -> None:
    """End a token; the next request with it is refused."""
    _require_own(token.user, user)
    note("token.revoke", token.user, user=user, pk=token.pk, after={"name": token.name})
    token.delete()


def user_of_key(key: str) -> tuple[User, int] | None:
    """The person that a key acts as, with the token's role if that is lower, and the token's pk.

    None for a key that is unknown, has expired, or belongs to somebody who is switched off.
    """
    token = ApiToken.objects.select_related("user").filter(sha256=hash_of(key)).first()
    if token is None or token.is_expired or not token.user.is_active:
        return None
    _note_use(token)
    person = token.user
    person.role = lower(person.role, token.role)
    return person, token.pk


def _note_use(token: ApiToken) -> None:
    """At most once a minute: a busy program would make it the busiest row."""
    now = timezone.now()
    if token.last_used_at is None or _is_old(token.last_used_at, now):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


def _is_old(used: datetime, now: datetime) -> bool:
    return now - used >= USED_EVERY


def _checked_name(name: str) -> str:
    name = name.strip()
    if not is_name(name):
        raise Refused("TOKEN_INVALID", "A token's name has 1 to 100 characters.", status=400)
    return name


def _check_days(owner: User, days: int | None) -> None:
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise Refused("TOKEN_INVALID", f"A token is good for 1 to {MOST_DAYS:,} days.", status=400)
    if ApiToken.objects.filter(user=owner).count() >= MOST_EACH:
        raise Refused(
            "TOKEN_INVALID", f"{owner.username} has {MOST_EACH} tokens. Revoke one first."
        )


def _rank(user: User) -> int:
    return ORDER.index(User.Role(user.role))


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _require_own(owner: User, user: User | None) -> None:
    """Everybody minds their own tokens, an admin everybody's."""
    if user is not None and user.pk == owner.pk and has_role(user, User.Role.VIEWER):
        return
    require_role(user, User.Role.ADMIN)
