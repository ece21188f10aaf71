"""Signing in by what a reverse proxy says of the person: off unless PROXY_USER_HEADER names one."""

from __future__ import annotations

from collections.abc import Callable

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from accounts.models import User

MARK = "abm_signed_in_by_proxy"


class ProxyHeaderMiddleware:
    """Keeps the session in step with the header; of others than trusted proxies it says nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not settings.PROXY_USER_HEADER:
            return self.get_response(request)
        name = request.headers.get(settings.PROXY_USER_HEADER, "").strip()
        if not getattr(request, "is_from_proxy", False):
            name = ""
        current = request.user.get_username() if request.user.is_authenticated else ""
        if request.session.get(MARK) and name != current:
            logout(request)
            current = ""
        if not name or name == current:
            return self.get_response(request)
        person = User.objects.filter(username=name, is_active=True).first()
        if person is None:
            text = (
                f"The proxy says that you are {name[:150]}, and nobody of that name may sign in to "
                "abm. Ask an admin."
            )
            context = {"text": text, "code": "PROXY_USER_UNKNOWN", "status": 403}
            return render(request, "refused.html", context, status=403)
        record_authentication(request, person, method="proxy")
        get_adapter().login(request, person)
        request.session[MARK] = True
        return self.get_response(request)
