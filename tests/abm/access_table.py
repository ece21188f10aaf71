"""Who may ask for what: the least role for each address of a page, to look (GET) and to act (POST).

`anyone` needs no login, `nobody` is refused always, `-` is not to be asked that way. The API's own
paths carry their role in its OpenAPI document (tests/api/test_roles.py).
"""

from __future__ import annotations

PAGES = """
viewer   -        /
admin    -        /accounts/audit/
admin    -        /accounts/audit/<str:form>/
anyone   -        /accounts/inactive/
anyone   anyone   /accounts/link/<str:token>/
anyone   anyone   /accounts/login/
-        viewer   /accounts/logout/
anyone   anyone   /accounts/oidc/<str:provider_id>/login/
anyone   anyone   /accounts/oidc/<str:provider_id>/login/callback/
-        viewer   /accounts/oidc/disconnect/
viewer   -        /accounts/profile/
viewer   -        /accounts/security/
viewer   viewer   /accounts/security/again/
viewer   viewer   /accounts/security/again/code/
viewer   viewer   /accounts/security/again/passkey/
viewer   viewer   /accounts/security/app/
viewer   viewer   /accounts/security/app/remove/
anyone   anyone   /accounts/security/code/
viewer   -        /accounts/security/codes/
viewer   viewer   /accounts/security/codes/new/
viewer   viewer   /accounts/security/passkeys/<int:pk>/remove/
viewer   viewer   /accounts/security/passkeys/add/
anyone   anyone   /accounts/security/passkeys/login/
-        viewer   /accounts/sessions/<int:pk>/end/
-        viewer   /accounts/sessions/end/
-        viewer   /accounts/mail/
anyone   anyone   /accounts/reset/
anyone   anyone   /accounts/reset/<str:token>/
anyone   anyone   /accounts/setup/<str:token>/
-        viewer   /accounts/tokens/<int:pk>/revoke/
-        viewer   /accounts/tokens/add/
admin    -        /accounts/users/
-        admin    /accounts/users/<int:pk>/active/
-        admin    /accounts/users/<int:pk>/delete/
-        admin    /accounts/users/<int:pk>/hosts/
-        admin    /accounts/users/<int:pk>/password/
-        admin    /accounts/users/<int:pk>/role/
-        admin    /accounts/users/add/
viewer   -        /catalog/
viewer   -        /catalog/<int:pk>/
-        operator /catalog/sources/<int:pk>/sync/
-        admin    /catalog/sources/add/
viewer   -        /docs/
viewer   -        /engine-hosts
viewer   -        /engine-hosts/
viewer   -        /engine-hosts/<str:host_id>
viewer   -        /engine-hosts/<str:host_id>/
viewer   -        /engines/
viewer   -        /engines/<int:pk>/
-        operator /engines/<int:pk>/auto-updates/
-        operator /engines/<int:pk>/check-updates/
-        operator /engines/<int:pk>/container/
-        operator /engines/<int:pk>/copy-image/
-        operator /engines/<int:pk>/default-model/<int:model_pk>/
-        operator /engines/<int:pk>/default/
-        admin    /engines/<int:pk>/detach/
-        operator /engines/<int:pk>/discover/
-        admin    /engines/<int:pk>/environment/
-        operator /engines/<int:pk>/forget/
-        operator /engines/<int:pk>/gpus/
-        operator /engines/<int:pk>/idle/
-        operator /engines/<int:pk>/keep-running/
-        operator /engines/<int:pk>/load/
viewer   -        /engines/<int:pk>/logs/
-        operator /engines/<int:pk>/parameters/
-        operator /engines/<int:pk>/reset/
-        operator /engines/<int:pk>/restart/
-        operator /engines/<int:pk>/rollback/
-        operator /engines/<int:pk>/save-image/
-        operator /engines/<int:pk>/start/
-        operator /engines/<int:pk>/stop/
-        operator /engines/<int:pk>/test/
viewer   -        /engines/<int:pk>/trials/<int:trial_pk>.wav
-        operator /engines/<int:pk>/try/
operator operator /engines/<int:pk>/uninstall/
-        operator /engines/<int:pk>/update/
-        admin    /engines/attach/
-        operator /engines/check-updates/
operator -        /engines/choose/<int:entry_pk>/
-        operator /engines/hosts/<int:pk>/disk/read/
-        admin    /engines/hosts/<int:pk>/disk/reclaim/
-        admin    /engines/hosts/<int:pk>/folders/<str:kind>/
-        operator /engines/hosts/<int:pk>/models/delete/
-        operator /engines/hosts/<int:pk>/samples/bring/
-        operator /engines/hosts/<int:pk>/strays/<str:container>/adopt/
-        operator /engines/hosts/<int:pk>/strays/<str:container>/remove/
operator -        /engines/images/
operator -        /engines/images/<int:entry_pk>/catalog.yaml
operator operator /engines/images/<int:pk>/push/
-        admin    /engines/images/build/
-        operator /engines/images/examine/
-        admin    /engines/images/load/
operator operator /engines/images/register/
operator -        /engines/images/saved/<int:job_pk>/
-        operator /engines/images/upload/
operator operator /engines/images/upload/<str:token>/
-        operator /engines/images/upload/<str:token>/load/
-        operator /engines/install/
-        operator /engines/many/
viewer   operator /engines/samples/
viewer   -        /engines/samples/<int:sample_pk>.wav
-        operator /engines/samples/<int:sample_pk>/delete/
-        operator /engines/update-all/
viewer   -        /hosts/
viewer   -        /hosts/<int:pk>/
-        admin    /hosts/<int:pk>/change/
-        admin    /hosts/<int:pk>/delete/
-        operator /hosts/<int:pk>/probe/
-        admin    /hosts/<int:pk>/skip/
-        admin    /hosts/<int:pk>/use/
admin    admin    /hosts/<int:pk>/way/
-        admin    /hosts/<int:pk>/way/key/
-        admin    /hosts/<int:pk>/way/test/
-        admin    /hosts/access/<int:access_pk>/accept/
admin    admin    /hosts/add/
-        admin    /hosts/add/cancel/
admin    admin    /hosts/add/check/
admin    -        /hosts/add/key/
-        admin    /hosts/add/save/
admin    admin    /hosts/registries/<int:pk>/change/
-        admin    /hosts/registries/<int:pk>/delete/
-        admin    /hosts/registries/<int:pk>/test/
admin    admin    /hosts/registries/add/
viewer   -        /jobs/
viewer   -        /jobs/<int:pk>/
-        operator /jobs/<int:pk>/cancel/
viewer   -        /jobs/<int:pk>/log/
-        operator /jobs/<int:pk>/retry/
admin    -        /notifications/
admin    admin    /notifications/<int:pk>/change/
-        admin    /notifications/<int:pk>/delete/
-        admin    /notifications/<int:pk>/test/
admin    admin    /notifications/add/<str:type>/
viewer   -        /search/
viewer   -        /settings/
admin    -        /style/
admin    -        /system/
admin    -        /system/diagnostics/
admin    -        /system/seen/
admin    -        /system/stream/
"""

SOCKETS = """
viewer   ws/page/
viewer   ws/dashboard/
viewer   ws/settings/
viewer   ws/notifications/
viewer   ws/jobs/
viewer   ws/jobs/<int:pk>/
viewer   ws/engines/
viewer   ws/engines/<int:pk>/
viewer   ws/engines/<int:pk>/logs/
admin    ws/engines/<int:pk>/shell/
viewer   ws/hosts/
viewer   ws/hosts/<int:pk>/
viewer   ws/catalog/
admin    ws/access/<int:pk>/
"""


def pages() -> dict[str, dict[str, str]]:
    """By pattern: the role for each method."""
    rows = [line.split() for line in PAGES.strip().splitlines()]
    return {path.removeprefix("/"): {"get": look, "post": act} for look, act, path in rows}


def sockets() -> dict[str, str]:
    rows = [line.split() for line in SOCKETS.strip().splitlines()]
    return {path: role for role, path in rows}
