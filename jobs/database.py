"""A database server that is away for a while: jobs wait for it instead of failing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import connection
from django.db.utils import InterfaceError, OperationalError

log = logging.getLogger(__name__)

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
