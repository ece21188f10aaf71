"""The pages that show a bit of everything."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from abm.queries import dashboard_parts, found
from abm.system import settings_lines, system_lines
from accounts.asking import user_of
from accounts.models import User
from accounts.roles import require_role
from catalog.queries import sources_shown
from engines.models import Engine
from hosts.forms import HostForm
from hosts.models import Host
from hosts.queries import logins_shown
from jobs.models import Job


@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    context = {
        "nav": "dashboard",
        "viewer": request.user,
        "socket_path": "/ws/dashboard/",
        **dashboard_parts(),
    }
    return render(request, "dashboard.html", context)


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    context = {
        "nav": "",
        "viewer": request.user,
        "socket_path": "/ws/page/",
        **found(request.GET.get("q", "")),
    }
    is_part = request.headers.get("HX-Target") == "found"
    return render(request, "abm/_found.html" if is_part else "search.html", context)


@require_GET
def settings_page(request: HttpRequest) -> HttpResponse:
    context = {
        "nav": "settings",
        "viewer": request.user,
        "settings": settings_lines(),
        "system": system_lines(),
        "sources": sources_shown(),
        "logins": logins_shown(),
        "socket_path": "/ws/settings/",
    }
    return render(request, "settings.html", context)


@require_GET
def style(request: HttpRequest) -> HttpResponse:
    """Every part in every state, for who works on the pages."""
    require_role(user_of(request), User.Role.ADMIN)
    now = timezone.now()
    context = {
        "nav": "settings",
        "socket_path": "/ws/page/",
        "states": {
            "Engines": Engine.State.choices,
            "Hosts": Host.State.choices,
            "Jobs": Job.Status.choices,
        },
        "form": HostForm({"display_name": ""}),
        "now": now,
        "long_ago": now - timedelta(hours=3),
    }
    return render(request, "style.html", context)


@require_GET
def engine_hosts(request: HttpRequest) -> HttpResponse:
    """What the API's contract calls the list of hosts, for somebody who opens it in a browser."""
    return redirect("hosts:list")


@require_GET
def engine_host(request: HttpRequest, host_id: str) -> HttpResponse:
    """The page of the host of this id."""
    return redirect("hosts:host", pk=get_object_or_404(Host, host_id=host_id).pk)


@require_GET
def api(request: HttpRequest) -> HttpResponse:
    """The API's document, to read and to try."""
    return render(request, "abm/api.html", {"nav": "profile", "socket_path": "/ws/page/"})
