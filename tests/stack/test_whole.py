"""The whole of abm in one container: `docker run`, with nothing beside it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from lab.own import OwnDaemon
from tests.abm.apart import Browser, answers, wait_until
from tests.browser.server import free_port
from tests.stack.stack import IMAGE

pytestmark = pytest.mark.fleet

ADMIN, PASSWORD = "ada", "correct horse battery"


class Whole:
    """One container with abm in it; made anew as often as wanted, its volume stays."""

    def __init__(
        self,
        own: OwnDaemon,
        *,
        name: str = "anything-at-all",
        data: str = "abm-whole",
        init: bool = False,
        **environment: str,
    ) -> None:
        self.port = free_port()
        self._own, self._environment = own, environment
        self._name, self._data, self._init = name, data, init
        self._client = own.client()
        self.container: Container | None = None

    def run(self) -> Container:
        self.container = self._client.containers.run(
            IMAGE,
            detach=True,
            name=self._name,
            init=self._init,
            ports={"8765/tcp": ("127.0.0.1", self.port)},
            volumes=[f"{self._own.daemon.socket}:/var/run/docker.sock", f"{self._data}:/app/data"],
            environment={"CATALOG_URL": "", **self._environment},
        )
        wait_until(lambda: answers(self.port), "the first page")
        return self.container

    def remove(self) -> None:
        if self.container is not None:
            self.container.stop(timeout=15)
            self.container.remove(v=False)
            self.container = None

    def close(self) -> None:
        self.remove()
        self._client.close()


@pytest.fixture(scope="module")
def whole(built: OwnDaemon) -> Iterator[Whole]:
    with contextlib.closing(Whole(built, PUID="1234", PGID="2345")) as made:
        made.run()
        yield made


def test_it_makes_its_own_database_and_runs_as_the_user_of_puid(whole: Whole) -> None:
    assert whole.container is not None
    status = whole.container.exec_run(["cat", "/proc/1/status"]).output.decode()
    owner = whole.container.exec_run(["stat", "-c", "%u:%g", "/app/data/abm.sqlite3"])

    assert re.search(r"^Uid:\s+1234\s+1234", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert owner.output.decode().strip() == "1234:2345"


def test_its_sqlite_has_no_write_ahead_log(whole: Whole) -> None:
    assert whole.container is not None
    said = whole.container.exec_run(["ls", "/app/data"]).output.decode()

    assert "abm.sqlite3" in said and "-wal" not in said


def test_the_first_admin_is_made_by_the_link_in_its_log(whole: Whole) -> None:
    assert whole.container is not None
    (path, *_) = re.findall(r"(/accounts/setup/[\w-]+/)", whole.container.logs().decode())
    browser = Browser(whole.port)
    browser.get(path)

    status, _ = browser.post(path, name=ADMIN, password=PASSWORD)

    assert status == 302
    assert "Docker on this machine" in browser.get("/hosts/")[1]


def test_it_finds_the_docker_of_the_machine(whole: Whole) -> None:
    browser = signed_in(whole)

    wait_until(
        lambda: "Available" in browser.get("/hosts/")[1] or "Degraded" in browser.get("/hosts/")[1],
        "Docker was found",
    )


def test_a_new_container_on_the_same_volume_has_everything(whole: Whole) -> None:
    browser = signed_in(whole)
    whole.remove()
    whole.run()

    assert browser.get("/hosts/")[0] == 200


def test_it_becomes_healthy_and_ends_politely(whole: Whole) -> None:
    container = whole.container
    assert container is not None

    def is_healthy() -> bool:
        container.reload()
        return bool(container.attrs["State"]["Health"]["Status"] == "healthy")

    wait_until(is_healthy, "healthy")
    container.stop(timeout=15)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0


def test_with_the_flags_of_unraid_its_folder_belongs_to_nobody(
    built: OwnDaemon, tmp_path: Path
) -> None:
    """User 99:100, a folder of the machine in place of a volume, and an init before abm."""
    folder = tmp_path / "appdata"
    folder.mkdir()
    made = Whole(built, name="abm-unraid", data=str(folder), init=True, PUID="99", PGID="100")
    with contextlib.closing(made):
        container = made.run()
        seen = [
            line
            for line in container.top()["Processes"]
            if any("manage.py" in word for word in line)
        ]
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in folder.rglob("*")}

        container.stop(timeout=15)
        container.reload()

    assert seen
    assert owners == {(99, 100)}
    assert container.attrs["State"]["ExitCode"] == 0


def signed_in(whole: Whole) -> Browser:
    browser = Browser(whole.port)
    browser.get("/accounts/login/")
    status, said = browser.post("/accounts/login/", username=ADMIN, password=PASSWORD)
    assert status == 302, said
    return browser
