from django.urls import path

from hosts import registry_views, views

app_name = "hosts"

urlpatterns = [
    path("", views.list_hosts, name="list"),
    path("registries/add/", registry_views.add, name="add_login"),
    path("registries/<int:pk>/change/", registry_views.change, name="change_login"),
    path("registries/<int:pk>/test/", registry_views.test, name="test_login"),
    path("registries/<int:pk>/delete/", registry_views.delete, name="delete_login"),
    path("<int:pk>/", views.host, name="host"),
    path("<int:pk>/probe/", views.probe, name="probe"),
    path("<int:pk>/skip/", views.skip, name="skip"),
    path("<int:pk>/use/", views.use, name="use"),
    path("<int:pk>/change/", views.change, name="change"),
]
