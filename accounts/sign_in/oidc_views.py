"""To the provider of OpenID Connect and back; one that does not answer is a sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import requests
from allauth.socialaccount.providers.openid_connect import views
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse

from accounts.sign_in.oidc import failed

log = logging.getLogger(__name__)
View = Callable[[HttpRequest, str], Any]


def _kindly(view: View) -> View:
    """allauth lets errors of the network through, and trusts what the provider says of itself."""

    def asked(request: HttpRequest, provider_id: str) -> Any:
        try:
            return view(request, provider_id)
        except (requests.RequestException, KeyError) as error:
            log.warning("the provider of OpenID Connect gave no usable answer: %s", error)
            raise failed() from error

    return login_not_required(asked)


begin: Callable[..., HttpResponse] = _kindly(views.login)
finish: Callable[..., HttpResponse] = _kindly(views.callback)
