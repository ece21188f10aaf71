"""The way in: the sign-in page, second factors, passkeys, sessions, links of the command line."""

from __future__ import annotations

from allauth.account.internal.flows.login import perform_password_login, record_authentication
from allauth.account.models import Login
from allauth.account.utils import perform_login
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.asking import user_of
from accounts.audit import note
from accounts.forms import SignInForm
from accounts.models import User
from accounts.refused import Refused
from accounts.setup import needs_setup
from accounts.sign_in import sessions
from accounts.sign_in.link import person_of
from accounts.sign_in.oidc import PROVIDER
from accounts.sign_in.reset import may_reset


def may_use_passkeys(request: HttpRequest) -> bool:
    """Browsers offer passkeys over https only, and on localhost."""
    return request.is_secure() or request.get_host().partition(":")[0] == "localhost"


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    """Django's own view with abm's form; a second factor is asked for after it."""

    template_name = "accounts/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not settings.PASSWORD_SIGN_IN:
            raise Refused(
                "PASSWORD_OFF",
                "Passwords are switched off here. Use single sign-on, or have an admin make a "
                "link: manage.py abm users link NAME.",
                status=403,
            )
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: SignInForm) -> HttpResponse:  # type: ignore[override]
        login = Login(user=form.get_user(), redirect_url=self.get_success_url())
        name = {"username": form.get_user().get_username()}
        answer: HttpResponse = perform_password_login(self.request, name, login)
        return answer

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(
            needs_setup=needs_setup(),
            has_passwords=settings.PASSWORD_SIGN_IN,
            may_reset=may_reset(),
            oidc=settings.OIDC_NAME if settings.OIDC_URL else "",
            oidc_provider=PROVIDER,
            has_passkeys=may_use_passkeys(self.request) and _has_passkeys(),
            **kwargs,
        )


def _has_passkeys() -> bool:
    return bool(Authenticator.objects.filter(type=Authenticator.Type.WEBAUTHN).exists())


class SignOut(LogoutView):
    """Django's own; who goes is noted."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if isinstance(request.user, User):
            note("user.sign_out", request.user, user=request.user)
        return super().post(request, *args, **kwargs)


sign_in = SignIn.as_view()
sign_out = SignOut.as_view()


@require_GET
@login_not_required
def inactive(request: HttpRequest) -> HttpResponse:
    raise Refused("SWITCHED_OFF", "You may not sign in any more. Ask an admin.", status=403)


@require_GET
def security(request: HttpRequest) -> HttpResponse:
    """One's own factors and sessions."""
    user = user_of(request)
    factors = {
        factor.type: factor
        for factor in Authenticator.objects.filter(user=user)
        if factor.type != Authenticator.Type.WEBAUTHN
    }
    codes = factors.get(Authenticator.Type.RECOVERY_CODES)
    context = {
        "nav": "profile",
        "app": factors.get(Authenticator.Type.TOTP),
        "codes": codes,
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "passkeys": [
            {"pk": key.pk, "name": key.wrap().name, "used_at": key.last_used_at}
            for key in Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN)
        ],
        "may_use_passkeys": may_use_passkeys(request),
        "sessions": sessions.sessions_of(user, key=request.session.session_key),
        "oidc": settings.OIDC_NAME if settings.OIDC_URL else "",
        "oidc_provider": PROVIDER,
        "is_connected": SocialAccount.objects.filter(user=user).exists(),
    }
    return render(request, "accounts/security.html", context)


@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    sessions.end_session(pk, user=user_of(request))
    messages.success(request, "That session has ended.")
    return redirect("mfa_index")


@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    key = request.session.session_key
    count = sessions.end_other_sessions(user=user_of(request), key=key)
    messages.success(request, f"{count} other session{'' if count == 1 else 's'} ended.")
    return redirect("mfa_index")


@require_POST
def disconnect(request: HttpRequest) -> HttpResponse:
    """Forget one's account at the provider. Raises Refused OIDC_NEEDED."""
    user = user_of(request)
    if not settings.PASSWORD_SIGN_IN or not user.has_usable_password():
        raise Refused("OIDC_NEEDED", "Without it you could not sign in. Set a password first.")
    SocialAccount.objects.filter(user=user).delete()
    note("user.disconnect", user, user=user)
    return redirect("mfa_index")


@require_http_methods(["GET", "POST"])
@login_not_required
def link(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind a link of the command line: a press of the button, and one is in."""
    person = person_of(token)
    if request.method == "GET":
        return render(request, "accounts/link.html", {"person": person})
    record_authentication(request, person, method="link")
    answer: HttpResponse = perform_login(request, person, redirect_url="/")
    return answer
