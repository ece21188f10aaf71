"""Django's admin, open to the role admin only, signed in through abm's own page."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse


class AbmAdminSite(admin.AdminSite):
    """The catalog's editor."""

    site_header = "abm: the catalog"
    site_title = "abm"
    index_title = "What can be edited here"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "is_admin", False) and request.user.is_active)

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        if request.user.is_authenticated:
            raise PermissionDenied("The admin needs the role admin.")
        return redirect_to_login(request.get_full_path())
