"""What somebody who comes from the provider of OpenID Connect may be here.

Claims are those of OpenID Connect Core 1.0; groups stand in a claim that the settings name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.services import set_role

log = logging.getLogger(__name__)

PROVIDER = "oidc"
UNFIT = re.compile(r"[^\w.@+-]")


def admit(request: HttpRequest, sociallogin: Any) -> None:
    """Find or make the person, and give them the role that their groups say.

    Raises Refused OIDC_REFUSED or OIDC_NAME_TAKEN.
    """
    claims = claims_of(sociallogin.account.extra_data)
    if sociallogin.state.get("process") == "connect":
        return
    role = role_of(claims)
    if sociallogin.is_existing:
        _follow(sociallogin.user, role)
        return
    if role is None:
        raise _refused()
    person = _person(claims, role)
    sociallogin.connect(request, person)


def claims_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the id token says, and over it what the provider says of the user."""
    token, info = data.get("id_token") or {}, data.get("userinfo") or {}
    return {**token, **info} or dict(data)


def without_nul(value: Any) -> Any:
    """JSON without the character that PostgreSQL keeps nowhere."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, Mapping):
        return {without_nul(key): without_nul(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nul(inner) for inner in value]
    return value


def role_of(claims: Mapping[str, Any]) -> User.Role | None:
    """The highest role of somebody's groups; that of the others if none counts; None is a no."""
    found = _claim(claims, settings.OIDC_GROUPS_CLAIM)
    listed = [found] if isinstance(found, str) else found
    groups = {str(one) for one in listed} if isinstance(listed, list) else set()
    for role, names in (
        (User.Role.ADMIN, settings.OIDC_ADMIN_GROUPS),
        (User.Role.OPERATOR, settings.OIDC_OPERATOR_GROUPS),
        (User.Role.VIEWER, settings.OIDC_VIEWER_GROUPS),
    ):
        # Some providers write a group with the path that leads to it.
        if groups & {*names, *(f"/{name}" for name in names)}:
            return role
    return None if settings.OIDC_OTHERS == "refuse" else User.Role(settings.OIDC_OTHERS)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim, or one inside others by the names that lead to it: `realm_access.roles`."""
    found: Any = claims
    for word in [name] if name in claims else name.split("."):
        found = found.get(word) if isinstance(found, Mapping) else None
    return found


def has_groups() -> bool:
    """Whether roles follow groups; else an admin gives them."""
    return bool(
        settings.OIDC_ADMIN_GROUPS or settings.OIDC_OPERATOR_GROUPS or settings.OIDC_VIEWER_GROUPS
    )


def _follow(person: User, role: User.Role | None) -> None:
    """One who came before gets the role of today's groups, or is sent away."""
    if not has_groups():
        return
    if role is None:
        raise _refused()
    if person.role == role:
        return
    try:
        set_role(person, role=role, user=None)
    except Refused as refused:  # the last admin keeps their role, whatever the groups say
        log.warning("%s keeps the role %s: %s", person, person.role, refused.message)


@transaction.atomic
def _person(claims: Mapping[str, Any], role: User.Role) -> User:
    """A new person, or where nobody has a password the one of that name."""
    name = UNFIT.sub("-", str(claims.get(settings.OIDC_NAME_CLAIM) or claims.get("sub") or ""))
    name = name.strip("-")[:150]
    if not name:
        raise Refused("OIDC_REFUSED", f"{settings.OIDC_NAME} gave no name for you.", status=403)
    person = User.objects.filter(username=name).first()
    if person is not None:
        is_free = not SocialAccount.objects.filter(user=person).exists()
        if settings.PASSWORD_SIGN_IN or not is_free or not person.is_active:
            raise Refused(
                "OIDC_NAME_TAKEN",
                f"There is somebody named {name} here already. If that is you, sign in as you did "
                f"before and connect {settings.OIDC_NAME} on your profile.",
                status=403,
            )
        _follow(person, role)
        return person
    person = User(username=name, role=role, email=str(claims.get("email") or "")[:254])
    person.set_unusable_password()
    person.save()
    note("user.add", person, user=None, after={"role": role, "by": settings.OIDC_NAME})
    return person


def failed() -> Refused:
    """The provider gave no usable answer."""
    return Refused(
        "OIDC_FAILED",
        f"{settings.OIDC_NAME} did not say who you are. Try again; if it stays so, an admin finds "
        "the reason in abm's log.",
        status=502,
    )


def _refused() -> Refused:
    return Refused(
        "OIDC_REFUSED",
        f"{settings.OIDC_NAME} knows you, but you have no role in abm. Ask an admin.",
        status=403,
    )
