"""An operator who is limited to some hosts: on the others they only look, by every door."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from abm.api import document
from abm.attention import troubles
from accounts.audit_models import AuditEntry
from accounts.host_grants import hosts_of, limit_to_hosts
from accounts.models import User
from accounts.refused import Refused
from accounts.tokens import create_token
from engines.consumers import EnginesConsumer
from engines.enabling import clear_default
from engines.models import Engine
from engines.queries import EngineFilter
from engines.services import set_default_engine
from hosts.models import Host
from tests.abm.access_table import pages
from tests.abm.urls import address
from tests.api.conftest import Program
from tests.engines.factories import make_engine, make_host, make_variant
from tests.pages.factories import HTMX, browser_of, make_job, make_user

OF_A_HOST = [
    pattern
    for pattern, roles in pages().items()
    if roles["post"] == "operator"
    and pattern.startswith(("engines/<int:pk>/", "engines/hosts/", "hosts/<int:pk>/", "jobs/<int"))
]
OPERATIONS = [
    (method, path)
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
    if operation["x-role"] == "operator" and re.search(r"{(host_id|variant_id|job_id)}", path)
]
BODIES = {
    "delete": {"source": "/models", "path": "small"},
    "auto-updates": {"autoUpdates": True},
    "keep-running": {"keepRunning": True},
    "load": {"modelName": "small"},
    "gpus": {"mode": "none"},
    "copy-image": {"hostId": "docker:local"},
}
"""What must be said to be heard, by the last word of the address."""


@pytest.fixture
def engine(db: None) -> Engine:
    host = make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    made = make_engine(name="tiny", variant=make_variant(name="tiny"), host=host)
    made.engine_models.create(name="small")
    return made


@pytest.fixture
def limited(engine: Engine) -> User:
    """An operator of another host than the engine's."""
    make_host(host_id="docker:other", host_type=Host.Type.DOCKER_LOCAL)
    return limit_to_hosts(make_user("operator", "olga"), hosts=["docker:other"], user=None)


def path_of(pattern: str, engine: Engine) -> str:
    model = engine.engine_models.get()
    pk = engine.host_id if "hosts/" in pattern else engine.pk
    if pattern.startswith("jobs/"):
        pk = make_job("running", engine=engine, host=engine.host).pk
    return address(pattern, pk=pk, model_pk=model.pk)


def test_the_table_has_what_is_asked_for() -> None:
    assert len(OF_A_HOST) > 25
    assert len(OPERATIONS) > 15


@pytest.mark.parametrize("pattern", OF_A_HOST)
def test_no_page_lets_them_change_a_host_that_is_not_theirs(
    engine: Engine, limited: User, pattern: str
) -> None:
    path = path_of(pattern, engine)

    refused = browser_of(limited).post(path, {"keeps": "on"}, headers=HTMX)

    assert refused.status_code == 403, refused.content[:300]
    assert "may not change anything on this host" in refused.content.decode()
    limit_to_hosts(limited, hosts=[engine.host.host_id], user=None)
    assert browser_of(limited).post(path, {"keeps": "on"}, headers=HTMX).status_code != 403


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_operation_of_the_api_does_either(
    engine: Engine, limited: User, method: str, path: str
) -> None:
    job = make_job("running", engine=engine, host=engine.host)
    program = Program(create_token(limited, name="test", role="operator", user=None)[1])
    values = {
        "host_id": engine.host.host_id,
        "variant_id": f"{engine.name}:{engine.host.host_id}",
        "engine_type": engine.engine_type,
        "job_id": str(job.pk),
    }
    asked = re.sub(r"{(\w+)}", lambda found: values.get(found[1], "1"), path)

    asked += "?force=true" if path.endswith("/install") else ""

    answer = program.ask(method.upper(), asked, BODIES.get(path.rsplit("/", 1)[-1], {}))

    assert answer.status_code == 403, answer.content[:300]
    assert answer.json()["detail"] == "[HOST_NOT_GRANTED]"


def test_they_go_on_seeing_everything(engine: Engine, limited: User) -> None:
    browser = browser_of(limited)

    for path in (f"/engines/{engine.pk}/", f"/hosts/{engine.host_id}/", "/engines/", "/hosts/"):
        assert str(engine.host) in browser.get(path).content.decode()


@pytest.mark.parametrize("tab", ["try", "settings", "models", "details"])
def test_a_page_offers_nothing_that_would_be_refused(
    engine: Engine, limited: User, tab: str
) -> None:
    path = f"/engines/{engine.pk}/?tab={tab}"
    before = browser_of(limited).get(path).content.decode()
    limit_to_hosts(limited, hosts=[engine.host.host_id], user=None)
    after = browser_of(limited).get(path).content.decode()

    assert f'hx-post="/engines/{engine.pk}/' not in before.replace("/parameters/", "")
    assert f'hx-post="/engines/{engine.pk}/start/"' in after


def test_a_socket_draws_with_the_rights_of_its_person(engine: Engine, limited: User) -> None:
    consumer = EnginesConsumer()
    consumer.rows, consumer.filter = {engine.pk}, EngineFilter()

    assert "start/" not in consumer.render_row(engine.pk, User.objects.get(pk=limited.pk))
    limit_to_hosts(limited, hosts=None, user=None)
    assert "start/" in consumer.render_row(engine.pk, User.objects.get(pk=limited.pk))


def test_the_dashboard_offers_help_for_their_own_hosts_alone(engine: Engine, limited: User) -> None:
    Engine.objects.update(state=Engine.State.FAILED, error="It fell over.")
    restart = f"/engines/{engine.pk}/restart/"
    assert any(trouble.post_url == restart for trouble in troubles())

    assert restart not in browser_of(limited).get("/").content.decode()
    limit_to_hosts(limited, hosts=[engine.host.host_id], user=None)
    assert restart in browser_of(limited).get("/").content.decode()


def test_a_default_on_a_host_that_is_not_theirs_stays(engine: Engine, limited: User) -> None:
    set_default_engine(engine, user=None)
    other = make_engine(name="own", host=Host.objects.get(host_id="docker:other"))

    with pytest.raises(Refused, match="may not change anything"):
        set_default_engine(other, user=limited)
    with pytest.raises(Refused, match="may not change anything"):
        clear_default(engine.engine_type, user=limited)
    assert Engine.objects.get(is_default=True) == engine


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_the_limit_changes_nothing_for_other_roles(engine: Engine, role: str) -> None:
    user = limit_to_hosts(make_user(role), hosts=[], user=None)

    answer = browser_of(user).post(f"/engines/{engine.pk}/keep-running/", {}, headers=HTMX)

    assert answer.status_code == (200 if role == "admin" else 403)


def test_an_admin_limits_somebody_on_the_page_of_people(admin: Client, limited: User) -> None:
    page = admin.get("/accounts/users/").content.decode()
    assert re.search(r'value="docker:other" checked', page)

    form = {"limited": "on", "host": [host.host_id for host in Host.objects.all()]}
    admin.post(f"/accounts/users/{limited.pk}/hosts/", form)
    assert hosts_of(limited) == sorted(form["host"])

    admin.post(f"/accounts/users/{limited.pk}/hosts/", {"host": "docker:other"})
    assert hosts_of(User.objects.get(pk=limited.pk)) is None
    assert "All hosts" in admin.get("/accounts/users/").content.decode()


def test_the_profile_says_on_which_hosts(limited: User) -> None:
    page = browser_of(limited).get("/accounts/profile/").content.decode()

    assert "You are operator here, on <code>docker:other</code>." in page


def test_a_limit_is_in_the_audit_and_the_same_again_is_told_as_nothing(limited: User) -> None:
    entry = AuditEntry.objects.filter(verb="user.hosts").latest("pk")

    assert (entry.object_name, entry.before, entry.after) == (
        "olga",
        {"hosts": "all"},
        {"hosts": "docker:other"},
    )


def test_an_unknown_host_is_refused_and_nothing_changes(admin: Client, limited: User) -> None:
    answer = admin.post(
        f"/accounts/users/{limited.pk}/hosts/", {"limited": "on", "host": "docker:nowhere"}
    )

    assert answer.status_code == 404
    assert hosts_of(limited) == ["docker:other"]


def test_the_api_limits_and_tells(limited: User) -> None:
    root = make_user("admin", "root")
    program = Program(create_token(root, name="test", role="admin", user=None)[1])
    path = f"/api/users/{limited.pk}"

    assert program.patch(path, {"hosts": []}).json()["hosts"] == []
    assert program.patch(path, {"role": "operator"}).json()["hosts"] == []
    assert program.patch(path, {"hosts": None}).json()["hosts"] is None
    refused = program.patch(path, {"hosts": ["docker:nowhere"]})
    assert refused.json()["detail"] == "[HOST_NOT_FOUND]hostId:docker:nowhere"
    named = {one["name"]: one["hosts"] for one in program.get("/api/users").json()["users"]}
    assert named == {"olga": None, "root": None}


def test_a_grant_goes_with_its_host(limited: User) -> None:
    Host.objects.filter(host_id="docker:other").delete()

    assert hosts_of(User.objects.get(pk=limited.pk)) == []
