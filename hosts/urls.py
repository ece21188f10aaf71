from django.urls import path

from hosts import registry_views, remote_views, views

app_name = "hosts"

urlpatterns = [
    path("", views.list_hosts, name="list"),
    path("registries/add/", registry_views.add, name="add_login"),
    path("registries/<int:pk>/change/", registry_views.change, name="change_login"),
    path("registries/<int:pk>/test/", registry_views.test, name="test_login"),
    path("registries/<int:pk>/delete/", registry_views.delete, name="delete_login"),
    path("add/", remote_views.add, name="add"),
    path("add/key/", remote_views.add_key, name="add_key"),
    path("add/check/", remote_views.add_check, name="add_check"),
    path("add/save/", remote_views.save, name="add_save"),
    path("add/cancel/", remote_views.cancel, name="add_cancel"),
    path("access/<int:access_pk>/accept/", remote_views.accept, name="accept_key"),
    path("<int:pk>/", views.host, name="host"),
    path("<int:pk>/probe/", views.probe, name="probe"),
    path("<int:pk>/skip/", views.skip, name="skip"),
    path("<int:pk>/use/", views.use, name="use"),
    path("<int:pk>/way/", remote_views.way, name="way"),
    path("<int:pk>/way/test/", remote_views.test_way, name="test_way"),
    path("<int:pk>/way/key/", remote_views.rotate, name="rotate"),
    path("<int:pk>/delete/", remote_views.delete, name="delete"),
    path("<int:pk>/change/", views.change, name="change"),
]
