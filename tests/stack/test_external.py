"""compose.external.yml on a PostgreSQL and a Redis beside it, through a proxy of Docker's API."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from docker.models.containers import Container
from playwright.sync_api import Browser, Page, expect

from lab.own import OwnDaemon
from tests.abm.apart import wait_until
from tests.browser.server import free_port
from tests.stack.conftest import WIDE
from tests.stack.stack import Stack
from tests.stack.steps import (
    ADMIN,
    PASSWORD,
    install,
    open_tab,
    sign_in,
    speak,
    wait_for_docker,
)

pytestmark = pytest.mark.fleet

ROLES = ("web", "worker", "link")
ASK = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://socket-proxy:2375" + sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def servers(built: OwnDaemon) -> Iterator[dict[str, str]]:
    """A PostgreSQL and a Redis that nobody started for abm; their addresses as abm wants them."""
    address, ports = built.daemon.address, [free_port(), free_port()]
    with contextlib.closing(built.client()) as client:

        def run(image: str, inside: int, outside: int, **environment: str) -> Container:
            return client.containers.run(
                image,
                detach=True,
                ports={f"{inside}/tcp": (address, outside)},
                environment=environment,
            )

        postgres = run(
            "postgres:17-alpine",
            5432,
            ports[0],
            POSTGRES_USER="somebody",
            POSTGRES_DB="theirs",
            POSTGRES_PASSWORD="a%password",
        )
        redis = run("redis:8-alpine", 6379, ports[1])
        ready = ["pg_isready", "-U", "somebody", "-h", "127.0.0.1"]
        try:
            wait_until(lambda: postgres.exec_run(ready).exit_code == 0, "PostgreSQL answers")
            yield {
                "DATABASE_URL": f"postgres://somebody:a%25password@{address}:{ports[0]}/theirs",
                "REDIS_URL": f"redis://{address}:{ports[1]}/0",
            }
        finally:
            postgres.remove(force=True, v=True)
            redis.remove(force=True, v=True)


@pytest.fixture(scope="module")
def outside(
    built: OwnDaemon,
    catalog: str,
    servers: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    made = Stack(
        built,
        tmp_path_factory.mktemp("outside"),
        project="outside",
        files=("compose.external.yml", "compose.socket-proxy.yml"),
        ENGINE_NETWORK="outside-engines",
        ADMIN_USERNAME=ADMIN,
        ADMIN_PASSWORD=PASSWORD,
        CATALOG_URL=catalog,
        **servers,
    )
    with contextlib.closing(made):
        made.up()
        yield made


@pytest.fixture(scope="module")
def person(chromium: Browser, outside: Stack) -> Iterator[Page]:
    context = chromium.new_context(base_url=outside.url, viewport=WIDE)
    context.set_default_timeout(20_000)
    page = context.new_page()
    sign_in(page)
    yield page
    context.close()


def test_everything_is_up_on_servers_of_ones_own(outside: Stack) -> None:
    outside.wait_healthy(*ROLES)

    assert not {"postgres", "redis"} & set(outside.containers())


def test_no_part_of_abm_has_dockers_socket(outside: Stack) -> None:
    sources = {
        (name, mount["Source"])
        for name, row in outside.containers().items()
        for mount in row["Mounts"]
        if mount["Destination"] == "/var/run/docker.sock"
    }

    assert sources == {
        ("worker", "/dev/null"),
        ("link", "/dev/null"),
        ("socket-proxy", str(outside.own.daemon.socket)),
    }


def test_the_proxy_lets_through_what_abm_asks_for_and_no_more(outside: Stack) -> None:
    def answer(path: str) -> str:
        return outside.said_in("worker", "python3", "-c", ASK, path).strip()

    assert [answer("/_ping"), answer("/secrets"), answer("/swarm")] == ["200", "403", "403"]


def test_the_cards_are_read_in_a_container_through_the_proxy(person: Page) -> None:
    wait_for_docker(person)

    expect(person.locator(".gpus .gpu")).to_have_count(2, timeout=40_000)


def test_an_engine_is_installed_started_and_heard_through_the_proxy(person: Page) -> None:
    wait_for_docker(person)
    install(person, "Tone")

    speak(person)


def test_its_log_and_its_figures_come_through_the_proxy(person: Page) -> None:
    open_tab(person, "Logs")
    expect(person.locator("[data-log-lines] > div").first).to_contain_text(re.compile(r"\w{3}"))

    open_tab(person, "Stats")
    expect(person.locator("#engine-stats")).to_contain_text(re.compile(r"[\d.]+ MB"))


def test_it_is_stopped_through_the_proxy(person: Page, outside: Stack) -> None:
    with contextlib.closing(outside.own.client()) as client:
        deployment = outside.said_in("worker", "cat", "/app/data/deployment").strip()
        ours = ["abm.engine=tone", f"abm.deployment={deployment}"]
        (engine,) = client.containers.list(filters={"label": ours})
        assert set(engine.attrs["NetworkSettings"]["Networks"]) == {"outside-engines"}

        person.goto("/engines/")
        person.get_by_role("link", name="Tone", exact=True).click()
        person.get_by_role("button", name="Stop", exact=True).click()

        def is_over() -> bool:
            engine.reload()
            return bool(engine.status != "running")

        wait_until(is_over, "the engine's container ends")
