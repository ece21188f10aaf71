"""The audit's page and its exports, for admins."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.asking import user_of
from accounts.audit_list import (
    AuditFilter,
    as_csv,
    as_json,
    audit_page,
    exported,
    kinds,
    people,
)
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role

FORMATS = {"csv": ("text/csv; charset=utf-8", as_csv), "json": ("application/json", as_json)}


@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    wanted = AuditFilter.read(request.GET.dict())
    context = {
        "nav": "settings",
        "wanted": wanted,
        "found": audit_page(wanted),
        "kinds": kinds(),
        "people": people(),
    }
    return render(request, "accounts/audit.html", context)


@require_GET
def export(request: HttpRequest, form: str) -> HttpResponse:
    """What the page is narrowed to, as a file. Raises Refused FORMAT_UNKNOWN."""
    require_role(user_of(request), User.Role.ADMIN)
    if form not in FORMATS:
        raise Refused("FORMAT_UNKNOWN", "The audit is exported as csv or json.", status=404)
    content_type, written = FORMATS[form]
    wanted = AuditFilter.read(request.GET.dict())
    answer = HttpResponse(written(exported(wanted)), content_type=content_type)
    name = f"abm-audit-{timezone.localdate().isoformat()}.{form}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
