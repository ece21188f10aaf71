"""Speaker samples, and the folders of a host that they and models lie in."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.asking import send_to, user_of
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines import samples
from engines.models import Sample
from hosts.models import Host
from jobs.models import Job


@require_http_methods(["GET", "POST"])
def list_samples(request: HttpRequest) -> HttpResponse:
    """All samples; posting a file adds one."""
    if request.method == "GET":
        return _list(request)
    user = user_of(request)
    require_role(user, User.Role.OPERATOR)
    upload: Any = request.FILES.get("audio")
    name = request.POST.get("name", "")[:200]
    try:
        if upload is None:
            raise Refused("AUDIO_MISSING", "Choose a WAV file.", status=400)
        if upload.size > samples.MOST_BYTES:
            raise Refused("SAMPLE_TOO_LARGE", "A sample has at most 50 MB.", status=413)
        samples.add_sample(name=name, data=upload.read(), user=user)
    except Refused as refused:
        return _list(request, refused=refused, typed=name)
    return redirect("engines:samples")


def _list(request: HttpRequest, **context: Any) -> HttpResponse:
    refused: Refused | None = context.get("refused")
    page = {
        "nav": "engines",
        "viewer": request.user,
        "socket_path": "/ws/page/",
        "samples": Sample.objects.all(),
        "hosts": [host for host in Host.objects.all() if samples.needs_samples(host)],
    }
    status = refused.status if refused else 200
    return render(request, "engines/samples.html", {**page, **context}, status=status)


@require_POST
def delete_sample(request: HttpRequest, sample_pk: int) -> HttpResponse:
    sample = get_object_or_404(Sample, pk=sample_pk)
    samples.delete_sample(sample, user=user_of(request))
    return redirect("engines:samples")


@require_GET
def sample_audio(request: HttpRequest, sample_pk: int) -> FileResponse:
    """Its WAV, to be played in the page."""
    sample = get_object_or_404(Sample, pk=sample_pk)
    try:
        file = sample.path.open("rb")
    except FileNotFoundError as error:
        raise Http404(f"The file of {sample} is gone from {sample.path.parent}.") from error
    return FileResponse(file, content_type="audio/wav", filename=sample.file)


@require_POST
def bring(request: HttpRequest, pk: int) -> HttpResponse:
    """Bring a host the samples that it lacks."""
    host = get_object_or_404(Host, pk=pk)
    return _asked(request, samples.bring_samples(host, user=user_of(request)))


@require_POST
def make_folder(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """Make the folder of `samples` or `models` on a host."""
    host = get_object_or_404(Host, pk=pk)
    return _asked(request, samples.make_folder(host, kind=kind, user=user_of(request)))


def _asked(request: HttpRequest, job: Job) -> HttpResponse:
    return send_to(request, "jobs:job", pk=job.pk)
