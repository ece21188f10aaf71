"""Doors for a forgotten password: ask for a mail, use its link, say where mails go."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.asking import user_of
from accounts.sign_in.reset import ask_reset, person_of, require_mail, reset_password, set_mail


@require_http_methods(["GET", "POST"])
@login_not_required
def forgotten(request: HttpRequest) -> HttpResponse:
    """Answers alike whether somebody has this address or nobody."""
    require_mail()
    if request.method == "GET":
        return render(request, "accounts/forgotten.html")
    ask_reset(request.POST.get("mail", ""), address=request.META.get("REMOTE_ADDR", ""))
    return render(request, "accounts/forgotten.html", {"is_asked": True})


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
@login_not_required
def reset(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind the link of a mail."""
    person = person_of(token)
    if request.method == "GET":
        return render(request, "accounts/reset.html", {"person": person})
    reset_password(token, password=request.POST.get("password", ""))
    messages.success(request, "Your new password is set. Sign in with it.")
    return redirect("accounts:login")


@require_POST
def mail(request: HttpRequest) -> HttpResponse:
    set_mail(user_of(request), mail=request.POST.get("mail", ""), user=user_of(request))
    messages.success(request, "Your mail address is set.")
    return redirect("accounts:profile")
