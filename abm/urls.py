"""Where everything is."""

from django.contrib import admin
from django.urls import include, path

from abm import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("search/", views.search, name="search"),
    path("settings/", views.settings_page, name="settings"),
    path("style/", views.style, name="style"),
    path("accounts/", include("accounts.urls")),
    path("engines/", include("engines.urls")),
    path("catalog/", include("catalog.urls")),
    path("hosts/", include("hosts.urls")),
    path("jobs/", include("jobs.urls")),
    path("admin/", admin.site.urls),
]
