from django.urls import include, path

from engines import sample_views, settings_views, storage_views, trial_views, update_views, views

app_name = "engines"

urlpatterns = [
    path("", include("engines.sources.urls")),
    path("", views.list_engines, name="list"),
    path("choose/<int:entry_pk>/", views.choose, name="choose"),
    path("install/", views.install, name="install"),
    path("attach/", views.attach, name="attach"),
    path("many/", update_views.many, name="many"),
    path("check-updates/", update_views.check_all, name="check_all"),
    path("update-all/", update_views.update_all, name="update_all"),
    path("samples/", sample_views.list_samples, name="samples"),
    path("samples/<int:sample_pk>/delete/", sample_views.delete_sample, name="delete_sample"),
    path("samples/<int:sample_pk>.wav", sample_views.sample_audio, name="sample_audio"),
    path("hosts/<int:pk>/samples/bring/", sample_views.bring, name="bring_samples"),
    path("hosts/<int:pk>/folders/<str:kind>/", sample_views.make_folder, name="make_folder"),
    path("<int:pk>/", views.engine, name="engine"),
    path("<int:pk>/start/", views.start, name="start"),
    path("<int:pk>/stop/", views.stop, name="stop"),
    path("<int:pk>/restart/", views.restart, name="restart"),
    path("<int:pk>/uninstall/", storage_views.uninstall_engine, name="uninstall"),
    path("<int:pk>/forget/", storage_views.forget, name="forget"),
    path("hosts/<int:pk>/disk/read/", storage_views.read, name="read_disk"),
    path("hosts/<int:pk>/disk/reclaim/", storage_views.reclaim, name="reclaim"),
    path("hosts/<int:pk>/models/delete/", storage_views.delete_models, name="delete_models"),
    path("hosts/<int:pk>/strays/<str:container>/adopt/", storage_views.adopt, name="adopt_stray"),
    path(
        "hosts/<int:pk>/strays/<str:container>/remove/", storage_views.remove, name="remove_stray"
    ),
    path("<int:pk>/detach/", views.detach, name="detach"),
    path("<int:pk>/load/", views.load, name="load"),
    path("<int:pk>/discover/", views.discover, name="discover"),
    path("<int:pk>/test/", views.test, name="test"),
    path("<int:pk>/check-updates/", update_views.check, name="check"),
    path("<int:pk>/update/", update_views.update, name="update"),
    path("<int:pk>/rollback/", update_views.rollback, name="rollback"),
    path("<int:pk>/auto-updates/", update_views.auto_updates, name="auto_updates"),
    path("<int:pk>/default/", views.default, name="default"),
    path("<int:pk>/keep-running/", views.keep_running, name="keep_running"),
    path("<int:pk>/default-model/<int:model_pk>/", views.default_model, name="default_model"),
    path("<int:pk>/parameters/", views.parameters, name="parameters"),
    path("<int:pk>/reset/", views.reset, name="reset"),
    path("<int:pk>/environment/", settings_views.environment, name="environment"),
    path("<int:pk>/container/", settings_views.container, name="container"),
    path("<int:pk>/gpus/", settings_views.gpus, name="gpus"),
    path("<int:pk>/idle/", settings_views.idle, name="idle"),
    path("<int:pk>/logs/", views.logs, name="logs"),
    path("<int:pk>/try/", trial_views.try_engine, name="try"),
    path("<int:pk>/trials/<int:trial_pk>.wav", trial_views.audio, name="audio"),
]
