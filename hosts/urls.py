from django.urls import path

from hosts import views

app_name = "hosts"

urlpatterns = [
    path("", views.list_hosts, name="list"),
    path("<int:pk>/", views.host, name="host"),
    path("<int:pk>/probe/", views.probe, name="probe"),
    path("<int:pk>/skip/", views.skip, name="skip"),
    path("<int:pk>/use/", views.use, name="use"),
    path("<int:pk>/change/", views.change, name="change"),
]
