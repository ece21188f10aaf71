"""What every request meets: a host name that abm knows, a login, a kind no."""

from __future__ import annotations

import errno
import logging
import re
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render, resolve_url
from django.utils.deprecation import MiddlewareMixin

from accounts.asking import is_htmx
from accounts.refused import Refused
from accounts.rest import is_api, problem
from jobs import database

log = logging.getLogger(__name__)

BUG = Refused("INTERNAL_ERROR", "abm failed; its log says more. Try again.", status=500)
PORT_AT_END = re.compile(r":\d*$")


class NamedHostMiddleware(MiddlewareMixin):
    """A Host header that abm does not answer to is refused with the variable that allows it."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        try:
            request.get_host()
        except DisallowedHost:
            name = PORT_AT_END.sub("", request.META.get("HTTP_HOST", "")[:200]) or "that name"
            text = (
                f"abm does not answer to “{name}”. Start it with ALLOWED_HOSTS={name} "
                "(names with commas between them), or with PUBLIC_URL set to its address."
            )
            if is_api(request):
                unknown = Refused("HOST_NAME_UNKNOWN", text, status=400, name=name)
                return JsonResponse(problem(unknown), status=400)
            plain = "text/plain; charset=utf-8"
            return HttpResponse(f"{text}\n", status=400, content_type=plain)
        return None


class SignedInMiddleware(LoginRequiredMiddleware):
    """Every view needs a login unless it says otherwise; htmx is sent to the login as a page."""

    def handle_no_permission(self, request: HttpRequest, view_func: object) -> HttpResponseBase:  # type: ignore[override]
        answer = super().handle_no_permission(request, view_func)  # type: ignore[arg-type]
        if not is_htmx(request):
            return answer
        refused = HttpResponse(status=401)
        current = urlsplit(request.headers.get("HX-Current-URL", ""))
        page = urlunsplit(("", "", current.path or "/", current.query, ""))
        refused["HX-Redirect"] = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': page})}"
        return refused


class RefusedMiddleware(MiddlewareMixin):
    """Turns Refused into the answer that fits who asked: a part, a page, or JSON.

    A program gets a code for a bug as well, and not a word of it; the log has the traceback.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refused):
            return answer_of(request, exception)
        if not is_api(request) or isinstance(exception, Http404):
            return None
        log.error("%s %s failed", request.method, request.path, exc_info=exception)
        return answer_of(request, BUG)


class FullDiskMiddleware(MiddlewareMixin):
    """A full disk is nobody's mistake: it gets a sentence with the way out, and 507."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        place = _full_place(exception)
        if not place:
            return None
        log.error("%s is full: %s", place, exception)
        # Programs are told no path of the inside; the log and the pages have it.
        told = "The disk of abm's data" if is_api(request) else place
        refused = Refused(
            "DISK_FULL",
            f"{told} is full, so this was not saved. Free some space there, then try again.",
            status=507,
        )
        return answer_of(request, refused)


def _full_place(error: Exception) -> str:
    """Which disk is full; nothing if the error is another."""
    if isinstance(error, OSError):
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    else:
        is_full = database.is_full(error)
    if not is_full:
        return ""
    if isinstance(error, DatabaseError) and connection.vendor == "postgresql":
        return "The disk of PostgreSQL"
    return f"The disk that holds {settings.DATA_DIR}"


def answer_of(request: HttpRequest, refused: Refused) -> HttpResponse:
    """A refusal as htmx, a browser or a program wants it, with its status."""
    if is_api(request):
        return JsonResponse(problem(refused), status=refused.status)
    context = {"kind": "error", "text": refused.message, "code": refused.code}
    if is_htmx(request):
        answer = render(request, "parts/_message.html", context, status=refused.status)
        answer["HX-Retarget"] = "#messages"
        answer["HX-Reswap"] = "innerHTML"
        return answer
    messages.get_messages(request)
    return render(
        request, "refused.html", {**context, "status": refused.status}, status=refused.status
    )
