"""Each request gets an id, which stands in its log lines and its answer, and is timed."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bound_contextvars

from jobs.exposition import Histogram

GIVEN = re.compile(r"[\w.-]{8,64}")
"""An id of the proxy's that is taken over; others could forge lines of the log."""
REQUESTS = Histogram()


class TraceMiddleware:
    """The outermost of all: what is inside logs with its id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if GIVEN.fullmatch(given) else secrets.token_hex(8)
        began = time.monotonic()
        with bound_contextvars(request=request_id):
            answer = self._get_response(request)
        answer.headers["X-Request-ID"] = request_id
        status = f"{answer.status_code // 100}xx"
        REQUESTS.observe(time.monotonic() - began, method=request.method or "", status=status)
        return answer
