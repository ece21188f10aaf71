"""Tokens on the profile: made, shown once, revoked."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.asking import is_htmx, user_of
from accounts.host_grants import hosts_of
from accounts.models import ApiToken, User
from accounts.refused import Refused
from accounts.roles import ORDER
from accounts.sign_in.reset import may_reset
from accounts.tokens import create_token, revoke_token


def _context(user: User, **more: Any) -> dict[str, Any]:
    most = ORDER.index(User.Role(user.role))
    return {
        "nav": "profile",
        "may_reset": may_reset(),
        "granted": hosts_of(user),
        "tokens": ApiToken.objects.filter(user=user),
        "token_roles": [(role.value, role.label) for role in ORDER[: most + 1]],
        **more,
    }


@require_GET
def profile(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/profile.html", _context(user_of(request)))


@never_cache
@require_POST
def add_token(request: HttpRequest) -> HttpResponse:
    """Answers with the key itself: it is never shown again, and no redirect may carry it."""
    user, days = user_of(request), request.POST.get("days", "")
    if days and not (days.isdecimal() and len(days) < 6):
        raise Refused("TOKEN_INVALID", "Days are a whole number.", status=400)
    token, key = create_token(
        User.objects.get(pk=user.pk),
        name=request.POST.get("name", ""),
        role=request.POST.get("role", ""),
        days=int(days) if days else None,
        user=user,
    )
    return _shown(request, made=token, key=key)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    user = user_of(request)
    revoke_token(get_object_or_404(ApiToken, pk=pk, user_id=user.pk), user=user)
    if not is_htmx(request):
        return redirect("accounts:profile")
    return _shown(request)


def _shown(request: HttpRequest, **more: Any) -> HttpResponse:
    is_part = is_htmx(request)
    template = "accounts/_tokens.html" if is_part else "accounts/profile.html"
    return render(request, template, _context(user_of(request), **more))
