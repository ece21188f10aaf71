"""The first admin: by a link that only who started abm can see, or by the settings."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.services import checked_name, save_new


def _token_file() -> Path:
    return Path(settings.DATA_DIR) / "setup_token"


def needs_setup() -> bool:
    """Whether there is no active admin."""
    return not User.objects.filter(role=User.Role.ADMIN, is_active=True).exists()


def new_setup_token() -> str:
    """A token for the link; only its hash is kept, and only the newest one counts."""
    token = secrets.token_urlsafe(24)
    file = _token_file()
    file.touch(mode=0o600)
    file.write_text(hashlib.sha256(token.encode()).hexdigest())
    return token


def require_setup_token(token: str) -> None:
    """Refuse with 404 unless the link is the newest one and there is no admin."""
    file = _token_file()
    kept = file.read_text().strip() if file.is_file() else ""
    given = hashlib.sha256(token.encode()).hexdigest()
    if not kept or not hmac.compare_digest(kept, given) or not needs_setup():
        raise _used_up()


def _used_up() -> Refused:
    return Refused(
        "SETUP_LINK_INVALID",
        "This set-up link is used up or was replaced. Start abm again to get a new one, "
        "or sign in.",
        status=404,
    )


@transaction.atomic
def make_first_admin(token: str, *, name: str, password: str) -> User:
    """Make the admin that the link is for. Raises Refused for a bad link, name or password."""
    require_setup_token(token)
    user = save_new(User(username=checked_name(name), role=User.Role.ADMIN), password)
    note("user.add", user, user=user, after={"role": user.role, "by": "the set-up link"})
    try:
        _token_file().unlink()
    except FileNotFoundError:  # somebody else used the link in this very moment
        raise _used_up() from None
    return user


def admin_from_settings() -> None:
    """Make the admin of ADMIN_USERNAME if that name is new; an existing person is left alone."""
    name, password = settings.ADMIN_USERNAME, settings.ADMIN_PASSWORD
    if not name or not password or User.objects.filter(username=name).exists():
        return
    user = User(username=name, role=User.Role.ADMIN)
    user.set_password(password)
    user.save()
    note("user.add", user, user=None, after={"role": user.role, "by": "the settings"})
