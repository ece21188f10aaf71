"""The catalog's pages."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.asking import is_htmx, user_of
from catalog import services
from catalog.models import CatalogSource
from catalog.parameters import read_parameters
from catalog.queries import CatalogFilter, choices, entries_page, known, sources_shown


@require_GET
def list_entries(request: HttpRequest) -> HttpResponse:
    wanted = CatalogFilter.read(request.GET.dict())
    context = {
        "nav": "catalog",
        "wanted": wanted,
        "page": entries_page(wanted),
        "viewer": request.user,
        "socket_path": f"/ws/catalog/?{wanted.query}&page={wanted.page}",
    }
    if request.headers.get("HX-Target") == "catalog-cards":
        return render(request, "catalog/_cards.html", context)
    context |= {**choices(), "sources": sources_shown()}
    return render(request, "catalog/list.html", context)


@require_GET
def entry(request: HttpRequest, pk: int) -> HttpResponse:
    shown = get_object_or_404(known(), pk=pk)
    context = {
        "nav": "catalog",
        "entry": shown,
        "parameters": read_parameters(shown.effective("parameters")),
        "viewer": request.user,
        "socket_path": "/ws/page/",
    }
    return render(request, "catalog/entry.html", context)


@require_POST
def sync(request: HttpRequest, pk: int) -> HttpResponse:
    source = get_object_or_404(CatalogSource, pk=pk)
    job = services.sync_source(source, user=user_of(request))
    if not is_htmx(request):
        return redirect("jobs:job", pk=job.pk)
    context = {"sources": sources_shown(), "viewer": request.user}
    return render(request, "catalog/_sources.html", context)


@require_POST
def add_source(request: HttpRequest) -> HttpResponse:
    source = services.add_source(
        name=request.POST.get("name", ""),
        url=request.POST.get("url", ""),
        allows_private=request.POST.get("allows_private") == "on",
        user=user_of(request),
    )
    messages.success(request, f"{source} was added and is being synced.")
    return redirect("catalog:list")
