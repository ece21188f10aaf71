"""What else is on the machine: programs on the ports, containers of others, another abm."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.fleet import Lab
from tests.fleet.abm import FleetAbm, Ground, fleet_abm, ground, ours

pytestmark = pytest.mark.fleet

MINE = "my-audiobook-notes"
"""A name that old versions of such programs took for one of their own."""


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Another program has the port."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


def container_name(abm: FleetAbm, engine: str) -> str:
    """What abm calls the container of an engine."""
    deployment = (abm.database.parent / "deployment").read_text().strip()
    return f"abm-{deployment[:8]}-{engine}"


def foreign(it: Ground, engine: str, name: str) -> Any:
    """A container of somebody else, of the very image that the engine has."""
    it.client.images.pull(it.image(engine).removesuffix(":latest"), tag="latest")
    made = it.client.containers.run(it.image(engine), name=name, detach=True)
    made.reload()
    return made


def test_a_port_that_another_program_has_is_passed_over(it: Ground) -> None:
    (name,) = it.offer()
    first = int(it.abm.served.environment["ENGINE_PORT_START"])

    with listening(first):
        row = it.abm.installed(name, starts=True)

    assert row.port != first
    assert row.url == f"http://127.0.0.1:{row.port}"


def test_an_engine_that_lost_its_port_meanwhile_starts_on_another(it: Ground) -> None:
    (name,) = it.offer()
    before = it.abm.installed(name, starts=True).port
    it.abm.done(name, "stop")

    with listening(before):
        it.abm.done(name, "start")

    assert it.abm.engine(name).port != before
    assert len(ours(it.client, name)) == 1


def test_without_a_free_port_the_start_fails_with_the_range_and_the_way_out(
    it: Ground, tmp_path: Path
) -> None:
    (name,) = it.offer()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        range_of_one = {"ENGINE_PORT_START": port, "ENGINE_PORT_MAX": port}
        with fleet_abm(tmp_path, it.daemon, it.shelf.url, **range_of_one) as narrow:
            narrow.installed(name)
            job = narrow.ended(narrow.verb(name, "start").pk)

            assert (job.status, job.error_code) == ("failed", "PORT_TAKEN")
            assert f"Every port from {port} to {port}" in job.error
            assert "ENGINE_PORT_START" in job.error
            assert narrow.state(name) == "failed"
    assert not [one for one in ours(it.client, name) if one.status == "running"]


def test_containers_of_others_are_never_touched_whatever_they_are_called(it: Ground) -> None:
    (name,) = it.offer()
    notes = foreign(it, name, MINE)
    began = notes.attrs["State"]["StartedAt"]

    it.abm.installed(name, starts=True)
    it.abm.done(name, "restart")
    it.abm.done(name, "stop")
    it.abm.done(name, "start")
    it.abm.served.kill()
    it.abm.start()
    it.abm.done(name, "uninstall")

    notes.reload()
    assert (notes.status, notes.name) == ("running", MINE)
    assert notes.attrs["State"]["StartedAt"] == began
    assert ours(it.client, name) == []
    notes.remove(force=True)


def test_a_container_of_others_under_our_own_name_is_told_and_left_alone(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name)
    taken = foreign(it, name, container_name(it.abm, name))

    job = it.abm.ended(it.abm.verb(name, "start").pk)

    assert job.status == "failed"
    assert f"{taken.name} is on this machine already" in job.error
    assert "does not touch what is not its own" in job.error
    taken.reload()
    assert taken.status == "running"
    taken.remove(force=True)
    it.abm.done(name, "start")


def test_two_abms_on_one_docker_leave_each_other_alone(it: Ground, tmp_path: Path) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    (mine,) = ours(it.client, name)
    with fleet_abm(tmp_path, it.daemon, it.shelf.url) as other:
        other.installed(name, starts=True)
        both = ours(it.client, name)
        other.done(name, "restart")
        other.done(name, "uninstall")

    assert len(both) == 2
    assert [one.id for one in ours(it.client, name)] == [mine.id]
    mine.reload()
    assert mine.status == "running"
    assert it.abm.state(name) == "running"
    assert not it.is_nothing_left(name)
