"""A database that is away, or has no room, for a while: jobs wait for it instead of failing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from django.db import connection
from django.db.utils import DatabaseError, InterfaceError, OperationalError

log = logging.getLogger(__name__)

T = TypeVar("T")
AWAY_SECONDS = 300.0
"""How long a job waits for the database before it gives up."""
LOOK_SECONDS = 0.5
_is_patient: ContextVar[bool] = ContextVar("abm_patient", default=False)


@contextmanager
def patient() -> Iterator[None]:
    """In this block `reach` waits: for the work of jobs, behind which nobody stands waiting."""
    token = _is_patient.set(True)
    try:
        yield
    finally:
        _is_patient.reset(token)


def is_away(error: BaseException) -> bool:
    """Whether it says that the server cannot be reached, and not that it refused a statement.

    SQLSTATE 08 is a connection's failure, 57P the server's end; without one nobody answered
    (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    """
    if connection.vendor != "postgresql" or not isinstance(
        error, OperationalError | InterfaceError
    ):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(("08", "57P"))


def is_full(error: BaseException) -> bool:
    """Whether it says that the disk of the database is full."""
    text = str(error)
    return isinstance(error, DatabaseError) and (
        "disk is full" in text or "No space left on device" in text
    )


def passes(error: BaseException) -> bool:
    """Whether the same may well succeed later."""
    return is_away(error) or is_full(error)


def insist(write: Callable[[], T]) -> T:
    """Do it, and again while the database is away or full; so it must do no harm when done twice.

    Only once outside `patient`, or in a transaction. Raises what is wrong after AWAY_SECONDS.
    """
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            is_over = time.monotonic() > until or not _is_patient.get()
            if is_over or connection.in_atomic_block or not passes(error):
                raise
            log.warning("the database does not take it yet: %s", str(error).strip())
        connection.close()  # one that was cut is of no use, and another one costs little
        time.sleep(LOOK_SECONDS)


def reach() -> None:
    """Return when the database answers: a connection that was cut is made anew.

    Does nothing outside `patient`, or in a transaction. Raises OperationalError after AWAY_SECONDS.
    """
    if not _is_patient.get() or connection.vendor != "postgresql" or connection.in_atomic_block:
        return
    until = time.monotonic() + AWAY_SECONDS
    while not _answers():
        if time.monotonic() > until:
            connection.ensure_connection()  # raises what is wrong
        time.sleep(LOOK_SECONDS)


def _answers() -> bool:
    """Ask by the connection there is; one that does not answer is closed and made anew."""
    if connection.connection is not None and connection.is_usable():
        return True
    connection.close()
    try:
        connection.ensure_connection()
    except OperationalError as error:
        log.warning("the database does not answer: %s", str(error).strip())
        return False
    return True
