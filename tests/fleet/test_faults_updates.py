"""An update and a roll-back on a real Docker, whose PostgreSQL is cut off again and again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
import pytest

from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from lab.own import own_daemon, own_registry
from lab.pushing import Layer, Pusher
from tests.abm.apart import Apart, Browser, apart, wait_until
from tests.abm.slow_installs import (
    SETTINGS,
    SETTLE_SECONDS,
    asked,
    cut_connections,
    ended,
    forget_jobs,
    is_ready,
    open_jobs,
)
from tests.fleet.abm import SPEAKS_NOT, Shelf, ours
from tests.servers import NO_POSTGRES, NO_REDIS, has_postgres, has_redis

ENGINE = "engine-cut"
SLOW = {"Cmd": ["/bin/sh", "-c", "sleep 1; exec httpd -f -p 8766 -h /www"]}
"""So that there is time to be cut off in."""
CUT_PAUSES = (0.2, 0.5, 0.3, 0.7, 0.2, 0.4, 1.1, 0.3, 0.6, 0.2, 0.5, 0.8)
ANEW = "SELECT count(*) FROM jobs_jobline WHERE text LIKE '%begins anew%'"
CHOICE = (
    "SELECT v.id, h.id FROM catalog_variant v, catalog_catalogentry e, hosts_host h "
    f"WHERE v.entry_id = e.id AND e.name = '{ENGINE}' AND h.host_type = 'docker:local'"
)

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.process,
    pytest.mark.skipif(not has_postgres(), reason=NO_POSTGRES),
    pytest.mark.skipif(not has_redis(), reason=NO_REDIS),
]


@dataclass(frozen=True, slots=True)
class Ground:
    """abm in parts, its Docker, and where its images come from."""

    abm: Apart
    browser: Browser
    client: docker.DockerClient
    pusher: Pusher

    def publish(self, version: str) -> None:
        """Let the tag stand for an image that serves its version."""
        layers = [tiny_layer(), Layer.of_files({"www/version": version.encode()})]
        self.pusher.push(f"lab/{ENGINE}", "latest", layers, run=tiny_run(**SLOW))

    def engine(self, columns: str) -> tuple[object, ...]:
        (row,) = asked(self.abm, f"SELECT {columns} FROM engines_engine WHERE name = '{ENGINE}'")
        return row

    def press(self, verb: str) -> None:
        status, said = self.browser.post(f"/engines/{self.engine('id')[0]}/{verb}/")
        assert status in {200, 302}, said[-500:]

    def settled(self) -> None:
        wait_until(lambda: not open_jobs(self.abm), "it ended", seconds=SETTLE_SECONDS)

    def cut_while_at_work(self) -> None:
        """In the midst of whatever it does, with different pauses."""
        for pause in CUT_PAUSES:
            time.sleep(pause)
            if not open_jobs(self.abm):
                return
            cut_connections(self.abm)

    def served(self) -> str:
        """The version of what runs, by its own word."""
        url = str(self.engine("url")[0])
        return httpx.get(f"{url}/version", trust_env=False, timeout=5).text


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder: Path = tmp_path_factory.mktemp("updates")
    with (
        own_daemon(lab.place) as own,
        contextlib.closing(own.client()) as client,
        own_registry(lab.place) as registry,
        Pusher(registry.address) as pusher,
        Shelf(registry.address) as shelf,
        apart(folder, **SETTINGS, DOCKER_HOST=own.host) as abm,
    ):
        shelf.offer(ENGINE, abm={"version": "1.0.0", **SPEAKS_NOT})
        abm.environment |= {"CATALOG_URL": shelf.url, "CATALOG_SYNC": "true"}
        for command in ("web", "worker", "link"):
            abm.begin(command)
        wait_until(lambda: is_ready(abm), "all parts are up")
        browser = Browser(abm.port)
        browser.sign_in()
        made = Ground(abm, browser, client, pusher)
        made.publish("one")
        wait_until(lambda: asked(abm, CHOICE) != [], "the catalog is read", seconds=SETTLE_SECONDS)
        usable = "SELECT 1 FROM hosts_host WHERE host_type = 'docker:local' AND is_available"
        wait_until(lambda: asked(abm, usable) != [], "Docker is known")
        ((variant, host),) = asked(abm, CHOICE)
        status, said = browser.post(
            "/engines/install/", variant=str(variant), host=str(host), starts="on"
        )
        assert status == 302, said[-500:]
        made.settled()
        assert made.engine("state") == ("running",), abm.said()
        yield made


def test_an_update_and_a_rollback_end_well_though_their_database_is_cut_off(it: Ground) -> None:
    assert it.served() == "one"
    it.publish("two")
    it.press("check-updates")
    wait_until(lambda: it.engine("update_digest") != ("",), "the newer one is found")
    was = it.engine("image_id")
    forget_jobs(it.abm)

    it.press("update")
    it.cut_while_at_work()
    it.settled()

    assert ended(it.abm) == {"succeeded": 1}, it.abm.said()
    begun_anew = int(str(asked(it.abm, ANEW)[0][0]))
    assert it.engine("state, update_digest") == ("running", "")
    assert it.engine("previous_image_id") == was
    assert it.served() == "two"
    assert len(ours(it.client, ENGINE)) == 1

    forget_jobs(it.abm)
    it.press("rollback")
    it.cut_while_at_work()
    it.settled()

    assert ended(it.abm) == {"succeeded": 1}, it.abm.said()
    begun_anew += int(str(asked(it.abm, ANEW)[0][0]))
    assert it.engine("state, previous_image_id") == ("running", "")
    assert it.engine("image_id") == was
    assert it.served() == "one"
    assert len(ours(it.client, ENGINE)) == 1
    print(f"begun anew {begun_anew} times")
    assert begun_anew > 0
