"""Addresses by the names that django-allauth looks for; only what abm wants of it is here."""

from django.urls import path

from accounts.sign_in.late import late

MFA, OWN = "allauth.mfa", "accounts.sign_in"

sign_in = late(f"{OWN}.views.sign_in", is_open=True)
sign_out = late(f"{OWN}.views.sign_out")
security = late(f"{OWN}.views.security")

urlpatterns = [
    path("login/", sign_in, name="account_login"),
    path("logout/", sign_out, name="account_logout"),
    path("inactive/", late(f"{OWN}.views.inactive", is_open=True), name="account_inactive"),
    path("link/<str:token>/", late(f"{OWN}.views.link", is_open=True), name="sign_in_link"),
    path("reset/", late(f"{OWN}.reset_views.forgotten", is_open=True), name="forgotten"),
    path("reset/<str:token>/", late(f"{OWN}.reset_views.reset", is_open=True), name="reset"),
    path("mail/", late(f"{OWN}.reset_views.mail"), name="set_mail"),
    path("security/", security, name="mfa_index"),
    path("security/", security, name="mfa_list_webauthn"),
    path(
        "security/code/",
        late(f"{MFA}.base.views.authenticate", is_open=True),
        name="mfa_authenticate",
    ),
    path(
        "security/again/",
        late("allauth.account.views.reauthenticate"),
        name="account_reauthenticate",
    ),
    path(
        "security/again/code/", late(f"{MFA}.base.views.reauthenticate"), name="mfa_reauthenticate"
    ),
    path(
        "security/again/passkey/",
        late(f"{MFA}.webauthn.views.reauthenticate_webauthn"),
        name="mfa_reauthenticate_webauthn",
    ),
    path("security/app/", late(f"{MFA}.totp.views.activate_totp"), name="mfa_activate_totp"),
    path(
        "security/app/remove/",
        late(f"{MFA}.totp.views.deactivate_totp"),
        name="mfa_deactivate_totp",
    ),
    path(
        "security/codes/",
        late(f"{MFA}.recovery_codes.views.view_recovery_codes"),
        name="mfa_view_recovery_codes",
    ),
    path(
        "security/codes/new/",
        late(f"{MFA}.recovery_codes.views.generate_recovery_codes"),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "security/passkeys/add/",
        late(f"{MFA}.webauthn.views.add_webauthn"),
        name="mfa_add_webauthn",
    ),
    path(
        "security/passkeys/<int:pk>/remove/",
        late(f"{MFA}.webauthn.views.remove_webauthn"),
        name="mfa_remove_webauthn",
    ),
    path(
        "security/passkeys/login/",
        late(f"{MFA}.webauthn.views.login_webauthn", is_open=True),
        name="mfa_login_webauthn",
    ),
    path("sessions/<int:pk>/end/", late(f"{OWN}.views.end_session"), name="end_session"),
    path("sessions/end/", late(f"{OWN}.views.end_other_sessions"), name="end_other_sessions"),
    path("oidc/disconnect/", late(f"{OWN}.views.disconnect"), name="oidc_disconnect"),
    path(
        "oidc/<str:provider_id>/login/",
        late(f"{OWN}.oidc_views.begin", is_open=True),
        name="openid_connect_login",
    ),
    path(
        "oidc/<str:provider_id>/login/callback/",
        late(f"{OWN}.oidc_views.finish", is_open=True),
        name="openid_connect_callback",
    ),
]
