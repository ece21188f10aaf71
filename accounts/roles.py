"""The one place that asks whether a person may do a thing; services call it first."""

from accounts.models import User
from accounts.refused import Refused

ORDER = [User.Role.VIEWER, User.Role.OPERATOR, User.Role.ADMIN]


def has_role(user: User, role: User.Role) -> bool:
    """Whether `user` holds `role` or one that includes it."""
    return user.is_active and ORDER.index(User.Role(user.role)) >= ORDER.index(role)


def require_role(user: User | None, role: User.Role) -> None:
    """Refuse with 403 unless `user` holds `role`; None is abm itself, which may do everything."""
    if user is None or has_role(user, role):
        return
    raise Refused(
        "ROLE_REQUIRED",
        f"{user.username} is {User.Role(user.role).label.lower()} here; "
        f"this needs the role {role.label.lower()}. Ask an admin.",
        status=403,
        role=role.value,
    )
