"""Who may ask for what, asked of every address there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.db import transaction
from django.test import Client
from django.urls import resolve

from abm.asgi import make_application
from abm.routing import websocket_urlpatterns
from accounts.host_grants import limit_to_hosts
from accounts.models import User
from accounts.services import set_password
from catalog.models import CatalogEntry, CatalogSource
from engines.models import Engine, Sample
from tests.abm.access_table import pages, sockets
from tests.abm.urls import address, patterns
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import HTMX, browser_of, make_job, make_user

MACHINES = {"readyz", "metrics"}
"""For those who watch abm: tests/abm/test_health.py asks who may."""
PROGRAMS = {one for one in patterns() if one.startswith("api/") or one == "shutdown"} | MACHINES
"""What answers in JSON; tests/api/test_roles.py asks for each of them as everybody."""
DJANGO = {one for one in patterns() if one.startswith("admin/")}
ORDER = [role.value for role in User.Role]
OWN_WAYS = ("accounts/security/again", "accounts/inactive")
"""Refused to who has no password or factor to show, whatever the role."""
SOCKETS = [str(route.pattern) for route in websocket_urlpatterns]


@pytest.fixture
def values(db: None) -> dict[str, dict[str, int]]:
    """Rows to ask for, by the first word of the address."""
    engine: Engine = make_engine()
    source = CatalogSource.objects.create(name="custom", kind=CatalogSource.Kind.CUSTOM)
    entry = CatalogEntry.objects.create(source=source, name="tiny", display_name="Tiny")
    variant = entry.variants.create(tag="1")
    model = engine.engine_models.create(name="small")
    sample = Sample.objects.create(
        name="Ada", file="ada.wav", rate=24_000, channels=1, seconds=7.0, size=100
    )
    job = make_job("running", engine=engine, host=engine.host)
    other = make_user("admin", "other")
    return {
        "engines": {
            "pk": engine.pk,
            "entry_pk": entry.pk,
            "model_pk": model.pk,
            "sample_pk": sample.pk,
        },
        "form": {"variant": variant.pk, "host": engine.host.pk},
        "catalog": {"pk": entry.pk},
        "hosts": {"pk": engine.host.pk},
        "jobs": {"pk": job.pk},
        "accounts": {"pk": other.pk},
    }


def asked(pattern: str, values: dict[str, dict[str, int]]) -> str:
    return address(pattern, **values.get(pattern.split("/")[0], {}))


def test_every_address_and_every_socket_is_in_the_table() -> None:
    assert set(patterns()) - PROGRAMS - DJANGO == set(pages())
    assert set(SOCKETS) == set(sockets())


METHODS = ("get", "post")


@pytest.mark.parametrize("pattern", [*pages(), *sorted(DJANGO)])
def test_nobody_gets_in_without_a_login(
    client: Client, values: dict[str, dict[str, int]], pattern: str
) -> None:
    for method in METHODS:
        answer = getattr(client, method)(asked(pattern, values))

        if pattern == "admin/login/":
            # It only shows the way to abm's own page.
            assert answer["Location"].startswith("/accounts/login/")
        elif pages().get(pattern, {}).get(method) == "anyone":
            assert answer.headers.get("Location", "") in {"", "/accounts/login/"}
        elif "anyone" in pages().get(pattern, {}).values():
            assert answer.status_code in {302, 405}
        else:
            assert answer.status_code == 302, (method, answer.content[:200])
            assert answer["Location"].startswith(("/accounts/login/", "/admin/login/"))


@pytest.mark.parametrize("pattern", pages())
def test_each_role_may_ask_for_what_the_table_says(
    values: dict[str, dict[str, int]], pattern: str
) -> None:
    """Less than the role is 403; enough of it is anything else, such as a 404 or a 409."""
    browsers = {role: browser_of(make_user(role)) for role in ORDER}
    for method in METHODS:
        needed = pages()[pattern][method]
        for role in ORDER if needed != "-" else ["admin"]:
            with transaction.atomic():
                answer = getattr(browsers[role], method)(
                    asked(pattern, values), values["form"], headers=HTMX
                )
                transaction.set_rollback(True)
            told = (method, role, answer.content[:200] if not answer.streaming else b"")
            if needed == "-":
                assert answer.status_code == 405, told
            elif needed in ORDER and ORDER.index(needed) > ORDER.index(role):
                assert answer.status_code == 403, told
            elif not pattern.startswith(OWN_WAYS):
                assert answer.status_code not in {401, 403}, told


TABS = ("try", "logs", "settings", "models", "stats", "updates", "use", "jobs", "details")
OWN_PASSWORD = "accounts/users/<int:pk>/password/"
"""An admin's for others; everybody's for oneself, on one's own page."""


@pytest.mark.engine
@pytest.mark.parametrize("role", ["viewer", "operator", "operator elsewhere"])
def test_no_page_offers_what_would_be_refused(values: dict[str, dict[str, int]], role: str) -> None:
    """Of the forms, buttons and links on the pages that a role may see."""
    user = make_user(role.split()[0])
    engine = Engine.objects.get()
    is_elsewhere = role != user.role
    if is_elsewhere:
        limit_to_hosts(user, hosts=[make_host().host_id], user=make_user("admin", "granting"))
    browser, above = browser_of(user), ORDER[ORDER.index(user.role) + 1 :]
    paths = [asked(pattern, values) for pattern, roles in pages().items() if roles["get"] != "-"]
    paths += [f"/engines/{engine.pk}/?tab={tab}" for tab in TABS]
    refused = set()

    for path in paths:
        answer = browser.get(path)
        if answer.status_code != 200 or "html" not in answer["Content-Type"]:
            continue
        for method, where in offered(answer.content.decode()):
            route = resolve(where).route
            needed = pages().get(route, {}).get(method)
            is_out = is_elsewhere and method == "post" and where in not_theirs(engine)
            if route != OWN_PASSWORD and (needed in above or is_out):
                refused.add((path, method, where))

    assert not refused


def offered(html: str) -> set[tuple[str, str]]:
    """What a page leads to: (method, address)."""
    posts = re.findall(r'<form[^>]* action="(/[^"?#]*)[^>]* method="post"', html)
    posts += re.findall(r' hx-post="(/[^"?#]*)', html)
    looks = re.findall(r' (?:href|hx-get)="(/[^"?#]*)', html)
    looks = [path for path in looks if not path.startswith(("/static/", "/api/", "/admin/"))]
    return {("post", path) for path in posts} | {("get", path) for path in looks}


def not_theirs(engine: Engine) -> set[str]:
    """What acts on this engine and its host."""
    rows = {"engines": engine.pk, "hosts": engine.host_id}
    return {
        address(pattern, pk=rows[room])
        for pattern, roles in pages().items()
        if (room := pattern.split("/")[0]) in rows
        if roles["post"] == "operator" and pattern.startswith(f"{room}/<int:pk>/")
    }


@pytest.mark.parametrize("role", ["viewer", "operator"])
@pytest.mark.parametrize("pattern", ["admin/", "admin/catalog/catalogentry/"])
@pytest.mark.django_db
def test_the_admin_opens_to_admins_only(role: str, pattern: str) -> None:
    answer = browser_of(make_user(role)).get(address(pattern), follow=True)

    assert answer.status_code == 403


def test_the_admin_edits_the_catalog_and_nothing_else(admin: Client) -> None:
    page = admin.get("/admin/").content.decode()

    assert admin.get("/admin/catalog/catalogentry/").status_code == 200
    assert set(re.findall(r'href="/admin/(\w+)/\w+/"', page)) == {"catalog"}


def test_htmx_is_sent_to_the_login_as_a_page(client: Client, db: None) -> None:
    headers = {**HTMX, "HX-Current-URL": "http://testserver/jobs/?status=failed"}

    answer = client.get("/jobs/", headers=headers)

    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2Fjobs%2F%3Fstatus%3Dfailed"


@pytest.mark.parametrize("pattern", SOCKETS)
def test_a_socket_needs_a_login(db: None, pattern: str) -> None:
    opened, closed = async_to_sync(_connect)(address(pattern), origin="http://testserver")

    assert opened
    assert closed == 4401


def test_a_socket_of_another_site_is_refused(db: None) -> None:
    opened, _ = async_to_sync(_connect)("/ws/jobs/", origin="http://evil.example")

    assert not opened


def test_a_socket_that_is_nowhere_is_refused(db: None) -> None:
    with pytest.raises(ValueError, match="No route"):
        async_to_sync(_connect)("/ws/nowhere/", origin="http://testserver")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", [path for path, role in sockets().items() if role == "admin"])
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_an_admins_socket_shows_nothing_to_others(
    values: dict[str, dict[str, int]], path: str, role: str
) -> None:
    session = browser_of(make_user(role)).cookies["abm_session"].value

    said = async_to_sync(_heard)(address(path, pk=values["engines"]["pk"]), session)

    assert all(set(json.loads(text)) == {"says"} for text in said)
    assert bool(said) is path.endswith("/shell/")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", [path for path, role in sockets().items() if role == "viewer"])
def test_a_socket_for_everybody_stays_open_for_each_role(
    values: dict[str, dict[str, int]], path: str
) -> None:
    pk = values.get(path.split("/")[1], {}).get("pk", 1)
    for role in ORDER:
        session = browser_of(make_user(role)).cookies["abm_session"].value

        assert async_to_sync(_stays_open)(address(path, pk=pk), session), role


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["ended", "password", "off"])
@pytest.mark.parametrize("path", ["ws/jobs/", "ws/engines/<int:pk>/logs/"])
def test_an_open_socket_ends_with_its_session(
    values: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch, path: str, how: str
) -> None:
    monkeypatch.setattr("jobs.signed_in.WATCH_SECONDS", 0.05)
    user = make_user("viewer")
    session = browser_of(user).cookies["abm_session"].value

    def end() -> None:
        if how == "ended":
            Session.objects.all().delete()
        elif how == "password":
            set_password(user, password="another fine day", user=None)
        else:
            User.objects.update(is_active=False)

    pk = values["engines"]["pk"]
    assert async_to_sync(_closed_after)(address(path, pk=pk), session, end) == 4401


async def _closed_after(path: str, session: str, end: Callable[[], None]) -> int:
    """The code that the socket is closed with after `end`."""
    socket = await _socket(path, session)
    assert not await _is_closed(socket, seconds=0.2)
    await sync_to_async(end)()
    while (message := await socket.receive_output(timeout=5))["type"] != "websocket.close":
        pass
    return int(message["code"])


async def _is_closed(socket: WebsocketCommunicator, *, seconds: float) -> bool:
    """Whether it is closed by then; what else comes is passed over."""
    while not await socket.receive_nothing(timeout=seconds):
        if (await socket.receive_output())["type"] == "websocket.close":
            return True
    return False


async def _stays_open(path: str, session: str) -> bool:
    """Whether the first thing that comes, if anything, is something else than the end."""
    socket = await _socket(path, session)
    is_silent = await socket.receive_nothing(timeout=0.05)
    is_open = is_silent or (await socket.receive_output())["type"] != "websocket.close"
    await socket.disconnect()
    return is_open


async def _socket(path: str, session: str) -> WebsocketCommunicator:
    headers = [
        (b"host", b"testserver"),
        (b"origin", b"http://testserver"),
        (b"cookie", f"abm_session={session}".encode()),
    ]
    socket = WebsocketCommunicator(make_application(), path, headers=headers)
    assert (await socket.connect())[0]
    return socket


async def _heard(path: str, session: str) -> list[str]:
    """What a socket says within a moment to who opens it."""
    socket = await _socket(path, session)
    await socket.send_to(text_data='{"cols": 80, "rows": 24}')
    said = []
    while not await socket.receive_nothing(timeout=0.3):
        message = await socket.receive_output()
        if message["type"] == "websocket.close":
            break
        said.append(message["text"])
    await socket.disconnect()
    return said


async def _connect(path: str, *, origin: str) -> tuple[bool, int | None]:
    """Whether the socket opened, and the code that it was closed with at once."""
    headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
    socket = WebsocketCommunicator(make_application(), path, headers=headers)
    opened, code = await socket.connect()
    closed = (await socket.receive_output())["code"] if opened else code
    await socket.disconnect()
    return opened, closed


def test_one_who_is_switched_off_is_out_at_once(viewer: Client) -> None:
    User.objects.update(is_active=False)

    assert viewer.get("/jobs/").status_code == 302


def test_every_view_is_found_by_its_address() -> None:
    for pattern in patterns():
        assert resolve(address(pattern))
