"""The system page, what its tests ask for, and the diagnostics bundle. For admins."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from abm.diagnostics import bundle
from abm.system_page import pieces, system_parts
from accounts.asking import user_of
from accounts.models import User
from accounts.roles import require_role


def _require_admin(request: HttpRequest) -> User:
    user = user_of(request)
    require_role(user, User.Role.ADMIN)
    return user


@require_GET
def system(request: HttpRequest) -> HttpResponse:
    user = _require_admin(request)
    context = {"nav": "settings", "viewer": user, "socket_path": "/ws/page/", **system_parts()}
    return render(request, "abm/system.html", context)


@require_GET
def seen(request: HttpRequest) -> HttpResponse:
    """How a request of this browser looks when it arrives here."""
    _require_admin(request)
    told = {
        "scheme": request.scheme,
        "host": request.get_host(),
        "address": request.META.get("REMOTE_ADDR", ""),
        "forwarded_for": request.headers.get("X-Forwarded-For", "")[:200],
    }
    answer = JsonResponse(told)
    answer["Cache-Control"] = "no-store"
    return answer


@require_GET
def stream(request: HttpRequest) -> HttpResponseBase:
    """A few events with pauses. Unlike abm's real streams it does not ask nginx to let it pass."""
    _require_admin(request)
    answer = StreamingHttpResponse(pieces(), content_type="text/event-stream")
    answer["Cache-Control"] = "no-store"
    return answer


@require_GET
def diagnostics(request: HttpRequest) -> HttpResponse:
    _require_admin(request)
    answer = HttpResponse(bundle(), content_type="application/zip")
    name = f"abm-diagnostics-{timezone.now():%Y%m%d-%H%M%S}.zip"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    return answer
