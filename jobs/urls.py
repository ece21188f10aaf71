from django.urls import path

from jobs import views

app_name = "jobs"

urlpatterns = [
    path("", views.list_jobs, name="list"),
    path("<int:pk>/", views.job, name="job"),
    path("<int:pk>/cancel/", views.cancel, name="cancel"),
    path("<int:pk>/retry/", views.retry, name="retry"),
    path("<int:pk>/log/", views.log, name="log"),
]
