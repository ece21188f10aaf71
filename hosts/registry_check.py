"""Testing the stored login of a registry: in a worker, because a registry may take its time."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from accounts.secrets import SecretUnreadable, decrypted
from hosts.models import RegistryLogin
from hosts.oci.errors import RegistryError
from hosts.oci.registry import check_login
from hosts.registry_logins import TOPIC
from jobs.events import announce


def check_stored(pk: int) -> None:
    """Show a login to its registry and write down what it said; quiet if it is gone."""
    login = RegistryLogin.objects.filter(pk=pk).first()
    if login is None:
        return
    is_unproved, reason = False, ""
    try:
        is_unproved = not check_login(login.registry, login.username, decrypted(login.password))
    except (RegistryError, SecretUnreadable) as error:
        reason = error.message if isinstance(error, RegistryError) else str(error)
    _write(login, is_unproved=is_unproved, reason=reason)


@transaction.atomic
def _write(login: RegistryLogin, *, is_unproved: bool, reason: str) -> None:
    # Another login may have been saved meanwhile: its own test tells of that one.
    tested = RegistryLogin.objects.filter(
        pk=login.pk, username=login.username, password=login.password
    )
    if not tested.update(checked_at=timezone.now(), error=reason, is_unproved=is_unproved):
        return
    text = f"The login to {login.registry} did not pass its test: {reason}" if reason else ""
    announce(TOPIC, "registry.changed", text=text, pk=login.pk)
