"""Logins to image registries: their dialogs and verbs. The list stands on the settings page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.asking import is_htmx, send_to, user_of
from accounts.models import User
from accounts.roles import require_role
from hosts import registry_logins
from hosts.models import RegistryLogin
from hosts.queries import logins_shown


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    if request.method == "GET":
        return _form(request, None)
    registry_logins.add_login(
        request.POST.get("registry", ""),
        username=request.POST.get("username", "").strip(),
        password=request.POST.get("password", ""),
        user=user_of(request),
    )
    return _to_settings(request)


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, pk: int) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    if request.method == "GET":
        return _form(request, get_object_or_404(RegistryLogin, pk=pk))
    registry_logins.change_login(
        pk,
        username=request.POST.get("username", "").strip(),
        password=request.POST.get("password", ""),
        user=user_of(request),
    )
    return _to_settings(request)


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    registry_logins.test_login(pk, user=user_of(request))
    return _list(request)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    registry_logins.delete_login(pk, user=user_of(request))
    return _list(request)


def _form(request: HttpRequest, login: RegistryLogin | None) -> HttpResponse:
    """A dialog for htmx, a page of its own for others. The stored password is not in it."""
    context = {
        "nav": "settings",
        "login": login,
        "viewer": request.user,
        "socket_path": "/ws/page/",
    }
    template = "hosts/_registry_form.html" if is_htmx(request) else "hosts/registry.html"
    return render(request, template, context)


def _to_settings(request: HttpRequest) -> HttpResponse:
    return send_to(request, "settings")


def _list(request: HttpRequest) -> HttpResponse:
    if not is_htmx(request):
        return redirect("settings")
    context = {"logins": logins_shown(), "viewer": request.user}
    return render(request, "hosts/_registries.html", context)
