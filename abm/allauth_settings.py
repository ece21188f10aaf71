"""What django-allauth reads from the settings: its pages, forms and rules as abm wants them."""

from __future__ import annotations

from typing import Any

ACCOUNT_ADAPTER = "accounts.sign_in.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
SOCIALACCOUNT_ADAPTER = "accounts.sign_in.adapters.SocialAdapter"
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = ""
MFA_ADAPTER = "accounts.sign_in.adapters.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_TOLERANCE = 1
"""Clocks may differ by one period of 30 s."""


def providers(
    url: str, *, name: str, client_id: str, secret: str, scopes: list[str]
) -> dict[str, Any]:
    """The one provider of OpenID Connect that the settings name; none without an address."""
    if not url:
        return {}
    app = {
        "provider_id": "oidc",
        "name": name,
        "client_id": client_id,
        "secret": secret,
        "settings": {"server_url": url},
    }
    return {"openid_connect": {"SCOPE": scopes, "OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
