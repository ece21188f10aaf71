"""The jobs' pages and verbs."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.asking import is_htmx, send_to, user_of
from jobs import services
from jobs.models import Job
from jobs.queries import JobFilter, job_list, job_shown, log_tail, log_text


def _shown(pk: int) -> Job:
    job = job_shown(pk)
    if job is None:
        raise Http404("There is no such job; jobs are kept for 30 days.")
    return job


@require_GET
def list_jobs(request: HttpRequest) -> HttpResponse:
    wanted = JobFilter.read(request.GET.dict())
    context = {
        "nav": "jobs",
        "wanted": wanted,
        "found": job_list(wanted),
        "statuses": Job.Status.choices,
        "actions": Job.Action.choices,
        "viewer": request.user,
        "socket_path": f"/ws/jobs/?{wanted.query}&page={wanted.page}",
    }
    is_part = request.headers.get("HX-Target") == "job-list"
    return render(request, "jobs/_list.html" if is_part else "jobs/list.html", context)


@require_GET
def job(request: HttpRequest, pk: int) -> HttpResponse:
    shown, tail = _shown(pk), log_tail(pk)
    context = {
        "nav": "jobs",
        "job": shown,
        "job_pk": pk,
        "tail": tail,
        "viewer": request.user,
        "socket_path": f"/ws/jobs/{pk}/?after={tail.last_number}",
    }
    return render(request, "jobs/job.html", context)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    services.cancel_job(get_object_or_404(Job, pk=pk), user=user_of(request))
    if not is_htmx(request):
        return redirect("jobs:job", pk=pk)
    is_row = request.headers.get("HX-Target") == f"job-{pk}"
    template = "jobs/_job.html" if is_row else "jobs/_head.html"
    return render(request, template, {"job": _shown(pk), "viewer": request.user})


@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    again = services.retry_job(_shown(pk), user=user_of(request))
    return send_to(request, "jobs:job", pk=again.pk)


@require_GET
def log(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """All that is kept of a job's log, as a file."""
    answer = StreamingHttpResponse(log_text(_shown(pk)), content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="job-{pk}.log"'
    return answer
