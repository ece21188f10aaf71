"""Cards read where only Docker's API leads: in a container of abm's own. The card is simulated."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from hosts.gpu.reading import CardReader
from hosts.gpu.values import Inventory
from hosts.runners.base import RunnerError
from hosts.runners.docker.card_helper import CardHelper, end_card_helpers
from hosts.runners.docker.connection import DockerAddress, connect
from hosts.runners.docker.disk import disk_use, reclaimable
from hosts.runners.docker.images import inspect_image
from hosts.runners.docker.labels import CARDS
from hosts.runners.docker.reclaim import reclaim
from lab import simulated_card, simulated_smi
from lab.own import OwnDaemon
from tests.fleet.docker_driver import DEPLOYMENT
from tests.fleet.docker_engines import engines_of
from tests.fleet.tcp_door import tcp_door
from tests.hosts.test_docker_connection import Authority, daemon_context, over_tls
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet

CARD = "GPU-3f6c1a52-8f07-4d0b-9a5e-0d9b7c1e2a01"
MIB = 2**20


@pytest.fixture
def client(daemon: OwnDaemon) -> Iterator[docker.APIClient]:
    with contextlib.closing(connect(DockerAddress(daemon.host))) as made:
        yield made


@pytest.fixture
def image(daemon: OwnDaemon, docker_client: docker.DockerClient, registry_address: str) -> str:
    """The id of the image of an engine that is installed there."""
    engines = engines_of(daemon, docker_client, registry_address)
    state = engines.runner.image(engines.installed())
    assert state is not None
    return state.id


def helper_on(client: docker.APIClient, *images: str, **options: Any) -> CardHelper:
    options = {"deployment": DEPLOYMENT, "host_name": "gpu-box", **options}
    return CardHelper(client, images=lambda: images, **options)


def read(helper: CardHelper) -> Inventory:
    return CardReader(helper, without=lambda: Inventory(None, None, "no nvidia-smi")).read()


def helpers(client: docker.APIClient) -> list[dict[str, Any]]:
    return list(client.containers(all=True, filters={"label": CARDS}))


def test_cards_are_read_in_one_container_that_stays(client: docker.APIClient, image: str) -> None:
    helper = helper_on(client, "sha256:" + "0" * 64, image)

    first, second = read(helper), read(helper)

    assert [card.name for card in first.cards or ()] == [
        "NVIDIA GeForce RTX 3090 (simulated)",
        "NVIDIA GeForce RTX 3090 (simulated)",
    ]
    assert first.cards is not None and second.cards is not None and second.processes is not None
    assert (first.cards[0].uuid, first.cards[0].cuda) == (CARD, "12.4")
    assert first.cards[0].memory_used == 8704 * MIB
    (one,) = helpers(client)
    found = client.inspect_container(one["Id"])
    assert found["HostConfig"]["PidMode"] == "host"
    assert found["HostConfig"]["NetworkMode"] == "none"
    assert (found["HostConfig"]["CapDrop"], found["HostConfig"]["CapAdd"]) == (["ALL"], None)
    assert found["HostConfig"]["PortBindings"] in (None, {})
    assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["AutoRemove"]
    assert found["Config"]["Healthcheck"] == {"Test": ["NONE"]}


def test_they_are_read_over_tls(daemon: OwnDaemon, image: str, tmp_path: Path) -> None:
    authority = Authority()
    mine, theirs = (
        authority.write(tmp_path / "mine"),
        daemon_context(authority, tmp_path / "theirs"),
    )
    with tcp_door(daemon.daemon.socket, theirs) as address:
        client = over_tls(int(address.rpartition(":")[2]), mine)

        found = read(helper_on(client, image))

        client.close()
    assert len(found.cards or ()) == 2 and found.processes


def test_another_start_of_abm_finds_it_again(client: docker.APIClient, image: str) -> None:
    read(helper_on(client, image))
    (before,) = helpers(client)

    assert read(helper_on(client)).cards

    (after,) = helpers(client)
    assert after["Id"] == before["Id"]


def test_one_of_another_abm_is_left_alone(client: docker.APIClient, image: str) -> None:
    read(helper_on(client, image, deployment="fedcba9876543210"))

    read(helper_on(client, image))

    assert len(helpers(client)) == 2
    assert end_card_helpers(client, DEPLOYMENT) == 1
    assert [row["Labels"][CARDS] for row in helpers(client)] == ["fedcba9876543210"]


def test_one_that_somebody_removed_is_made_again(client: docker.APIClient, image: str) -> None:
    helper = helper_on(client, image)
    read(helper)
    end_card_helpers(client, DEPLOYMENT)
    until(lambda: not helpers(client))

    assert read(helper).cards

    assert len(helpers(client)) == 1


def test_one_that_is_not_asked_ends_by_itself(client: docker.APIClient, image: str) -> None:
    helper = helper_on(client, image)
    read(helper)
    (one,) = helpers(client)
    for _ in range(2):  # two of its hours
        until(lambda: sleeping(client, one["Id"]))
        before = sleeping(client, one["Id"])
        os.kill(before[0], signal.SIGTERM)
        until(partial(has_changed, client, one["Id"], before))

    until(lambda: not helpers(client))


def sleeping(client: docker.APIClient, container: str) -> list[int]:
    """What the helper waits with; empty when it is gone."""
    with contextlib.suppress(APIError):
        rows = client.top(container, "-eo pid,comm")["Processes"] or []
        return [int(pid) for pid, name in rows if name == "sleep"]
    return []


def has_changed(client: docker.APIClient, container: str, before: list[int]) -> bool:
    return sleeping(client, container) != before


def test_a_driver_that_hangs_is_told_and_not_asked_again(
    daemon: OwnDaemon, client: docker.APIClient, image: str
) -> None:
    inside = daemon.daemon.folder / "bin" / "inside"
    simulated_smi.write(inside, before="sleep 5")
    helper = helper_on(client, image, seconds=0.4)

    first = read(helper)
    begun = time.monotonic()
    second = read(helper)

    assert first.cards is None and "does not answer" in first.problem
    assert second.cards is None and "does not answer" in second.problem
    assert time.monotonic() - begun < 0.3

    end_card_helpers(client, DEPLOYMENT)
    simulated_card.write_for_others(inside, seen_as="/usr/bin")
    assert read(helper).cards


def test_without_an_image_it_says_what_to_do(client: docker.APIClient) -> None:
    with pytest.raises(RunnerError, match="Install an engine there first"):
        helper_on(client)(("nvidia-smi", "-L"))


def test_a_daemon_that_gives_no_card_is_told_and_not_asked_at_once_again(
    client: docker.APIClient, image: str
) -> None:
    helper = helper_on(client, image, by_cdi=True)  # this Docker knows nothing of CDI
    for _ in range(2):
        with pytest.raises(RunnerError, match="cannot be started") as told:
            helper(("nvidia-smi", "-L"))

    assert "device driver" in told.value.detail
    assert helpers(client) == []


def test_it_holds_no_image_back(
    daemon: OwnDaemon, client: docker.APIClient, image: str, registry_address: str
) -> None:
    read(helper_on(client, image))
    name = f"{registry_address}/lab/tiny:latest"
    use = disk_use(client, DEPLOYMENT, images={image, name})
    assert [one.used_by for one in use.images] == [()]

    done = reclaim(
        client, reclaimable(use, engines=()), deployment=DEPLOYMENT, images={image, name}
    )

    assert done.kept == ()
    assert inspect_image(client, image) is None


def test_an_uninstall_takes_its_image_along(
    daemon: OwnDaemon,
    docker_client: docker.DockerClient,
    client: docker.APIClient,
    registry_address: str,
) -> None:
    engines = engines_of(daemon, docker_client, registry_address)
    spec = engines.installed()
    state = engines.runner.image(spec)
    assert state is not None
    read(helper_on(client, state.id))

    engines.runner.remove(spec)

    assert engines.runner.image(spec) is None


def test_programs_of_other_makers_are_not_asked_for() -> None:
    helper = CardHelper(
        docker.APIClient(base_url="tcp://127.0.0.1:1", version="1.40"),
        deployment=DEPLOYMENT,
        images=tuple,
        host_name="gpu-box",
    )

    assert helper(("amd-smi", "list", "--json")).is_missing
