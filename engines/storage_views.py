"""Doors for what hosts keep: uninstalling, disk, containers without an engine, models."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.asking import is_htmx, send_to, user_of
from accounts.models import User
from accounts.roles import require_role
from engines import storage, strays, uninstall
from engines.models import Engine
from engines.uninstall import Removal
from hosts import services as hosts
from hosts.models import Host
from hosts.queries import host_context
from jobs.models import Job
from jobs.when_away import reads_when_away


def _asked(request: HttpRequest, job: Job) -> HttpResponse:
    """One line at the top; what changes comes through the socket when it is done."""
    if not is_htmx(request):
        return redirect("jobs:job", pk=job.pk)
    text = f"{job}: it is on its way. Jobs tells how it ends."
    answer = render(request, "parts/_message.html", {"kind": "info", "text": text})
    answer["HX-Retarget"], answer["HX-Reswap"] = "#messages", "innerHTML"
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@reads_when_away
def uninstall_engine(request: HttpRequest, pk: int) -> HttpResponse:
    """The dialog with its choices; posting it uninstalls."""
    engine = get_object_or_404(Engine.objects.select_related("host", "variant"), pk=pk)
    if request.method != "POST":
        return _choices(request, engine)
    removal = Removal.read(request.POST)
    job = uninstall.uninstall_engine(engine, user=user_of(request), removal=removal)
    return send_to(request, "jobs:job", pk=job.pk)


def _choices(request: HttpRequest, engine: Engine) -> HttpResponse:
    require_role(user_of(request), User.Role.OPERATOR, host=engine.host_id)
    is_waiting = "waits" in request.GET
    hosts.ask_disk(engine.host)
    if is_waiting and engine.host.is_disk_being_read:
        return HttpResponse(status=204)
    options = uninstall.uninstall_options(engine, Removal.read(request.GET))
    context = {"nav": "engines", "engine": engine, "options": options, "viewer": request.user}
    context["socket_path"] = "/ws/page/"
    template = "engines/_uninstall.html" if is_htmx(request) else "engines/uninstall.html"
    return render(request, template, context)


@require_POST
def forget(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete settings that were kept."""
    engine = get_object_or_404(Engine.objects.select_related("host"), pk=pk)
    host = engine.host
    uninstall.forget_settings(engine, user=user_of(request))
    return _host_part(request, host, "hosts/_engines.html")


@require_POST
def read(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the disk again now."""
    host = get_object_or_404(Host, pk=pk)
    require_role(user_of(request), User.Role.OPERATOR, host=host.pk)
    if not host.is_disk_being_read:
        hosts.forget_disk(host)
    return _host_part(request, host, "hosts/_disk.html")


def _host_part(request: HttpRequest, host: Host, template: str) -> HttpResponse:
    if not is_htmx(request):
        return redirect("hosts:host", pk=host.pk)
    return render(request, template, {**host_context(host), "viewer": request.user})


@require_POST
def reclaim(request: HttpRequest, pk: int) -> HttpResponse:
    host = get_object_or_404(Host, pk=pk)
    chosen = request.POST.getlist("chosen")
    return _asked(request, storage.reclaim_disk(host, chosen=chosen, user=user_of(request)))


@require_POST
def delete_models(request: HttpRequest, pk: int) -> HttpResponse:
    source, path = request.POST.get("source", ""), request.POST.get("path", "")
    host = get_object_or_404(Host, pk=pk)
    job = storage.delete_models(host, source=source, path=path, user=user_of(request))
    return _asked(request, job)


@require_POST
def adopt(request: HttpRequest, pk: int, container: str) -> HttpResponse:
    host = get_object_or_404(Host, pk=pk)
    return _asked(request, strays.adopt_stray(host, container, user=user_of(request)))


@require_POST
def remove(request: HttpRequest, pk: int, container: str) -> HttpResponse:
    host = get_object_or_404(Host, pk=pk)
    return _asked(request, strays.remove_stray(host, container, user=user_of(request)))
