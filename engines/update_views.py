"""Doors for updates, and for verbs on several engines at once."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.asking import is_htmx, user_of
from engines import updates
from engines.models import Engine
from engines.pages import engine_context
from engines.queries import engines_shown
from engines.updates import Many
from jobs.when_away import reads_when_away


def _engine(pk: int) -> Engine:
    return get_object_or_404(Engine.objects.select_related("host", "variant"), pk=pk)


def _changed(request: HttpRequest, pk: int) -> HttpResponse:
    """The tab as it is now; the head above it comes through the socket."""
    if not is_htmx(request):
        return redirect(f"{reverse('engines:engine', args=[pk])}?tab=updates")
    shown = get_object_or_404(engines_shown(), pk=pk)
    return render(
        request, "engines/_updates.html", engine_context(shown, user_of(request), "updates")
    )


def _told(request: HttpRequest, text: str, *, kind: str) -> HttpResponse:
    """One line at the top of whatever page asked; the rows change by themselves."""
    if not is_htmx(request):
        return redirect("engines:list")
    answer = render(request, "parts/_message.html", {"kind": kind, "text": text})
    answer["HX-Retarget"], answer["HX-Reswap"] = "#messages", "innerHTML"
    return answer


def _many_told(request: HttpRequest, many: Many) -> HttpResponse:
    return _told(request, many.text, kind="success" if many.done else "warning")


@require_POST
def check(request: HttpRequest, pk: int) -> HttpResponse:
    updates.check_now([_engine(pk)], user=user_of(request))
    return _changed(request, pk)


@require_POST
def check_all(request: HttpRequest) -> HttpResponse:
    images = updates.check_now(None, user=user_of(request))
    what = "one image" if images == 1 else f"{images} images"
    text = f"Registries are asked about {what}; engines with something newer get a mark."
    return _told(request, text if images else updates.NO_IMAGES, kind="info")


@require_POST
@reads_when_away
def update(request: HttpRequest, pk: int) -> HttpResponse:
    updates.update_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
def update_all(request: HttpRequest) -> HttpResponse:
    wanted = updates.engines_with_updates()[: updates.MOST_AT_ONCE]
    made = updates.do_many(wanted, verb="update", user=user_of(request))
    if made.done and not made.refused and is_htmx(request):
        # The jobs say it, and they are on the page before this answer is.
        return HttpResponse(status=204)
    return _many_told(request, made)


@require_POST
@reads_when_away
def rollback(request: HttpRequest, pk: int) -> HttpResponse:
    updates.roll_back_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
def auto_updates(request: HttpRequest, pk: int) -> HttpResponse:
    is_on = request.POST.get("auto") == "on"
    updates.set_auto_updates(_engine(pk), is_on=is_on, user=user_of(request))
    return _changed(request, pk)


@require_POST
@reads_when_away
def many(request: HttpRequest) -> HttpResponse:
    """Start, stop or update the engines that were ticked in the list."""
    ticked = [int(text) for text in request.POST.getlist("engine") if text.isdecimal()]
    wanted = Engine.objects.filter(pk__in=ticked[: updates.MOST_AT_ONCE]).select_related("host")
    verb = request.POST.get("verb", "")
    return _many_told(request, updates.do_many(wanted, verb=verb, user=user_of(request)))
