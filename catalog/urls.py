from django.urls import path

from catalog import views

app_name = "catalog"

urlpatterns = [
    path("", views.list_entries, name="list"),
    path("<int:pk>/", views.entry, name="entry"),
    path("sources/add/", views.add_source, name="add_source"),
    path("sources/<int:pk>/sync/", views.sync, name="sync"),
]
