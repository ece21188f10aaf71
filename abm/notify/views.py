"""The page of notifications, for admins."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from abm.notify import services
from abm.notify.models import CHOSEN, NotifyTarget
from abm.notify.queries import list_context
from accounts.asking import is_htmx, send_to, user_of
from accounts.models import User
from accounts.roles import require_role


@require_GET
def targets(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    context = {
        **list_context(),
        "nav": "settings",
        "viewer": request.user,
        "socket_path": "/ws/notifications/",
    }
    return render(request, "abm/notify/list.html", context)


@sensitive_post_parameters("url", "secret")
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest, type: str) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    if request.method == "GET":
        if type not in NotifyTarget.Type.values:
            raise Http404
        return _form(request, NotifyTarget(type=type, kinds=[kind.value for kind in CHOSEN]))
    target, secret = services.add_target(type, _wish(request), user=user_of(request))
    if secret:
        text = f"{target} is signed with {secret} — copy it now, it is not shown again."
        messages.success(request, text)
    return _to_targets(request)


@sensitive_post_parameters("url", "secret")
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, pk: int) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    target = get_object_or_404(NotifyTarget, pk=pk)
    if request.method == "GET":
        return _form(request, target)
    services.change_target(target, _wish(request), user=user_of(request))
    return _to_targets(request)


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    services.test_target(get_object_or_404(NotifyTarget, pk=pk), user=user_of(request))
    return _list(request)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    services.delete_target(get_object_or_404(NotifyTarget, pk=pk), user=user_of(request))
    return _list(request)


def _to_targets(request: HttpRequest) -> HttpResponse:
    """htmx follows a redirect by itself, so it is told to load the page."""
    return send_to(request, "notify:targets")


def _wish(request: HttpRequest) -> services.Wish:
    posted = request.POST
    return services.Wish(
        name=posted.get("name", ""),
        url=posted.get("url", ""),
        kinds=posted.getlist("kind"),
        is_enabled=posted.get("enabled") == "on",
        quiet_from=posted.get("quiet_from", ""),
        quiet_until=posted.get("quiet_until", ""),
        secret=posted.get("secret", ""),
    )


def _form(request: HttpRequest, target: NotifyTarget) -> HttpResponse:
    """What is stored of addresses and secrets is not in it."""
    context = {
        "nav": "settings",
        "target": target,
        "kinds": [(kind.value, kind.label) for kind in CHOSEN],
        "viewer": request.user,
        "socket_path": "/ws/page/",
    }
    return render(request, "abm/notify/target.html", context)


def _list(request: HttpRequest) -> HttpResponse:
    if not is_htmx(request):
        return redirect("notify:targets")
    return render(request, "abm/notify/_list.html", {**list_context(), "viewer": request.user})
