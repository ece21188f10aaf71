"""An abm that has nothing of its Docker but the API, over TCP, and the cards there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.fleet.abm import FleetAbm
from tests.fleet.tcp_door import tcp_door

pytestmark = pytest.mark.fleet

ENGINE = "tone"
CARD = "GPU-3f6c1a52-8f07-4d0b-9a5e-0d9b7c1e2a01"
MIB = 2**20


@dataclass(frozen=True)
class Far:
    """The abm, its Docker, and a client for that."""

    abm: FleetAbm
    own: OwnDaemon
    client: docker.DockerClient

    def helpers(self) -> list[Any]:
        found = self.client.containers.list(filters={"label": "abm.cards"}, ignore_removed=True)
        return [one.id for one in found]

    def read(self) -> None:
        """Have the cards read within seconds, as a page does that is open."""
        self.abm.http.get(f"/hosts/{self.abm.host.pk}/")

    def card(self) -> Any:
        rows = self.abm.rows("hosts_gpu", "uuid = ?", CARD)
        return rows[0] if rows else None


@pytest.fixture(scope="module")
def far(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with (
        own_daemon(lab.place) as own,
        contextlib.closing(own.client()) as client,
        tcp_door(own.daemon.socket) as address,
    ):
        abm = FleetAbm(tmp_path_factory.mktemp("api"), address, lab.place.catalog_url)
        try:
            abm.start()
            abm.read_shelf()
            abm.until_docker()
            yield Far(abm, own, client)
        finally:
            abm.end()


def test_its_life(far: Far) -> None:
    """Its steps are one story: a start of abm takes seconds."""
    abm = far.abm
    assert not json.loads(abm.host.facts)["is_on_this_machine"]
    far.read()
    abm.until(lambda: "Install an engine there first" in abm.host.gpu_text)
    assert (abm.host.has_gpu, far.helpers()) == (None, [])

    abm.installed(ENGINE, starts=True)
    abm.until_state(ENGINE, "running", seconds=60)
    container = far.client.containers.list(filters={"label": f"abm.engine={ENGINE}"})[0]
    inside = far.own.daemon.folder / "bin" / "inside"
    (inside / "apps.csv").write_text(f"{CARD}, {container.attrs['State']['Pid']}, 4300, python3\n")
    for one in far.helpers():
        far.client.containers.get(one).remove(force=True)  # the next one has what was written
    abm.until(lambda: far.card() and json.loads(far.card().holders), 60)

    (helper,) = far.helpers()
    pk = abm.engine(ENGINE).pk
    held = [(row["engine"], row["memory"]) for row in json.loads(far.card().holders)]
    assert (abm.host.has_gpu, abm.host.gpu_text) == (1, "")
    assert held == [(pk, 4300 * MIB)]
    assert far.card().memory_used == 8704 * MIB
    assert abm.rows("hosts_host", "strays != '[]'") == []

    abm.served.kill()
    before = far.card().read_at
    abm.start()
    abm.until(lambda: far.card().read_at != before, 40)
    assert far.helpers() == [helper]

    abm.post(f"/hosts/{abm.host.pk}/skip/")
    abm.until(lambda: not far.helpers())
