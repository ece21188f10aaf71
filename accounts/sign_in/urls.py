"""Addresses by the names that django-allauth looks for; only what abm wants of it is here."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.urls import path

from accounts.sign_in import oidc_views, reset_views, views

urlpatterns = [
    path("login/", views.SignIn.as_view(), name="account_login"),
    path("logout/", views.SignOut.as_view(), name="account_logout"),
    path("inactive/", views.inactive, name="account_inactive"),
    path("link/<str:token>/", views.link, name="sign_in_link"),
    path("reset/", reset_views.forgotten, name="forgotten"),
    path("reset/<str:token>/", reset_views.reset, name="reset"),
    path("mail/", reset_views.mail, name="set_mail"),
    path("security/", views.security, name="mfa_index"),
    path("security/", views.security, name="mfa_list_webauthn"),
    path("security/code/", mfa.authenticate, name="mfa_authenticate"),
    path("security/again/", account.reauthenticate, name="account_reauthenticate"),
    path("security/again/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path(
        "security/again/passkey/",
        webauthn.reauthenticate_webauthn,
        name="mfa_reauthenticate_webauthn",
    ),
    path("security/app/", totp.activate_totp, name="mfa_activate_totp"),
    path("security/app/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("security/codes/", codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("security/codes/new/", codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("security/passkeys/add/", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path(
        "security/passkeys/<int:pk>/remove/", webauthn.remove_webauthn, name="mfa_remove_webauthn"
    ),
    path("security/passkeys/login/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path("sessions/<int:pk>/end/", views.end_session, name="end_session"),
    path("sessions/end/", views.end_other_sessions, name="end_other_sessions"),
    path("oidc/disconnect/", views.disconnect, name="oidc_disconnect"),
    path("oidc/<str:provider_id>/login/", oidc_views.begin, name="openid_connect_login"),
    path(
        "oidc/<str:provider_id>/login/callback/", oidc_views.finish, name="openid_connect_callback"
    ),
]
