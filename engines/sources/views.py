"""Images from elsewhere: the page that adds one, and the doors of what can be done with them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.asking import is_htmx, send_to, user_of
from accounts.models import User
from accounts.roles import require_host, require_role
from catalog.exporting import catalog_of
from catalog.models import CatalogEntry, Variant
from engines.models import Engine
from engines.sources import register, services, uploading
from engines.sources.forms import BuildForm, ExamineForm, PathForm, PushForm, narrowed
from engines.sources.places import roots
from engines.sources.registering import RegisterForm
from engines.sources.saved import saved_image
from hosts.models import Host
from jobs.models import Job

TABS = {"build": "Build it", "file": "From a file", "image": "An image there is"}
JOBS_SHOWN = 5


def _page(request: HttpRequest, tab: str, status: int = 200, **bound: forms.Form) -> HttpResponse:
    """The page, or its part for htmx, with a form that has faults in place of an empty one."""
    jobs = Job.objects.filter(action__in=Job.OF_IMAGES).select_related("host", "user")
    context: dict[str, Any] = {
        "nav": "catalog",
        "viewer": request.user,
        "socket_path": "/ws/page/",
        "tab": tab,
        "tabs": TABS,
        "roots": roots(),
        "part_bytes": uploading.part_bytes(),
        "jobs": jobs[:JOBS_SHOWN],
        "build_form": BuildForm(auto_id="build-%s"),
        "examine_form": ExamineForm(
            auto_id="examine-%s", initial={"image": request.GET.get("image", "")[:400]}
        ),
        "path_form": PathForm(auto_id="path-%s"),
        **bound,
    }
    for name in ("build_form", "examine_form", "path_form"):
        narrowed(context[name], user_of(request))
    template = "engines/sources/_add.html" if is_htmx(request) else "engines/sources/add.html"
    return render(request, template, context, status=status)


@require_GET
def add(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.OPERATOR)
    tab = request.GET.get("tab", "")
    return _page(request, tab if tab in TABS else "build" if user_of(request).is_admin else "file")


@require_POST
def build(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    form = BuildForm(request.POST, auto_id="build-%s")
    if not form.is_valid():
        return _page(request, "build", 400, build_form=form)
    host = form.cleaned_data["host"]
    job = services.build_image(
        form.recipe(), image=form.image_name(), host=host, user=user_of(request)
    )
    return send_to(request, "jobs:job", pk=job.pk)


@require_POST
def examine(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.OPERATOR)
    form = ExamineForm(request.POST, auto_id="examine-%s")
    if not form.is_valid():
        return _page(request, "image", 400, examine_form=form)
    data = form.cleaned_data
    job = services.examine_image(
        data["image"], host=data["host"], user=user_of(request), asking=form.asking()
    )
    return send_to(request, "jobs:job", pk=job.pk)


@require_POST
def load(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    form = PathForm(request.POST, auto_id="path-%s")
    if not form.is_valid():
        return _page(request, "file", 400, path_form=form)
    data = form.cleaned_data
    job = services.load_path(data["path"], host=data["host"], user=user_of(request))
    return send_to(request, "jobs:job", pk=job.pk)


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    size, host = (request.POST.get(name, "") for name in ("size", "host"))
    made = uploading.start_upload(
        request.POST.get("name", ""),
        size=int(size) if size.isdecimal() and len(size) < 16 else 0,
        host=get_object_or_404(Host, pk=int(host) if host.isdecimal() else 0),
        user=user_of(request),
    )
    return JsonResponse({"token": made.token, "received": 0}, status=201)


@require_http_methods(["GET", "POST"])
def part(request: HttpRequest, token: str) -> HttpResponse:
    """GET tells how many bytes are here; POST adds a part at `?offset=`."""
    wanted = uploading.read_upload(token, user=user_of(request))
    if request.method == "GET":
        return JsonResponse({"received": wanted.received})
    offset = request.GET.get("offset", "")
    number = int(offset) if offset.isdecimal() and len(offset) < 16 else -1
    received = uploading.write_part(wanted, request.body, offset=number)
    return JsonResponse({"received": received})


@require_POST
def finish(request: HttpRequest, token: str) -> HttpResponse:
    wanted = uploading.read_upload(token, user=user_of(request))
    job = uploading.finish_upload(wanted, user=user_of(request))
    return JsonResponse({"url": redirect("jobs:job", pk=job.pk).url})


@require_http_methods(["GET", "POST"])
def register_image(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.OPERATOR)
    asked = request.POST if request.method == "POST" else request.GET
    known = register.known_of(asked.get("job", ""), image=asked.get("image", "")[:400])
    form = RegisterForm(request.POST or None, initial=known.initial)
    if request.method == "POST" and form.is_valid() and (row := form.definition(known.found)):
        variant = register.register_image(
            row,
            image=form.cleaned_data["image"],
            needs_gpu=form.cleaned_data["needs_gpu"],
            known=known,
            user=user_of(request),
        )
        messages.success(request, f"{variant.entry} is in the catalog now.")
        return send_to(request, "catalog:entry", pk=variant.entry_id)
    context = {
        "nav": "catalog",
        "viewer": request.user,
        "socket_path": "/ws/page/",
        "form": form,
        "known": known,
    }
    template = "_register.html" if is_htmx(request) else "register.html"
    status = 400 if form.errors else 200
    return render(request, f"engines/sources/{template}", context, status=status)


@require_http_methods(["GET", "POST"])
def push(request: HttpRequest, pk: int) -> HttpResponse:
    require_role(user_of(request), User.Role.OPERATOR)
    variant = get_object_or_404(Variant.objects.select_related("entry"), pk=pk)
    form = PushForm(request.POST or None, auto_id="push-%s")
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        job = services.push_image(variant, to=data["to"], host=data["host"], user=user_of(request))
        return send_to(request, "jobs:job", pk=job.pk)
    context = {
        "nav": "catalog",
        "viewer": request.user,
        "socket_path": "/ws/page/",
        "form": narrowed(form, user_of(request)),
        "variant": variant,
    }
    template = "_push.html" if is_htmx(request) else "push.html"
    status = 400 if form.errors else 200
    return render(request, f"engines/sources/{template}", context, status=status)


@require_GET
def export(request: HttpRequest, entry_pk: int) -> HttpResponse:
    """The entry as a catalog of its own, as a file."""
    require_role(user_of(request), User.Role.OPERATOR)
    entry = get_object_or_404(CatalogEntry, pk=entry_pk)
    answer = HttpResponse(catalog_of(entry), content_type="application/yaml; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{entry.name}.catalog.yaml"'
    return answer


@require_POST
def save(request: HttpRequest, pk: int) -> HttpResponse:
    engine = get_object_or_404(Engine.objects.select_related("host"), pk=pk)
    job = services.save_image(engine, user=user_of(request))
    return send_to(request, "jobs:job", pk=job.pk)


@require_POST
def copy(request: HttpRequest, pk: int) -> HttpResponse:
    engine = get_object_or_404(Engine.objects.select_related("host"), pk=pk)
    require_role(user_of(request), User.Role.OPERATOR, host=engine.host_id)
    chosen = request.POST.get("to", "")
    to = get_object_or_404(Host, pk=int(chosen) if chosen.isdecimal() else 0)
    job = services.copy_image(engine, to=to, user=user_of(request))
    return send_to(request, "jobs:job", pk=job.pk)


@require_GET
def saved(request: HttpRequest, job_pk: int) -> HttpResponseBase:
    """The file that a job has saved an image to."""
    require_role(user_of(request), User.Role.OPERATOR)
    job = get_object_or_404(Job, pk=job_pk, action=Job.Action.SAVE)
    require_host(user_of(request), job.host_id)
    return saved_image(job)
