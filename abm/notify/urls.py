from django.urls import path

from abm.notify import views

app_name = "notify"

urlpatterns = [
    path("", views.targets, name="targets"),
    path("add/<str:type>/", views.add, name="add"),
    path("<int:pk>/change/", views.change, name="change"),
    path("<int:pk>/test/", views.test, name="test"),
    path("<int:pk>/delete/", views.delete, name="delete"),
]
