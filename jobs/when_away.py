"""What a job does while its host is away: wait until it is back, or fail, as who asked chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from accounts.refused import Refused

WAIT, FAIL = "wait", "fail"
KEY = "when_away"
"""In `Job.params`; absent where nobody chose, and the host's own way holds."""
View = Callable[..., HttpResponseBase]

_choice: ContextVar[str] = ContextVar("abm_when_away", default="")


@contextmanager
def choosing(choice: str) -> Iterator[None]:
    """Jobs that are asked for in this block do so; an empty choice changes nothing.

    Raises Refused WHEN_AWAY_INVALID.
    """
    if choice not in {"", WAIT, FAIL}:
        raise Refused(
            "WHEN_AWAY_INVALID",
            f"“{choice[:20]}” is nothing that a job can do while its host is away. "
            "Choose wait or fail.",
            status=400,
        )
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def chosen() -> dict[str, str]:
    """What a new job keeps of the choice."""
    return {KEY: _choice.get()} if _choice.get() else {}


def reads_when_away(view: View) -> View:
    """A page's verb whose form may bear the choice."""

    @wraps(view)
    def reading(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with choosing(request.POST.get(KEY, "")):
            return view(request, *args, **kwargs)

    return reading
