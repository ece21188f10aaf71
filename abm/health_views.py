"""What machines ask of abm: whether it is ready, and its figures."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from abm.metrics import families
from abm.readiness import OK, readiness
from jobs.exposition import CONTENT_TYPE, text_of


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when all parts work, else 503 with the one that does not."""
    checks = readiness()
    is_ready = set(checks.values()) == {OK}
    status = "ready" if is_ready else "not ready"
    answer = JsonResponse({"status": status, "checks": checks}, status=200 if is_ready else 503)
    answer["Cache-Control"] = "no-store"
    return answer


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For people who are signed in, and for who knows METRICS_TOKEN."""
    if not request.user.is_authenticated and not _knows_token(request):
        words = "Send METRICS_TOKEN as `Authorization: Bearer ...`, or sign in."
        if not settings.METRICS_TOKEN:
            words = "Set METRICS_TOKEN to let Prometheus in, or sign in."
        refused = HttpResponse(f"{words}\n", status=401, content_type="text/plain")
        refused["WWW-Authenticate"] = 'Bearer realm="abm"'
        return refused
    answer = HttpResponse(text_of(families()), content_type=CONTENT_TYPE)
    answer["Cache-Control"] = "no-store"
    return answer


def _knows_token(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and kind.lower() == "bearer" and hmac.compare_digest(token.strip(), wanted)
