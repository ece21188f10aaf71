"""The first admin, people."""

from __future__ import annotations

from allauth.account.utils import perform_login
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from accounts import services
from accounts.asking import user_of
from accounts.host_grants import GRANTS, all_hosts, hosts_of, limit_to_hosts
from accounts.models import User
from accounts.roles import require_role
from accounts.setup import make_first_admin, require_setup_token


@login_not_required
@sensitive_post_parameters("password")
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind the one-time link."""
    require_setup_token(token)
    if request.method != "POST":
        return render(request, "accounts/setup.html")
    user = make_first_admin(
        token, name=request.POST.get("name", ""), password=request.POST.get("password", "")
    )
    answer: HttpResponse = perform_login(request, user, redirect_url="/")
    return answer


@require_GET
def users(request: HttpRequest) -> HttpResponse:
    require_role(user_of(request), User.Role.ADMIN)
    people = list(User.objects.prefetch_related(GRANTS))
    admins = [person for person in people if person.is_admin and person.is_active]
    context = {
        "nav": "settings",
        "people": [(person, hosts_of(person)) for person in people],
        "only_admin": admins[0] if len(admins) == 1 else None,
        "roles": User.Role.choices,
        "hosts": all_hosts(),
    }
    return render(request, "accounts/users.html", context)


@require_POST
@sensitive_post_parameters("password")
def add(request: HttpRequest) -> HttpResponse:
    made = services.add_user(
        name=request.POST.get("name", ""),
        password=request.POST.get("password", ""),
        role=request.POST.get("role", ""),
        user=user_of(request),
    )
    messages.success(request, f"{made.username} can sign in now.")
    return redirect("accounts:users")


@require_POST
def role(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    services.set_role(person, role=request.POST.get("role", ""), user=user_of(request))
    messages.success(request, f"{person.username} is {person.get_role_display().lower()} now.")
    return redirect("accounts:users")


@require_POST
def hosts(request: HttpRequest, pk: int) -> HttpResponse:
    """Let somebody operate the ticked hosts only, or all again."""
    person = get_object_or_404(User, pk=pk)
    chosen = request.POST.getlist("host") if request.POST.get("limited") == "on" else None
    limit_to_hosts(person, hosts=chosen, user=user_of(request))
    words = "all hosts" if chosen is None else ", ".join(hosts_of(person) or ["no host"])
    messages.success(request, f"{person} operates {words} now.")
    return redirect("accounts:users")


@require_POST
def active(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    is_active = request.POST.get("active") == "on"
    services.set_active(person, is_active=is_active, user=user_of(request))
    words = "can sign in again" if is_active else "cannot sign in any more"
    messages.success(request, f"{person.username} {words}.")
    return redirect("accounts:users")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    services.remove_user(person, user=user_of(request))
    messages.success(request, f"{person.username} was deleted.")
    return redirect("accounts:users")


@require_POST
@sensitive_post_parameters("password", "old")
def password(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    services.set_password(
        person,
        password=request.POST.get("password", ""),
        old=request.POST.get("old", ""),
        user=user_of(request),
    )
    messages.success(request, f"{person.username} has a new password.")
    if person.pk == user_of(request).pk:
        update_session_auth_hash(request, person)
        UserSession.objects.create_from_request(request)
        return redirect("accounts:profile")
    return redirect("accounts:users")
