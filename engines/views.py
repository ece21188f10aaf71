"""The engines' pages and verbs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.asking import is_htmx, send_to, user_of
from accounts.models import User
from accounts.roles import require_role
from catalog.models import CatalogEntry, EngineType, Variant
from engines import attach as attachments
from engines import preferences, services
from engines.choosing import choice
from engines.models import Engine, EngineModel
from engines.pages import engine_context, tabs_of
from engines.queries import EngineFilter, engines_page, engines_shown, hosts_with_engines
from engines.schema import read_texts, settings_of
from engines.work import log_tail
from hosts.models import Host
from jobs.when_away import reads_when_away

MAX_LOG_LINES = 200_000


def _changed(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of what changed: a row in the list, the head on the engine's own page."""
    if not is_htmx(request):
        return redirect("engines:engine", pk=pk)
    engine = get_object_or_404(engines_shown(), pk=pk)
    is_row = request.headers.get("HX-Target", "") == f"engine-{pk}"
    template = "engines/_engine.html" if is_row else "engines/_head.html"
    return render(request, template, {"engine": engine, "viewer": request.user})


def _engine(pk: int) -> Engine:
    return get_object_or_404(Engine.objects.select_related("host", "variant"), pk=pk)


@require_GET
def list_engines(request: HttpRequest) -> HttpResponse:
    wanted = EngineFilter.read(request.GET.dict())
    context = {
        "nav": "engines",
        "wanted": wanted,
        "page": engines_page(wanted),
        "hosts": hosts_with_engines(),
        "types": EngineType.choices,
        "states": Engine.State.choices,
        "viewer": request.user,
        "socket_path": f"/ws/engines/?{wanted.query}&page={wanted.page}",
    }
    is_part = request.headers.get("HX-Target") == "engine-list"
    return render(request, "engines/_list.html" if is_part else "engines/list.html", context)


@require_GET
def engine(request: HttpRequest, pk: int) -> HttpResponse:
    tab = request.GET.get("tab", "try")
    shown = get_object_or_404(engines_shown(), pk=pk)
    known = tabs_of(shown, user_of(request))
    tab = tab if tab in known else "try"
    base = request.build_absolute_uri("/")
    context = engine_context(shown, user_of(request), tab, base=base)
    return render(request, "engines/engine.html", {"nav": "engines", **context})


@require_GET
def choose(request: HttpRequest, entry_pk: int) -> HttpResponse:
    require_role(user_of(request), User.Role.OPERATOR)
    entry = get_object_or_404(CatalogEntry.objects.select_related("source"), pk=entry_pk)
    found = choice(entry, request.GET.dict())
    if found is None:
        return HttpResponse(status=204)
    context = {"nav": "catalog", "viewer": request.user, **found}
    template = "engines/_choose.html" if is_htmx(request) else "engines/choose.html"
    return render(request, template, context)


@require_POST
@reads_when_away
def install(request: HttpRequest) -> HttpResponse:
    numbers = [request.POST.get(key, "") for key in ("variant", "host")]
    variant_pk, host_pk = (int(text) if text.isdecimal() else 0 for text in numbers)
    job = services.install_engine(
        get_object_or_404(Variant.objects.select_related("entry__source"), pk=variant_pk),
        host=get_object_or_404(Host, pk=host_pk),
        user=user_of(request),
        wish=services.Wish(
            starts=request.POST.get("starts") == "on",
            platform=request.POST.get("platform", "")[:40],
            overrules=request.POST.get("overrules") == "on",
            consents=request.POST.get("consents") == "on",
        ),
    )
    return send_to(request, "jobs:job", pk=job.pk)


@require_POST
@reads_when_away
def start(request: HttpRequest, pk: int) -> HttpResponse:
    services.start_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
@reads_when_away
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    services.stop_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
@reads_when_away
def restart(request: HttpRequest, pk: int) -> HttpResponse:
    services.restart_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
@reads_when_away
def load(request: HttpRequest, pk: int) -> HttpResponse:
    services.load_model(_engine(pk), model=request.POST.get("model", ""), user=user_of(request))
    return _changed(request, pk)


@require_POST
@reads_when_away
def discover(request: HttpRequest, pk: int) -> HttpResponse:
    services.discover_models(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
@reads_when_away
def test(request: HttpRequest, pk: int) -> HttpResponse:
    services.test_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
def default(request: HttpRequest, pk: int) -> HttpResponse:
    services.set_default_engine(_engine(pk), user=user_of(request))
    return _changed(request, pk)


@require_POST
def keep_running(request: HttpRequest, pk: int) -> HttpResponse:
    keeps = request.POST.get("keeps") == "on"
    services.set_keep_running(_engine(pk), keeps=keeps, user=user_of(request))
    return _changed(request, pk)


@require_POST
def default_model(request: HttpRequest, pk: int, model_pk: int) -> HttpResponse:
    model = get_object_or_404(EngineModel, pk=model_pk, engine_id=pk)
    services.set_default_model(model, user=user_of(request))
    return _changed(request, pk)


@require_POST
def parameters(request: HttpRequest, pk: int) -> HttpResponse:
    shown = _engine(pk)
    values, refused = read_texts(shown, request.POST.dict())
    if not refused:
        shown = preferences.set_parameters(shown, values=values, user=user_of(request))
        shown = preferences.set_language(
            shown, language=request.POST.get("default_language", ""), user=user_of(request)
        )
    context = {"engine": shown, "settings": settings_of(shown, refused=refused), "saved": True}
    return _form(request, shown, context, status=400 if refused else 200)


@require_POST
def reset(request: HttpRequest, pk: int) -> HttpResponse:
    name = request.POST.get("name", "")
    shown = preferences.reset_parameter(_engine(pk), name=name, user=user_of(request))
    context = {"engine": shown, "settings": settings_of(shown), "saved": True}
    return _form(request, shown, context)


def _form(
    request: HttpRequest, shown: Engine, context: dict[str, object], *, status: int = 200
) -> HttpResponse:
    """The parameters' form after a save: the part for htmx, the whole page for a plain form."""
    whole = engine_context(shown, user_of(request), "settings") | context
    template = "engines/_parameters.html" if is_htmx(request) else "engines/engine.html"
    return render(request, template, {"nav": "engines", **whole}, status=status)


@require_POST
def attach(request: HttpRequest) -> HttpResponse:
    host = get_object_or_404(Host, host_type=Host.Type.SUBPROCESS)
    attached = attachments.attach_engine(
        request.POST.get("url", ""), host=host, user=user_of(request)
    )
    return send_to(request, "engines:engine", pk=attached.pk)


@require_POST
def detach(request: HttpRequest, pk: int) -> HttpResponse:
    attachments.detach_engine(_engine(pk), user=user_of(request))
    return send_to(request, "engines:list")


@require_GET
def logs(request: HttpRequest, pk: int) -> HttpResponse:
    """All that is kept of what the engine wrote, as a file."""
    shown = _engine(pk)
    text = "\n".join(log_tail(shown, lines=MAX_LOG_LINES))
    answer = HttpResponse(text + "\n", content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{shown.name}.log"'
    return answer
