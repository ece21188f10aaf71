"""A lease: of several processes one works, the others wait for its end.

Taking, keeping and losing it is one compare-and-set on a row, and only the database's clock counts:
the clocks of two machines may differ by more than a lease lasts.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from jobs.models import Lease

LONG_AGO = timedelta(days=1)


def hold(name: str, holder: str, *, seconds: float) -> bool:
    """Take or keep the lease for so long from now; False while another process has it.

    Raises DatabaseError: then nobody knows, and what was held is held until it expires.
    """
    if _held(name, holder, seconds):
        return True
    # After the clock was put back it would last as much longer.
    longest = Now() + timedelta(seconds=seconds)
    Lease.objects.filter(name=name, expires_at__gt=longest).update(expires_at=longest)
    Lease.objects.get_or_create(name=name, defaults={"holder": "", "expires_at": Now() - LONG_AGO})
    return _held(name, holder, seconds)


def give_up(name: str, holder: str) -> None:
    """Let the next one begin at once; does nothing for a lease that another has."""
    Lease.objects.filter(name=name, holder=holder).update(holder="", expires_at=Now() - LONG_AGO)


def looked_lately(name: str, *, seconds: float) -> bool:
    """Whether any process called this within so long; that this one did now is noted."""
    was = Lease.objects.filter(name=name, expires_at__gt=Now()).exists()
    hold(name, "", seconds=seconds)
    return was


def _held(name: str, holder: str, seconds: float) -> bool:
    ours_or_free = Q(holder=holder) | Q(expires_at__lt=Now())
    row = Lease.objects.filter(ours_or_free, name=name)
    return bool(row.update(holder=holder, expires_at=Now() + timedelta(seconds=seconds)))
