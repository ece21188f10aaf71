"""Where everything is."""

from django.contrib import admin
from django.urls import include, path

from abm import health_views, system_views, views
from abm.api_door import shutdown
from abm.late_urls import late

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("search/", views.search, name="search"),
    path("settings/", views.settings_page, name="settings"),
    path("system/", system_views.system, name="system"),
    path("system/seen/", system_views.seen, name="system_seen"),
    path("system/stream/", system_views.stream, name="system_stream"),
    path("system/diagnostics/", system_views.diagnostics, name="system_diagnostics"),
    path("style/", views.style, name="style"),
    path("readyz", health_views.readyz, name="readyz"),
    path("metrics", health_views.metrics, name="metrics"),
    path("notifications/", include("abm.notify.urls")),
    path("accounts/", include("accounts.urls")),
    path("accounts/", include("accounts.sign_in.urls")),
    path("engines/", include("engines.urls")),
    path("catalog/", include("catalog.urls")),
    path("hosts/", include("hosts.urls")),
    path("jobs/", include("jobs.urls")),
    path("admin/", admin.site.urls),
    path("docs/", views.api, name="api"),
    late("api/", "abm.api"),
    path("shutdown", shutdown),
    path("engine-hosts", views.engine_hosts),
    path("engine-hosts/", views.engine_hosts),
    path("engine-hosts/<str:host_id>", views.engine_host),
    path("engine-hosts/<str:host_id>/", views.engine_host),
]
