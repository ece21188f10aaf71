"""Engines as containers of a real daemon: made as asked, found by labels, kept with their logs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from hosts.gpu.handing import Handed
from hosts.runners.base import EngineSpec, PortTaken, StartFailed
from hosts.runners.container import Mount, PortBinding
from hosts.runners.docker import containers
from hosts.runners.docker.containers import DockerHost
from hosts.runners.docker.labels import DEPLOYMENT, ENGINE, name_of
from jobs.outcome import CancelToken
from lab.fleet import Lab
from lab.own import own_daemon
from tests.fleet.containers import answers, free_port
from tests.fleet.docker_driver import container_in, runner_at
from tests.fleet.docker_engines import SHELL, Engines, changed, engines_of
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def shared(lab: Lab, registry_address: str) -> Iterator[Engines]:
    with own_daemon(lab.place) as daemon, contextlib.closing(daemon.client()) as client:
        yield engines_of(daemon, client, registry_address)


@pytest.fixture
def engines(shared: Engines) -> Iterator[Engines]:
    yield shared
    for container in shared.client.containers.list(all=True):
        container.remove(force=True)


class TestMade:
    def test_it_is_ours_by_labels_and_open_to_this_machine_alone(self, engines: Engines) -> None:
        spec = engines.started()

        found = container_in(engines.client, spec).attrs
        assert found["Name"] == "/abm-01234567-tiny"
        assert found["Config"]["Image"] == f"{engines.registry}/lab/tiny:latest"
        assert found["Config"]["Labels"][ENGINE] == "tiny"
        assert found["Config"]["Labels"][DEPLOYMENT] == "0123456789abcdef"
        (bound,) = found["NetworkSettings"]["Ports"]["8766/tcp"]
        assert bound == {"HostIp": "127.0.0.1", "HostPort": str(spec.ports[0])}
        until(lambda: answers(spec.ports[0]))

    def test_its_limits_are_those_asked_for(self, engines: Engines) -> None:
        spec = engines.started(
            cpus=0.5,
            memory_bytes=64_000_000,
            shm_bytes=16_000_000,
            user="1000:1000",
            extra_hosts={"host.docker.internal": "host-gateway"},
            restart_policy="on-failure:3",
        )

        found = container_in(engines.client, spec).attrs
        host = found["HostConfig"]
        assert host["NanoCpus"] == 500_000_000
        assert host["Memory"] == 64_000_000
        assert host["ShmSize"] == 16_000_000
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
        assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
        assert host["Init"] is True and host["AutoRemove"] is False
        assert found["Config"]["User"] == "1000:1000"

    def test_its_environment_is_the_users_but_for_the_port(self, engines: Engines) -> None:
        environment = {"LOG_LEVEL": "debug", "MINE": "x=y z", "PORT": "1"}
        command = (*SHELL, 'echo "$PORT|$LOG_LEVEL|$MINE|$PYTHONUNBUFFERED"')

        spec = engines.started(environment=environment, command=command, engine_port=9000)

        until(lambda: engines.runner.logs(spec, tail=1))
        assert engines.runner.logs(spec, tail=1) == ["9000|debug|x=y z|1"]

    def test_an_entrypoint_can_be_replaced_and_taken_away(self, engines: Engines) -> None:
        spec = engines.started(entrypoint=("/bin/sh", "-c", "echo entered"), command=None)
        until(lambda: engines.runner.logs(spec, tail=1) == ["entered"])

        engines.runner.start(changed(spec, entrypoint=(), command=(*SHELL, "echo plain")))

        until(lambda: engines.runner.logs(spec, tail=1) == ["plain"])

    def test_missing_folders_are_made_and_can_be_written(
        self, engines: Engines, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o755)
        for parent in list(tmp_path.parents)[:2]:
            parent.chmod(0o755)
        write = "echo a > /app/samples/a; echo b > /app/external_models/b; echo c > /extra/c; id -u"
        extra = Mount(str(tmp_path / "extra"), "/extra")

        spec = engines.started(
            command=(*SHELL, write),
            samples=tmp_path / "samples",
            models=tmp_path / "models",
            mounts=(extra,),
            user="1234",
        )

        until(lambda: engines.runner.logs(spec, tail=9))
        assert engines.runner.logs(spec, tail=9) == ["1234"]
        assert (tmp_path / "samples/a").stat().st_uid == 1234
        assert (tmp_path / "models/tiny/b").exists()
        assert (tmp_path / "extra/c").exists()

    def test_a_volume_of_the_daemon_can_be_read_only(self, engines: Engines) -> None:
        volume = Mount("voices", "/voices", is_read_only=True)

        spec = engines.started(command=(*SHELL, "echo x > /voices/x"), mounts=(volume,))

        until(lambda: engines.runner.status(spec).exit)
        found = engines.runner.status(spec).exit
        assert found is not None and found.code == 1

    def test_a_simulated_card_is_handed_out(self, engines: Engines) -> None:
        spec = engines.started(cards=Handed(("0",)), command=(*SHELL, "echo $CUDA_DEVICE_ORDER"))

        (request,) = container_in(engines.client, spec).attrs["HostConfig"]["DeviceRequests"]
        assert request["DeviceIDs"] == ["0"] and request["Capabilities"] == [["gpu"]]
        until(lambda: engines.runner.logs(spec, tail=1) == ["PCI_BUS_ID"])

    def test_in_a_network_it_is_reached_by_its_name(self, engines: Engines) -> None:
        network = engines.client.networks.create("speech")
        try:
            spec = engines.installed(network="speech")

            endpoint = engines.runner.start(spec)

            assert endpoint.url == "http://abm-01234567-tiny:8766"
            assert engines.runner.status(spec).endpoint == endpoint
            found = container_in(engines.client, spec)
            assert not found.attrs["HostConfig"]["PortBindings"]
            found.remove(force=True)
        finally:
            network.remove()


class TestKept:
    def test_a_stopped_one_is_started_again_and_keeps_its_log(self, engines: Engines) -> None:
        spec = engines.started()
        first = container_in(engines.client, spec).id
        until(lambda: engines.runner.logs(spec, tail=5))
        engines.runner.stop(spec, grace=1)

        engines.runner.start(spec)

        until(lambda: len(engines.runner.logs(spec, tail=5)) == 2)
        assert container_in(engines.client, spec).id == first

    def test_a_running_one_is_left_as_it_is(self, engines: Engines) -> None:
        spec = engines.started()
        before = container_in(engines.client, spec).attrs["State"]["StartedAt"]

        engines.runner.start(spec)

        assert container_in(engines.client, spec).attrs["State"]["StartedAt"] == before

    def test_other_settings_make_another_container(self, engines: Engines) -> None:
        spec = engines.started()
        before = container_in(engines.client, spec).id

        engines.runner.start(replace(spec, environment={"MORE": "1"}))

        found = container_in(engines.client, spec)
        assert found.id != before and "MORE=1" in found.attrs["Config"]["Env"]

    def test_another_image_under_its_name_is_taken_at_the_next_start(
        self, engines: Engines
    ) -> None:
        spec = engines.started()
        old = container_in(engines.client, spec).attrs["Image"]
        newer = engines.client.containers.get(name_of(spec)).commit(
            repository=f"{engines.registry}/lab/tiny", tag="latest"
        )
        engines.runner.start(spec)
        assert container_in(engines.client, spec).attrs["Image"] == old

        engines.runner.stop(spec, grace=1)
        engines.runner.start(spec)
        assert container_in(engines.client, spec).attrs["Image"] == newer.id

        engines.runner.start(changed(spec, image_id=old))
        assert container_in(engines.client, spec).attrs["Image"] == old
        container_in(engines.client, spec).remove(force=True)
        engines.client.images.remove(str(newer.id), force=True)

    def test_a_paused_one_goes_on(self, engines: Engines) -> None:
        spec = engines.started()
        container_in(engines.client, spec).pause()

        engines.runner.start(spec)

        assert container_in(engines.client, spec).status == "running"

    def test_one_that_was_removed_by_hand_is_made_again(self, engines: Engines) -> None:
        spec = engines.started()
        container_in(engines.client, spec).remove(force=True)
        status = engines.runner.status(spec)
        assert status.is_installed and not status.is_running and status.exit is None

        engines.runner.start(spec)

        assert engines.runner.status(spec).is_running

    def test_one_that_was_renamed_is_still_ours(self, engines: Engines) -> None:
        spec = engines.started()
        container_in(engines.client, spec).rename("something-else")

        assert engines.runner.status(spec).is_running
        engines.runner.remove(spec)
        assert engines.client.containers.list(all=True) == []


class TestOthers:
    def test_a_foreign_container_of_its_name_is_not_touched(self, engines: Engines) -> None:
        spec = engines.installed()
        image = spec.container.image if spec.container else ""
        foreign = engines.client.containers.run(image, name=name_of(spec), detach=True)

        with pytest.raises(StartFailed, match=r"abm-01234567-tiny .*Rename or remove it"):
            engines.runner.start(spec)
        engines.runner.stop(spec, grace=0.1)
        engines.runner.remove(spec)

        foreign.reload()
        assert foreign.status == "running"
        assert not engines.runner.status(spec).is_running

    def test_two_deployments_do_not_see_each_other(self, engines: Engines) -> None:
        mine = engines.started()
        theirs = engines.started(deployment="fedcba9876543210")

        assert engines.runner.remove(mine) == 0, "the image is still used"

        assert engines.runner.status(theirs).is_running
        assert engines.runner.status(theirs).is_installed
        assert not engines.runner.status(mine).is_running

    def test_a_port_of_the_users_table_names_who_has_it(self, engines: Engines) -> None:
        port = free_port()
        table = (PortBinding(7000, port),)
        engines.started(name="first", ports=table)
        second = engines.installed(name="second", ports=table)

        with pytest.raises(PortTaken, match=rf"Port {port} .*by the container abm-01234567-first"):
            engines.runner.start(second)

    def test_a_program_on_a_port_of_the_table_is_named(self, engines: Engines) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            spec = engines.installed(ports=(PortBinding(7000, held.getsockname()[1]),))

            with pytest.raises(PortTaken, match=rf"by \S+, process {os.getpid()}"):
                engines.runner.start(spec)

    def test_the_next_port_is_tried_when_one_is_taken_at_the_last_moment(
        self, engines: Engines
    ) -> None:
        spec = engines.installed()
        with (
            socket.socket() as held,
            contextlib.closing(docker.APIClient(base_url=engines.daemon.host)) as client,
        ):
            held.bind(("127.0.0.1", spec.ports[0]))
            held.listen()

            # A host elsewhere: abm cannot see which of its ports are taken.
            endpoint = containers.start(DockerHost(client, "gpu-box"), spec)

        assert endpoint.port == spec.ports[1]
        assert len(engines.client.containers.list(all=True)) == 1

    def test_engines_that_start_at_once_get_ports_of_their_own(self, engines: Engines) -> None:
        first = engines.installed()
        specs = [replace(first, name=f"tiny-{number}") for number in range(6)]
        specs = [replace(spec, ports=range(first.ports[0], first.ports[0] + 9)) for spec in specs]

        def start(spec: EngineSpec) -> int:
            with runner_at(engines.daemon) as own:
                return own.start(spec).port

        with ThreadPoolExecutor(len(specs)) as pool:
            ports = list(pool.map(start, specs))

        assert len(set(ports)) == len(specs)
        assert len(engines.client.containers.list()) == len(specs)

    def test_an_old_container_is_kept_where_no_new_one_can_be_made(self, engines: Engines) -> None:
        spec = engines.started()
        until(lambda: engines.runner.logs(spec, tail=1))
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()

            with pytest.raises(PortTaken):
                engines.runner.start(
                    changed(spec, ports=(PortBinding(7000, held.getsockname()[1]),))
                )

        assert engines.runner.logs(spec, tail=1) == ["tiny begins"]

    def test_an_extra_port_without_a_number_gets_any(self, engines: Engines) -> None:
        spec = engines.started(ports=(PortBinding(7000),))

        (bound,) = container_in(engines.client, spec).ports["7000/tcp"]
        assert bound["HostIp"] == "127.0.0.1" and int(bound["HostPort"]) > 0


class TestLogs:
    def test_following_goes_on_over_a_restart(self, engines: Engines) -> None:
        spec = engines.started()
        cancel, heard = CancelToken(), list[str]()

        def follow() -> None:
            with runner_at(engines.daemon) as own:
                for line in own.follow(spec, tail=10, cancel=cancel):
                    heard.append(line)

        reader = threading.Thread(target=follow)
        reader.start()
        until(lambda: len(heard) == 1)
        engines.runner.stop(spec, grace=1)
        engines.runner.start(spec)
        until(lambda: len(heard) == 2)
        engines.runner.start(replace(spec, environment={"NEW": "1"}))
        until(lambda: len(heard) == 3)

        begun = time.monotonic()
        cancel.cancel()
        reader.join(5)
        assert time.monotonic() - begun < 1
        assert heard == ["tiny begins"] * 3

    def test_long_lines_and_both_streams_arrive_whole(self, engines: Engines) -> None:
        say = "head -c 40000 /dev/zero | tr '\\0' x; echo; echo error >&2; echo -n end"
        spec = engines.started(command=(*SHELL, say))
        until(lambda: engines.runner.status(spec).exit)
        cancel = CancelToken()
        lines = engines.runner.follow(spec, tail=10, cancel=cancel)

        assert sorted([len(next(lines)), len(next(lines))]) == [5, 40_000]
        assert engines.runner.logs(spec, tail=1) == ["end"]
        cancel.cancel()
        assert list(lines) == []

    def test_an_engine_without_a_container_is_waited_for(self, engines: Engines) -> None:
        spec = engines.installed()
        cancel = CancelToken()
        timer = threading.Timer(0.2, engines.runner.start, [spec])
        timer.start()

        assert next(engines.runner.follow(spec, tail=5, cancel=cancel)) == "tiny begins"
        timer.join()
