"""The hosts' pages and verbs."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from hosts import services
from hosts.models import Host
from hosts.queries import hosts_shown
from jobs.models import Job


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


@require_GET
def list_hosts(request: HttpRequest) -> HttpResponse:
    context = {
        "nav": "hosts",
        "hosts": hosts_shown(),
        "viewer": request.user,
        "socket_path": "/ws/hosts/",
    }
    return render(request, "hosts/list.html", context)


@require_GET
def host(request: HttpRequest, pk: int) -> HttpResponse:
    shown = get_object_or_404(hosts_shown(), pk=pk)
    jobs = Job.objects.filter(host=shown).select_related("host", "engine", "user")
    context = {
        "nav": "hosts",
        "host": shown,
        "jobs": jobs[:10],
        "viewer": request.user,
        "socket_path": f"/ws/hosts/{pk}/",
    }
    return render(request, "hosts/host.html", context)


@require_POST
def probe(request: HttpRequest, pk: int) -> HttpResponse:
    services.ask_probe(get_object_or_404(Host, pk=pk), user=_user(request))
    if request.headers.get("HX-Request") != "true":
        return redirect("hosts:host", pk=pk)
    context = {"host": get_object_or_404(hosts_shown(), pk=pk), "viewer": request.user}
    return render(request, "hosts/_host.html", context)


@require_POST
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    shown = get_object_or_404(Host, pk=pk)
    user = _user(request)
    services.rename_host(shown, name=request.POST.get("display_name", ""), user=user)
    services.set_host_paths(
        shown,
        samples=request.POST.get("samples_path", ""),
        models=request.POST.get("models_path", ""),
        user=user,
    )
    is_enabled = request.POST.get("is_enabled") == "on"
    if is_enabled != shown.is_enabled:
        services.set_host_enabled(shown, is_enabled=is_enabled, user=user)
    return redirect("hosts:host", pk=pk)
