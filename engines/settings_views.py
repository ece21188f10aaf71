"""The forms of an engine's Settings tab that concern how it runs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from accounts.asking import is_htmx, user_of
from accounts.models import User
from accounts.roles import require_role
from engines import preferences
from engines.container_settings import set_container, set_idle
from engines.environment import environment_shown, read_environment, set_variables
from engines.gpu_choice import gpu_context, set_gpus
from engines.models import Engine
from engines.pages import engine_context


def _engine(pk: int) -> Engine:
    return get_object_or_404(Engine.objects.select_related("host", "variant"), pk=pk)


def _answer(
    request: HttpRequest, engine: Engine, part: str, context: dict[str, Any], *, is_bad: bool
) -> HttpResponse:
    """The form after a save: the part for htmx, the whole page for a plain form."""
    whole = {"nav": "engines", **engine_context(engine, user_of(request), "settings"), **context}
    is_part = is_htmx(request)
    template = part if is_part else "engines/engine.html"
    return render(request, template, whole, status=400 if is_bad else 200)


@require_POST
def environment(request: HttpRequest, pk: int) -> HttpResponse:
    engine, user = _engine(pk), user_of(request)
    require_role(user, User.Role.ADMIN)
    read = read_environment(engine, request.POST)
    if not read.errors:
        set_variables(engine, variables=read, user=user)
        if engine.definition.get("is_in_place"):
            restarts = request.POST.get("restarts") == "on"
            preferences.set_restarts_on_change(engine, restarts=restarts, user=user)
    context = {
        "environment": read if read.errors else environment_shown(engine),
        "environment_saved": not read.errors,
    }
    return _answer(request, engine, "engines/_environment.html", context, is_bad=bool(read.errors))


@require_POST
def container(request: HttpRequest, pk: int) -> HttpResponse:
    engine = _engine(pk)
    context = set_container(engine, request.POST, user=user_of(request))
    is_bad = bool(context.get("container_errors"))
    return _answer(request, engine, "engines/_container.html", context, is_bad=is_bad)


@require_POST
def gpus(request: HttpRequest, pk: int) -> HttpResponse:
    engine = set_gpus(_engine(pk), request.POST, user=user_of(request))
    context = {**gpu_context(engine), "gpus_saved": True}
    return _answer(request, engine, "engines/_gpus.html", context, is_bad=False)


@require_POST
def idle(request: HttpRequest, pk: int) -> HttpResponse:
    engine = set_idle(_engine(pk), text=request.POST.get("minutes", ""), user=user_of(request))
    return _answer(request, engine, "engines/_idle.html", {"idle_saved": True}, is_bad=False)
