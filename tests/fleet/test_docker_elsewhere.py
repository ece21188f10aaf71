"""A Docker of another machine, reached by TCP: what engines keep lies there, in volumes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from lab.fleet import Lab
from lab.own import OwnRemote, own_remote
from tests.engines.recordings import recording
from tests.fleet.abm import FleetAbm
from tests.fleet.tcp_door import tcp_door

pytestmark = pytest.mark.fleet
ENGINE = "tone"


@dataclass(frozen=True)
class Elsewhere:
    """The abm, the machine of its Docker, and a client for that."""

    abm: FleetAbm
    own: OwnRemote
    client: docker.DockerClient

    @property
    def mounts(self) -> dict[str, Any]:
        """What the engine's container was given, by its place inside."""
        (found,) = self.client.containers.list(all=True, filters={"label": f"abm.engine={ENGINE}"})
        return {row["Destination"]: row for row in found.attrs["Mounts"]}


@pytest.fixture(scope="module")
def elsewhere(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with (
        own_remote(lab.place) as own,
        contextlib.closing(own.remote.daemon.client()) as client,
        tcp_door(Path(own.remote.host.removeprefix("unix://"))) as address,
    ):
        abm = FleetAbm(
            tmp_path_factory.mktemp("elsewhere"),
            address,
            lab.place.catalog_url,
            DOCKER_ENGINE_HOST=own.remote.address,
        )
        try:
            abm.start()
            abm.read_shelf()
            abm.until_docker()
            yield Elsewhere(abm, own, client)
        finally:
            abm.end()


def test_an_engine_starts_there_without_any_folder_made_by_hand(elsewhere: Elsewhere) -> None:
    abm = elsewhere.abm
    assert not json.loads(abm.host.facts)["has_our_folders"]

    abm.installed(ENGINE, starts=True)
    abm.until_state(ENGINE, "running", seconds=60)

    mounts = elsewhere.mounts
    assert {row["Type"] for row in mounts.values()} == {"volume"}
    assert mounts["/app/external_models"]["Name"].endswith(f"-{ENGINE}-models")
    assert mounts["/app/samples"]["Name"].endswith("-samples")
    assert "a volume for each engine" in abm.http.get(f"/hosts/{abm.host.pk}/").text


def test_a_sample_is_brought_there(elsewhere: Elsewhere) -> None:
    abm = elsewhere.abm
    answer = abm.http.post(
        "/engines/samples/",
        data={"name": "Ada"},
        files={"audio": ("ada.wav", recording(), "audio/wav")},
        headers={"X-CSRFToken": abm.http.cookies["csrftoken"]},
    )
    assert answer.is_redirect or answer.is_success, answer.text[:1500]
    abm.until(lambda: not abm.rows("jobs_job", "finished_at IS NULL"), 30)

    container = elsewhere.client.containers.list(filters={"label": f"abm.engine={ENGINE}"})[0]
    said = container.exec_run(["ls", "/app/samples"])
    assert said.output.decode().split() == [abm.row("engines_sample", "name = 'Ada'").file]


def test_a_folder_that_was_chosen_is_used(elsewhere: Elsewhere) -> None:
    abm, pk = elsewhere.abm, elsewhere.abm.host.pk
    wanted = elsewhere.own.remote.folder / "theirs"
    (wanted / ENGINE).mkdir(parents=True)
    form = {"display_name": "Docker", "is_enabled": "on", "samples_path": ""}
    abm.post(f"/hosts/{pk}/change/", **form, models_path=str(wanted))

    abm.done(ENGINE, "restart")

    assert elsewhere.mounts["/app/external_models"]["Source"] == str(wanted / ENGINE)
