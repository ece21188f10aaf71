from django.urls import path

from engines.sources import views

urlpatterns = [
    path("images/", views.add, name="add_image"),
    path("images/build/", views.build, name="build_image"),
    path("images/examine/", views.examine, name="examine_image"),
    path("images/load/", views.load, name="load_image"),
    path("images/upload/", views.upload, name="upload_image"),
    path("images/upload/<str:token>/", views.part, name="upload_part"),
    path("images/upload/<str:token>/load/", views.finish, name="upload_finish"),
    path("images/register/", views.register_image, name="register_image"),
    path("images/<int:pk>/push/", views.push, name="push_image"),
    path("images/<int:entry_pk>/catalog.yaml", views.export, name="export_entry"),
    path("images/saved/<int:job_pk>/", views.saved, name="saved_image"),
    path("<int:pk>/copy-image/", views.copy, name="copy_image"),
    path("<int:pk>/save-image/", views.save, name="save_image"),
]
