"""Logins to image registries: stored encrypted, tested when saved, never shown again."""

from __future__ import annotations

import logging
import re

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.secrets import SecretUnreadable, decrypted, encrypted
from hosts.models import RegistryLogin
from hosts.oci.auth import Credentials
from hosts.oci.reference import DOCKER_HUB, BadReference, ImageReference
from jobs.events import announce
from jobs.services import ring_task

log = logging.getLogger(__name__)

TOPIC = "registries"
LONGEST_USERNAME, LONGEST_PASSWORD = 255, 8_192
"""A token of a cloud's registry has some thousand characters."""
HUB_NAMES = {"hub.docker.com", "index.docker.io", "registry-1.docker.io", "registry.docker.io"}
_ADDRESS = re.compile(r"^https?://|/v[12]/?$|/+$", re.IGNORECASE)


def registry_name(text: str) -> str:
    """What a person typed as image names have it: no scheme, no path, Docker Hub is `docker.io`.

    Raises Refused REGISTRY_INVALID.
    """
    name = text.strip().lower()
    while (shorter := _ADDRESS.sub("", name)) != name:
        name = shorter
    if not name:
        raise Refused("REGISTRY_INVALID", "Name the registry, such as ghcr.io.", status=400)
    name = DOCKER_HUB if name in HUB_NAMES else name
    try:
        is_registry = ImageReference.parse(f"{name}/x:1").registry == name
    except BadReference:
        is_registry = False
    if not is_registry:
        raise Refused(
            "REGISTRY_INVALID",
            f"“{text.strip()[:100]}” is not the address of a registry. One looks like ghcr.io, "
            "registry.example:5000 or docker.io.",
            status=400,
        )
    return name


@sensitive_variables("password")
@transaction.atomic
def add_login(registry: str, *, username: str, password: str, user: User | None) -> RegistryLogin:
    """Store a login and have it tested.

    Raises Refused REGISTRY_INVALID, LOGIN_INVALID, LOGIN_EXISTS.
    """
    require_role(user, User.Role.ADMIN)
    name = registry_name(registry)
    _check(username, password)
    if not password:
        raise Refused("LOGIN_INVALID", f"Enter the password or token for {name}.", status=400)
    login, is_new = RegistryLogin.objects.get_or_create(
        registry=name, defaults={"username": username, "password": encrypted(password)}
    )
    if not is_new:
        raise Refused(
            "LOGIN_EXISTS", f"There is a login to {name} already ({login.username}). Change it."
        )
    _saved(login, f"A login to {name} was stored")
    note("registry.add", login, user=user, after={"username": username})
    return login


@sensitive_variables("password")
@transaction.atomic
def change_login(pk: int, *, username: str, password: str, user: User | None) -> RegistryLogin:
    """Store another user name or password and have them tested; an empty password keeps the old.

    Its registry stays: a kept password is never shown to another one. Raises Refused.
    """
    login = _of_admin(pk, user)
    _check(username, password)
    if not password and username != login.username:
        raise Refused(
            "LOGIN_INVALID",
            f"Enter the password of {username} too: the stored one is that of {login.username}.",
            status=400,
        )
    before = {"username": login.username}
    login.username = username
    if password:
        login.password = encrypted(password)
    _saved(login, f"The login to {login.registry} was changed")
    note("registry.change", login, user=user, before=before, after={"username": username})
    return login


@transaction.atomic
def test_login(pk: int, *, user: User | None) -> RegistryLogin:
    """Show it to its registry once more; the answer shows up on every open page."""
    login = _of_admin(pk, user)
    _saved(login, "")
    return login


@transaction.atomic
def delete_login(pk: int, *, user: User | None) -> None:
    """Forget it; images of this registry are asked for without a login from now on."""
    login = _of_admin(pk, user)
    note("registry.delete", login, user=user)
    login.delete()
    announce(TOPIC, "registry.changed", text=f"The login to {login.registry} was deleted", pk=pk)


def login_for(reference: ImageReference) -> Credentials | None:
    """The stored login to the registry of an image, if there is one."""
    return credentials_of(reference.registry)


def credentials_of(registry: str) -> Credentials | None:
    """The stored login to a registry by its name; None too where it cannot be read any more."""
    login = RegistryLogin.objects.filter(registry=registry).first()
    if login is None:
        return None
    try:
        return Credentials(login.username, decrypted(login.password))
    except SecretUnreadable as error:
        log.warning("the login to %s is not used. %s", registry, error)
        return None


def _of_admin(pk: int, user: User | None) -> RegistryLogin:
    require_role(user, User.Role.ADMIN)
    login = RegistryLogin.objects.select_for_update().filter(pk=pk).first()
    if login is None:
        raise Refused("LOGIN_GONE", "This login was deleted meanwhile.", status=404)
    return login


@sensitive_variables("password")
def _check(username: str, password: str) -> None:
    """Refuse what no registry can accept, so that nothing strange is sent to one."""
    if not username or len(username) > LONGEST_USERNAME or ":" in username:
        why = "A user name has 1 to 255 characters and no colon."
    elif not username.isprintable() or not password.isprintable():
        why = "User name and password have letters, digits and signs, no line breaks."
    elif len(password) > LONGEST_PASSWORD:
        why = f"A password or token has at most {LONGEST_PASSWORD} characters."
    else:
        return
    raise Refused("LOGIN_INVALID", why, status=400)


def _saved(login: RegistryLogin, text: str) -> None:
    """Write it as one that nobody looked at yet, and have it tested."""
    login.checked_at, login.error, login.is_unproved = None, "", False
    login.save()
    announce(TOPIC, "registry.changed", text=text, pk=login.pk)
    ring_task("hosts.check_login", login.pk)
