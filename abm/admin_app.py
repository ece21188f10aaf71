"""Which admin site Django uses."""

from django.contrib.admin.apps import AdminConfig


class AbmAdminConfig(AdminConfig):
    default_site = "abm.admin_site.AbmAdminSite"
