"""A remote host of the lab that is cut off, frozen, set up anew or without Docker."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import docker
import pytest
import requests

from hosts.runners.base import HostUnreachable, RunnerError
from hosts.runners.docker.connection import connect
from hosts.runners.docker.errors import FOREIGN
from hosts.runners.docker.stream import DaemonStream
from hosts.ssh.errors import DockerDown, HostKeyChanged, KeyRefused, LinkLost, NoAnswer
from hosts.ssh.link import Link, LinkState
from tests.fleet.remotes import Box
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
NOTICED = 15.0
"""Seconds within which a host that gives no sign of life must be given up."""


@pytest.fixture
def link(box: Box) -> Iterator[Link]:
    with Link(box.target) as made:
        made.connection(10)
        yield made


def is_down(link: Link) -> bool:
    return link.news.failure is not None


def pulling(client: docker.APIClient, image: str) -> DaemonStream:
    return DaemonStream(client, "/images/create", params={"fromImage": image, "tag": "latest"})


class TestSilence:
    @pytest.mark.parametrize("how", ["cut", "freeze"])
    def test_an_idle_host_is_given_up_in_time_and_found_again(
        self, box: Box, link: Link, how: str
    ) -> None:
        getattr(box.own, how)()
        begun = time.monotonic()
        until(lambda: is_down(link), NOTICED)
        print(f"noticed after {time.monotonic() - begun:.1f} s")
        assert isinstance(link.news.failure, LinkLost | NoAnswer | HostUnreachable)

        box.own.mend()
        box.own.thaw()
        link.try_now()

        assert link.connection(30).facts() is not None

    @pytest.mark.parametrize("how", ["cut", "freeze"])
    def test_a_pull_ends_in_time_and_can_be_had_again(
        self, box: Box, link: Link, registry_address: str, how: str
    ) -> None:
        image = f"{registry_address}/lab/large"
        client = connect(link.docker_address)
        begun = 0.0
        with pytest.raises((*FOREIGN, RunnerError)), pulling(client, image) as stream:
            for line in stream.lines(every=0.5):
                if line and line.get("status") == "Downloading" and not begun:
                    getattr(box.own, how)()
                    begun = time.monotonic()
        assert time.monotonic() - begun < NOTICED

        box.own.mend()
        box.own.thaw()
        link.try_now()
        link.connection(30)
        again = connect(link.docker_address)
        with pulling(again, image) as stream:
            assert list(stream.lines(every=30))
        assert again.inspect_image(image)["Id"]

    def test_a_short_break_is_no_break(self, box: Box, link: Link) -> None:
        connection = link.connection()
        box.own.cut()
        time.sleep(3)
        box.own.mend()

        assert link.connection(5).run("facts", seconds=10).status == 0
        assert link.connection() is connection

    def test_others_are_not_slowed_down(self, box: Box, link: Link, shared_box: Box) -> None:
        with Link(shared_box.target) as other:
            client = connect(other.docker_address)
            frozen = connect(link.docker_address, timeout=3)
            box.own.freeze()
            callers = [threading.Thread(target=_asks, args=(frozen,)) for _ in range(10)]
            for caller in callers:
                caller.start()
            slowest = 0.0
            while any(caller.is_alive() for caller in callers):
                begun = time.perf_counter()
                client.ping()
                slowest = max(slowest, time.perf_counter() - begun)
        print(f"slowest call to the other host: {slowest * 1000:.0f} ms")

        assert slowest < 0.1


def _asks(client: docker.APIClient) -> None:
    with contextlib.suppress(RunnerError, requests.RequestException):
        client.version(api_version=False)


class TestRefusals:
    def test_a_host_that_was_set_up_anew_is_refused_until_it_is_accepted(
        self, box: Box, link: Link
    ) -> None:
        box.own.replace_host_key()
        link.try_now()
        until(lambda: isinstance(link.news.failure, HostKeyChanged), 20)
        with pytest.raises(HostKeyChanged):
            connect(link.docker_address)

        with Link(box.accept()) as accepted:
            assert connect(accepted.docker_address).ping()

    def test_a_key_that_was_taken_away_is_refused_at_the_next_log_in(
        self, box: Box, link: Link
    ) -> None:
        box.own.say("rm ~/.ssh/authorized_keys")
        box.own.stop_sshd()
        box.own.start_sshd()
        link.try_now()

        until(lambda: isinstance(link.news.failure, KeyRefused), 20)


class TestDocker:
    def test_one_that_is_stopped_and_started_is_told_apart_from_the_host(
        self, box: Box, link: Link
    ) -> None:
        client = connect(link.docker_address)
        connection = link.connection()
        box.own.stop_docker()
        # Over a local socket too, the first call may find a kept connection just ended.
        with contextlib.suppress(requests.ConnectionError), pytest.raises(DockerDown):
            client.version(api_version=False)
        with pytest.raises(DockerDown, match="Start Docker there"):
            client.version(api_version=False)
        box.own.start_docker()

        assert client.ping()
        assert link.connection() is connection
        assert link.news.state is LinkState.UP
