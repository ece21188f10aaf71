"""The wizard that adds a host by SSH, and the page about the way to one."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.asking import is_htmx, send_to, user_of
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.secrets import SecretUnreadable
from hosts import remote
from hosts.models import Host, RemoteAccess
from hosts.removal import delete_host

STEPS = {"where": "Where", "key": "Key", "check": "Check"}


def _user(request: HttpRequest) -> User:
    user = user_of(request)
    require_role(user, User.Role.ADMIN)
    return user


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    status = 400 if context.get("refused") else 200
    page = {"nav": "hosts", "viewer": request.user, "socket_path": "/ws/page/", "steps": STEPS}
    return render(request, template, {**page, **context}, status=status)


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Where: its name and address."""
    user = _user(request)
    draft = remote.being_added(user)
    if request.method == "GET":
        typed = {"name": draft.name, "url": draft.address} if draft else {}
        return _page(request, "hosts/add/where.html", step="where", draft=draft, typed=typed)
    typed = {key: request.POST.get(key, "")[:400] for key in ("name", "url")}
    try:
        remote.begin_adding(user=user, **typed)
    except Refused as refused:
        context = {"typed": typed, "refused": refused, "draft": draft, "step": "where"}
        return _page(request, "hosts/add/where.html", **context)
    return redirect("hosts:add_key")


@require_GET
def add_key(request: HttpRequest) -> HttpResponse:
    """Key: the command to paste there."""
    draft = remote.being_added(_user(request))
    if draft is None:
        return redirect("hosts:add")
    context = {"access": draft, "guides": remote.guides_of(draft), "step": "key"}
    return _page(request, "hosts/add/key.html", **context)


@require_http_methods(["GET", "POST"])
def add_check(request: HttpRequest) -> HttpResponse:
    """Check: the tests, as they go on. Arriving by the button begins them."""
    user = _user(request)
    draft = remote.being_added(user)
    if draft is None:
        return redirect("hosts:add")
    if request.method == "POST":
        remote.ask_check(draft, user=user)
        return _checks(request, draft) if is_htmx(request) else redirect("hosts:add_check")
    socket = f"/ws/access/{draft.pk}/"
    return _page(request, "hosts/add/check.html", access=draft, step="check", socket_path=socket)


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    draft = remote.being_added(user)
    if draft is None:
        return redirect("hosts:add")
    return send_to(request, "hosts:host", pk=remote.save_host(draft, user=user).pk)


@require_POST
def cancel(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    if draft := remote.being_added(user):
        remote.cancel_adding(draft, user=user)
    return redirect("hosts:list")


@require_POST
def accept(request: HttpRequest, access_pk: int) -> HttpResponse:
    """Believe a host key that the person has compared, and go on testing."""
    user = _user(request)
    access = get_object_or_404(RemoteAccess, pk=access_pk)
    if access.host is None and access.owner_pk != user.pk:
        raise Http404("Somebody else is adding this host.")
    remote.accept_key(access, fingerprint=request.POST.get("fingerprint", ""), user=user)
    remote.ask_check(access, user=user)
    return _checks(request, access) if is_htmx(request) else _back(access)


@require_http_methods(["GET", "POST"])
def way(request: HttpRequest, pk: int) -> HttpResponse:
    """How a host is reached: its address, keys and tests."""
    user, access = _user(request), _access(pk)
    typed = {
        "url": access.address,
        "is_always_on": access.is_always_on,
        "waits_while_away": access.waits_while_away,
    }
    if request.method == "GET":
        return _way(request, access, typed=typed)
    typed = {
        "url": request.POST.get("url", "")[:400],
        "is_always_on": "is_always_on" in request.POST,
        "waits_while_away": "waits_while_away" in request.POST,
    }
    try:
        remote.change_remote(access, user=user, **typed)  # type: ignore[arg-type]
    except Refused as refused:
        return _way(request, access, typed=typed, refused=refused)
    return _way(request, access, typed=typed, saved=True)


def _way(request: HttpRequest, access: RemoteAccess, **context: Any) -> HttpResponse:
    try:
        guides, trouble = remote.guides_of(access), ""
    except SecretUnreadable as error:
        guides, trouble = (), str(error)
    page = {
        "access": access,
        "host": access.host,
        "guides": guides,
        "trouble": trouble,
        "socket_path": f"/ws/access/{access.pk}/",
        "engine_count": access.host.engines.exclude(state="absent").count() if access.host else 0,
    }
    return _page(request, "hosts/add/way.html", **page, **context)


@require_POST
def test_way(request: HttpRequest, pk: int) -> HttpResponse:
    user, access = _user(request), _access(pk)
    remote.ask_check(access, user=user)
    return _checks(request, access) if is_htmx(request) else _back(access)


@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    user, access = _user(request), _access(pk)
    if "keep" in request.POST:
        remote.cancel_rotation(access, user=user)
    else:
        remote.begin_rotation(access, user=user)
    return _back(access)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Refused while engines are there; with `forget` they go with it and stay where they are."""
    user, host = _user(request), get_object_or_404(Host, pk=pk)
    if "forget" in request.POST:
        remote.forget_host(host, user=user)
    else:
        delete_host(host, user=user)
    return redirect("hosts:list")


def _access(host_pk: int) -> RemoteAccess:
    return get_object_or_404(RemoteAccess.objects.select_related("host"), host_id=host_pk)


def _checks(request: HttpRequest, access: RemoteAccess) -> HttpResponse:
    access.refresh_from_db()
    context = {"access": access, "viewer": request.user}
    return render(request, "hosts/add/_checks.html", context)


def _back(access: RemoteAccess) -> HttpResponse:
    if access.host is None:
        return redirect("hosts:add_check")
    return redirect("hosts:way", pk=access.host.pk)
