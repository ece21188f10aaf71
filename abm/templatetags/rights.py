"""What a page offers, asked as services ask it."""

from __future__ import annotations

from django import template

from accounts.models import User

register = template.Library()


@register.filter
def operates_on(viewer: User, host_pk: int | None) -> bool:
    """Whether they may change what is on the host of this primary key."""
    return viewer.can_operate_on(host_pk)
