"""Where django-allauth asks abm: who may come in, where secrets go, what is written down."""

from __future__ import annotations

import logging
from typing import Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest
from django.shortcuts import render

from accounts.audit import note
from accounts.models import User
from accounts.refused import Refused
from accounts.secrets import decrypted, encrypted
from accounts.sign_in.oidc import admit, failed, without_nul

log = logging.getLogger(__name__)

WAYS = {
    "password": "a password",
    "mfa": "a second factor",
    "socialaccount": "single sign-on",
    "link": "a link from the command line",
    "proxy": "the proxy",
}


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves; each sign-in and each change of a factor is noted."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """abm.proxies has put it there."""
        return str(request.META.get("REMOTE_ADDR") or "0.0.0.0")

    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        records = request.session.get("account_authentication_methods") or []
        ways = [WAYS.get(record["method"], record["method"]) for record in records]
        note("user.sign_in", user, user=user, after={"by": " and ".join(dict.fromkeys(ways))})

    def send_notification_mail(
        self, template_prefix: str, user: User, context: Any = None, email: Any = None
    ) -> None:
        """allauth calls this for each change of somebody's factors; abm writes it down instead."""
        what = template_prefix.rsplit("/", 1)[-1]
        note(f"user.{what}"[:64], user, user=user)


class MfaAdapter(DefaultMFAAdapter):
    """Secrets of second factors are encrypted like all others."""

    def encrypt(self, text: str) -> str:
        return encrypted(text)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypted(encrypted_text)

    def get_totp_issuer(self) -> str:
        return "abm"


class SocialAdapter(DefaultSocialAccountAdapter):
    """The provider says who somebody is; abm.settings say what that makes of them here."""

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        """The first that is asked, before anything is looked for or kept."""
        account = sociallogin.account
        account.extra_data = without_nul(account.extra_data)
        return cast(User, super().populate_user(request, sociallogin, data))

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        try:
            admit(request, sociallogin)
        except Refused as refused:
            raise ImmediateHttpResponse(_told(request, refused)) from refused

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Any = None,
        extra_context: Any = None,
    ) -> None:
        log.warning("the provider of OpenID Connect said no: %s %s", error, exception or "")
        raise ImmediateHttpResponse(_told(request, failed()))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return "/accounts/profile/"


def _told(request: HttpRequest, refused: Refused) -> Any:
    context = {"text": refused.message, "code": refused.code, "status": refused.status}
    return render(request, "refused.html", context, status=refused.status)
