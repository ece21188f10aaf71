"""The one place that asks whether a person may do a thing; services call it first."""

from accounts.models import User
from accounts.refused import Refused

ORDER = [User.Role.VIEWER, User.Role.OPERATOR, User.Role.ADMIN]


def lower(one: str, other: str) -> User.Role:
    """The role of the two that may do less."""
    return min(User.Role(one), User.Role(other), key=ORDER.index)


def has_role(user: User, role: User.Role) -> bool:
    """Whether `user` holds `role` or one that includes it."""
    return user.is_active and ORDER.index(User.Role(user.role)) >= ORDER.index(role)


def require_role(user: User | None, role: User.Role, *, host: int | None = None) -> None:
    """Refuse with 403 unless `user` holds `role`, on the host of this primary key if one is named.

    None is abm itself, which may do everything.
    """
    if user is None or has_role(user, role):
        require_host(user, host)
        return
    raise Refused(
        "ROLE_REQUIRED",
        f"{user.username} is {User.Role(user.role).label.lower()} here; "
        f"this needs the role {role.label.lower()}. Ask an admin.",
        status=403,
        role=role.value,
    )


def require_host(user: User | None, host: int | None) -> None:
    """Refuse with 403 where a limited operator was not granted the host of this primary key."""
    if user is None or host is None or not user.is_limited or user.is_admin:
        return
    if host not in user.granted_hosts:
        raise Refused(
            "HOST_NOT_GRANTED",
            f"{user.username} may not change anything on this host. Ask an admin for it.",
            status=403,
        )
