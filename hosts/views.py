"""The hosts' pages and verbs."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.asking import is_htmx, user_of
from accounts.models import User
from accounts.roles import require_role
from hosts import services
from hosts.forms import HostForm
from hosts.gpus import ask_gpus
from hosts.models import Host
from hosts.queries import host_context, host_shown, hosts_shown


def _shown(pk: int) -> Host:
    host = host_shown(pk)
    if host is None:
        raise Http404("There is no such host.")
    return host


@require_GET
def list_hosts(request: HttpRequest) -> HttpResponse:
    context = {
        "nav": "hosts",
        "hosts": hosts_shown(),
        "viewer": request.user,
        "socket_path": "/ws/hosts/",
    }
    is_part = request.headers.get("HX-Target") == "host-list"
    return render(request, "hosts/_list.html" if is_part else "hosts/list.html", context)


@require_GET
def host(request: HttpRequest, pk: int) -> HttpResponse:
    shown = _shown(pk)
    services.ask_disk(shown)
    ask_gpus(shown)
    parts = host_context(shown)
    cards = ",".join(str(chart.gpu.pk) for chart in parts["charts"])
    context = {
        "nav": "hosts",
        "form": HostForm(instance=shown),
        "viewer": request.user,
        "socket_path": f"/ws/hosts/{pk}/?cards={cards}",
        **parts,
    }
    return render(request, "hosts/host.html", context)


@require_POST
def probe(request: HttpRequest, pk: int) -> HttpResponse:
    services.ask_probe(get_object_or_404(Host, pk=pk), user=user_of(request))
    if not is_htmx(request):
        return redirect("hosts:host", pk=pk)
    is_card = request.headers.get("HX-Target") == f"host-{pk}"
    template = "hosts/_host.html" if is_card else "hosts/_head.html"
    context = {"host": _shown(pk), "viewer": request.user, "is_asked": True}
    return render(request, template, context)


@require_POST
def skip(request: HttpRequest, pk: int) -> HttpResponse:
    """Do without this host: it is switched off, and no page speaks of it any more."""
    return _switched(request, pk, is_enabled=False)


@require_POST
def use(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch it on again, and look at once."""
    return _switched(request, pk, is_enabled=True)


def _switched(request: HttpRequest, pk: int, *, is_enabled: bool) -> HttpResponse:
    host = get_object_or_404(Host, pk=pk)
    services.set_host_enabled(host, is_enabled=is_enabled, user=user_of(request))
    if is_enabled:
        services.ask_probe(host, user=user_of(request))
    if not is_htmx(request):
        return redirect("hosts:host", pk=pk)
    context = {"host": _shown(pk), "viewer": request.user, "is_asked": is_enabled}
    return render(request, "hosts/_head.html", context)


@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    shown = get_object_or_404(Host, pk=pk)
    require_role(user_of(request), User.Role.ADMIN)
    form = HostForm(request.POST, instance=Host(pk=pk))
    if form.is_valid():
        wanted = form.cleaned_data
        services.change_host(
            shown,
            name=wanted["display_name"],
            samples=wanted["samples_path"],
            models=wanted["models_path"],
            is_enabled=wanted["is_enabled"],
            user=user_of(request),
        )
        form = HostForm(instance=shown)
    return _form(request, form, pk)


def _form(request: HttpRequest, form: HostForm, pk: int) -> HttpResponse:
    """The settings after a save: the part for htmx, the whole page for a plain form."""
    status = 400 if form.errors else 200
    context = {"form": form, "saved": not form.errors, "viewer": request.user}
    if is_htmx(request):
        context["host"] = _shown(pk)
        return render(request, "hosts/_settings.html", context, status=status)
    page = {"nav": "hosts", "socket_path": f"/ws/hosts/{pk}/", **host_context(_shown(pk))}
    return render(request, "hosts/host.html", {**page, **context}, status=status)
