"""Every socket's address. One socket a page; a page without parts of its own hears the ring."""

from django.urls import path

from abm.consumers import DashboardConsumer, SettingsConsumer
from abm.notify.consumers import NotifyConsumer
from catalog.consumers import CatalogConsumer
from engines.consumers import EngineConsumer, EnginesConsumer, LogsConsumer
from engines.shell_consumer import ShellConsumer
from hosts.consumers import HostConsumer, HostsConsumer
from hosts.remote_consumers import AccessConsumer
from jobs.consumers import JobConsumer, JobsConsumer, LiveConsumer

websocket_urlpatterns = [
    path("ws/page/", LiveConsumer.as_asgi()),
    path("ws/dashboard/", DashboardConsumer.as_asgi()),
    path("ws/settings/", SettingsConsumer.as_asgi()),
    path("ws/notifications/", NotifyConsumer.as_asgi()),
    path("ws/jobs/", JobsConsumer.as_asgi()),
    path("ws/jobs/<int:pk>/", JobConsumer.as_asgi()),
    path("ws/engines/", EnginesConsumer.as_asgi()),
    path("ws/engines/<int:pk>/", EngineConsumer.as_asgi()),
    path("ws/engines/<int:pk>/logs/", LogsConsumer.as_asgi()),
    path("ws/engines/<int:pk>/shell/", ShellConsumer.as_asgi()),
    path("ws/hosts/", HostsConsumer.as_asgi()),
    path("ws/hosts/<int:pk>/", HostConsumer.as_asgi()),
    path("ws/access/<int:pk>/", AccessConsumer.as_asgi()),
    path("ws/catalog/", CatalogConsumer.as_asgi()),
]
