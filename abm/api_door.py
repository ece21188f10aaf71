"""The way into the API: who calls, how often, how large; and how an answer leaves.

A program sends a token and is let in everywhere below `/api/`; the contract's own paths without
that prefix are for tokens alone. A page's session counts below `/api/` only, with its CSRF token
where something is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import is_valid_path
from django.views.decorators.csrf import csrf_exempt
from ninja.utils import check_csrf

from abm.api_answers import from_memory, keep, leave
from abm.api_rates import note_request
from accounts.models import User
from accounts.refused import Refused
from accounts.rest import person, problem
from accounts.tokens import user_of_key
from jobs.when_away import choosing

READS = {"GET", "HEAD", "OPTIONS"}
MOST_BYTES = 1_000_000
"""Of a body that is no sound; what goes through to an engine may have MAX_UPLOAD_MB."""
BARE_URLS = "abm.api_bare"
View = Callable[..., HttpResponseBase]


def key_of(request: HttpRequest) -> str | None:
    """The token that came with a request, empty where a header has none; None without one."""
    if (key := request.headers.get("X-API-Key")) is not None:
        return str(key).strip()
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def door(view: View, *, is_list: bool = False, is_large: bool = False) -> View:
    """`view` behind the door. `is_list` answers from memory until something changes."""

    def entered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            # In this order: Django's check of the CSRF token would use the body up.
            _check(request, settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_large else MOST_BYTES)
            _enter(request)
            with choosing(request.GET.get("whenAway", "")):
                asked = partial(view, request, *args, **kwargs)
                return _answered(request, asked, is_list=is_list)
        except Refused as refused:
            return refusal(refused)

    return csrf_exempt(login_not_required(entered))


def _answered(
    request: HttpRequest, ask: Callable[[], HttpResponseBase], *, is_list: bool
) -> HttpResponseBase:
    if request.method == "HEAD":
        request.method = "GET"  # the server leaves the body out
    if not is_list or request.method != "GET":
        return _left(request, ask())
    role = person(request).role
    kept, known = from_memory(request, role)
    if kept is not None:
        return kept
    answer = ask()
    if answer.status_code != 200 or not isinstance(answer, HttpResponse):
        return _left(request, answer)
    return keep(request, role, known, answer.content)


def _left(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    if answer.status_code == 405:
        allowed = answer.headers["Allow"]
        answer = JsonResponse({"detail": "Method Not Allowed"}, status=405)
        answer["Allow"] = allowed
    return leave(request, answer)


def refusal(refused: Refused) -> HttpResponse:
    """A refusal as JSON, with the headers that belong to its status."""
    answer = JsonResponse(problem(refused), status=refused.status)
    if refused.status == 401:
        answer["WWW-Authenticate"] = 'Bearer realm="abm"'
    if refused.status == 429:
        answer["Retry-After"] = str(refused.params.get("seconds", 1))
    answer["Cache-Control"] = "no-store"
    return answer


def _enter(request: HttpRequest) -> None:
    """Find out who calls. Raises Refused for a bad token, a missing CSRF token, too many calls."""
    key = key_of(request)
    if key is not None:
        found = user_of_key(key)
        if found is None:
            raise Refused(
                "TOKEN_INVALID",
                "This token is unknown, was revoked or has expired. Make another on your profile.",
                status=401,
            )
        request.caller, token = found  # type: ignore[attr-defined]
        request.token_pk = token  # type: ignore[attr-defined]
        note_request(token, is_write=request.method not in READS)
        return
    if _counts_no_cookie(request) or not isinstance(request.user, User):
        raise Refused(
            "TOKEN_REQUIRED",
            "Send a token: Authorization: Bearer <token>. Your profile page makes one.",
            status=401,
        )
    if request.method not in READS and check_csrf(request, _counts) is not None:
        raise Refused(
            "CSRF_FAILED", "Send the page's CSRF token in X-CSRFToken, or use a token.", status=403
        )
    request.caller = request.user  # type: ignore[attr-defined]


def _counts_no_cookie(request: HttpRequest) -> bool:
    """The contract's paths without `/api`, and pages of the origins that CORS_ORIGINS lets in."""
    origin = request.headers.get("Origin", "")
    is_foreign = origin in settings.CORS_ALLOWED_ORIGINS and not origin.endswith(
        f"://{request.get_host()}"
    )
    return is_foreign or getattr(request, "is_bare_api", False)


def _counts(request: HttpRequest) -> HttpResponse:
    """A view that is not exempt, for Django's own check."""
    return HttpResponse()


def _check(request: HttpRequest, most: int) -> None:
    """Refuse what is too large, and addresses that no database takes."""
    said = request.META.get("CONTENT_LENGTH") or "0"
    if (said.isdecimal() and int(said[:15]) > most) or len(request.body) > most:
        raise Refused(
            "BODY_TOO_LARGE",
            f"The body may have {most:,} bytes.",
            status=413,
            limit=most,
        )
    if "\x00" in request.path_info:
        raise Refused("NOT_FOUND", "No address has such a character.", status=404)


class BareApiMiddleware:
    """Shows a request with a token the way to the contract's paths without `/api`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if not path.startswith("/api/") and key_of(request) and is_valid_path(path, BARE_URLS):
            request.is_bare_api = True  # type: ignore[attr-defined]
            request.urlconf = BARE_URLS
        return self.get_response(request)


@csrf_exempt
@login_not_required
def shutdown(request: HttpRequest) -> HttpResponse:
    """The contract has it; nobody ends abm over the network."""
    return refusal(Refused("SHUTDOWN_FORBIDDEN", "abm is ended where it was started.", status=403))
