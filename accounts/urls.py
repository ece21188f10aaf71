from django.urls import path

from accounts import audit_views, token_views, views
from accounts.sign_in.urls import sign_in, sign_out

app_name = "accounts"

urlpatterns = [
    path("login/", sign_in, name="login"),
    path("logout/", sign_out, name="logout"),
    path("setup/<str:token>/", views.setup, name="setup"),
    path("profile/", token_views.profile, name="profile"),
    path("tokens/add/", token_views.add_token, name="add_token"),
    path("tokens/<int:pk>/revoke/", token_views.revoke, name="revoke_token"),
    path("users/", views.users, name="users"),
    path("users/add/", views.add, name="add"),
    path("users/<int:pk>/role/", views.role, name="role"),
    path("users/<int:pk>/hosts/", views.hosts, name="hosts"),
    path("users/<int:pk>/active/", views.active, name="active"),
    path("users/<int:pk>/delete/", views.delete, name="delete"),
    path("users/<int:pk>/password/", views.password, name="password"),
    path("audit/", audit_views.audit, name="audit"),
    path("audit/<str:form>/", audit_views.export, name="audit_export"),
]
