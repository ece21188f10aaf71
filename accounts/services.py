"""What may be done with people."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.throttle import PAUSE_SECONDS, may_prove, note_unproved


def checked_name(name: str) -> str:
    """A name to sign in with. Raises Refused NAME_INVALID with the reason."""
    name = name.strip()
    try:
        User.username_validator(name)
    except ValidationError as error:
        raise Refused(
            "NAME_INVALID",
            "A name has letters, digits and @ . + - _ only, and at least one of them.",
            status=400,
        ) from error
    if not name or len(name) > 150:
        raise Refused("NAME_INVALID", "A name has 1 to 150 characters.", status=400)
    return name


def checked_password(password: str, user: User) -> str:
    """A password worth having. Raises Refused PASSWORD_WEAK with what is wrong with it."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Refused("PASSWORD_WEAK", " ".join(error.messages), status=400) from error
    return password


def checked_role(role: str) -> User.Role:
    if role not in User.Role.values:
        raise Refused("ROLE_UNKNOWN", f"There is no role “{role[:30]}”.", status=400)
    return User.Role(role)


def add_user(*, name: str, password: str, role: str, user: User | None) -> User:
    """Make a person. Raises Refused NAME_TAKEN, NAME_INVALID, PASSWORD_WEAK or ROLE_UNKNOWN."""
    require_role(user, User.Role.ADMIN)
    made = save_new(User(username=checked_name(name), role=checked_role(role)), password)
    note("user.add", made, user=user, after={"role": made.role})
    return made


def save_new(made: User, password: str) -> User:
    """Save a new person. Raises Refused NAME_TAKEN or PASSWORD_WEAK."""
    made.set_password(checked_password(password, made))
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError as error:
        raise Refused("NAME_TAKEN", f"There is a person named {made.username} already.") from error
    return made


@transaction.atomic
def set_role(person: User, *, role: str, user: User | None) -> User:
    """Give a person another role; the last admin keeps theirs."""
    require_role(user, User.Role.ADMIN)
    wanted = checked_role(role)
    if wanted != User.Role.ADMIN:
        _require_another_admin(person)
    before = {"role": person.role}
    person.role = wanted
    person.save(update_fields=["role"])
    note("user.role", person, user=user, before=before, after={"role": person.role})
    return person


@transaction.atomic
def set_active(person: User, *, is_active: bool, user: User | None) -> User:
    """Let a person sign in, or not any more; their sessions end with the next request."""
    require_role(user, User.Role.ADMIN)
    if not is_active:
        _require_another_admin(person)
    person.is_active = is_active
    person.save(update_fields=["is_active"])
    note("user.switch_on" if is_active else "user.switch_off", person, user=user)
    return person


@transaction.atomic
def remove_user(person: User, *, user: User | None) -> None:
    """Delete a person with their tokens and trials; jobs and the audit keep what they did.

    Raises Refused LAST_ADMIN.
    """
    require_role(user, User.Role.ADMIN)
    _require_another_admin(person)
    note("user.remove", person, user=user, before={"role": person.role})
    person.delete()


def set_password(person: User, *, password: str, user: User | None, old: str = "") -> User:
    """Give a person a new password, which ends their sessions; one's own wants the `old` one.

    Raises Refused PASSWORD_WEAK, PASSWORD_WRONG or PASSWORD_PAUSE.
    """
    if user is not None and user.pk == person.pk:
        _require_password(person, old)
    else:
        require_role(user, User.Role.ADMIN)
    person.set_password(checked_password(password, person))
    person.save(update_fields=["password"])
    note("user.password", person, user=user)
    return person


def _require_password(person: User, said: str) -> None:
    """Who finds an open page shall not keep its owner out."""
    if not person.has_usable_password():
        return
    if not may_prove(person.username):
        raise Refused(
            "PASSWORD_PAUSE",
            "The present password was wrong too often. Wait five minutes, then try again.",
            status=429,
            seconds=PAUSE_SECONDS,
        )
    if not person.check_password(said):
        note_unproved(person.username)
        note("user.password_wrong", person, user=person)
        raise Refused("PASSWORD_WRONG", "That is not your present password.", status=400)


def _require_another_admin(person: User) -> None:
    admins = User.objects.select_for_update().filter(role=User.Role.ADMIN, is_active=True)
    if person.is_admin and not admins.exclude(pk=person.pk).exists():
        raise Refused(
            "LAST_ADMIN",
            f"{person.username} is the only admin. Make somebody else admin first.",
        )
