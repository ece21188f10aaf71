"""Docker on a remote host of the lab, by SSH: everything that goes over a local socket goes."""

from __future__ import annotations

import contextlib
import io
import statistics
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from docker.errors import NotFound

from hosts.runners.docker.connection import DockerAddress, connect
from hosts.runners.docker.stream import DaemonStream
from hosts.ssh.docker_way import Means
from hosts.ssh.errors import SocketForbidden
from hosts.ssh.link import Link
from hosts.ssh.tunnel import Tunnel
from tests.fleet.conftest import MakeBox
from tests.fleet.containers import answers
from tests.fleet.remotes import Box
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
CALLS = 200
PORT = 18770


@pytest.fixture(scope="module")
def link(shared_box: Box) -> Iterator[Link]:
    with Link(shared_box.target) as made:
        yield made


@pytest.fixture(scope="module")
def client(link: Link, registry_address: str) -> Iterator[docker.APIClient]:
    """With the image `tiny` pulled there."""
    with contextlib.closing(connect(link.docker_address)) as made:
        made.pull(f"{registry_address}/lab/tiny", tag="latest")
        yield made


@pytest.fixture
def near(shared_box: Box) -> Iterator[docker.APIClient]:
    """The same daemon over its unix socket, which the lab can see."""
    with contextlib.closing(connect(DockerAddress(shared_box.own.remote.host))) as made:
        yield made


@pytest.fixture
def container(client: docker.APIClient, registry_address: str) -> Iterator[str]:
    made = run(client, f"{registry_address}/lab/tiny", ["sh", "-c", "echo begun; sleep 600"])
    yield made
    client.remove_container(made, force=True)


def run(client: docker.APIClient, image: str, command: list[str], **options: Any) -> str:
    made = client.create_container(image, command, **options)["Id"]
    client.start(made)
    return str(made)


def milliseconds(call: Callable[[], object]) -> float:
    """The median of many calls."""
    spent = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begun) * 1000)
    return statistics.median(spent)


class TestStreams:
    def test_a_pull_tells_of_its_progress(
        self, client: docker.APIClient, registry_address: str
    ) -> None:
        params = {"fromImage": f"{registry_address}/lab/tone", "tag": "latest"}
        with DaemonStream(client, "/images/create", params=params) as stream:
            lines = [line for line in stream.lines(every=1) if line]

        assert any("progressDetail" in line for line in lines)
        assert "Downloaded newer image" in str(lines[-1]) or "up to date" in str(lines[-1])

    def test_a_pull_that_is_hung_up_ends_on_the_far_side(
        self, link: Link, client: docker.APIClient, registry_address: str
    ) -> None:
        params = {"fromImage": f"{registry_address}/lab/large", "tag": "latest"}
        with DaemonStream(client, "/images/create", params=params) as stream:
            for line in stream.lines(every=1):
                if line and line.get("status") == "Downloading":
                    break
            begun = time.monotonic()
            stream.hang_up()

        assert time.monotonic() - begun < 1
        with pytest.raises(NotFound):
            client.inspect_image(f"{registry_address}/lab/large:latest")

    def test_events_come_and_can_be_closed_from_another_thread(
        self, client: docker.APIClient, container: str
    ) -> None:
        events = client.events(decode=True)
        seen: list[str] = []
        reader = threading.Thread(
            target=lambda: seen.extend(one["Action"] for one in events), daemon=True
        )
        reader.start()
        until(lambda: (client.rename(container, f"n{time.monotonic_ns()}"), "rename" in seen)[1])
        events.close()
        reader.join(5)

        assert not reader.is_alive()

    def test_logs_are_followed(self, client: docker.APIClient, container: str) -> None:
        lines = client.logs(container, stream=True, follow=True)

        assert next(iter(lines)) == b"begun\n"
        lines.close()

    def test_an_image_goes_there_and_back(self, client: docker.APIClient) -> None:
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            member = tarfile.TarInfo("noise")
            member.size = 3_000_000
            tar.addfile(member, io.BytesIO(bytes(range(256)) * 12000))
        client.import_image_from_data(layer.getvalue(), repository="noise")
        saved = b"".join(client.get_image("noise:latest"))
        client.remove_image("noise:latest")

        client.load_image(saved)

        assert client.inspect_image("noise:latest")["Size"] == 3_000_000

    def test_an_image_is_built_from_a_context(
        self, client: docker.APIClient, registry_address: str
    ) -> None:
        dockerfile = f"FROM {registry_address}/lab/tiny\nLABEL made=there\n".encode()
        lines = list(client.build(fileobj=io.BytesIO(dockerfile), tag="made", decode=True))

        assert client.inspect_image("made")["Config"]["Labels"]["made"] == "there", lines

    def test_sixty_streams_at_one_time_are_no_trouble(
        self, client: docker.APIClient, container: str
    ) -> None:
        with contextlib.ExitStack() as open_ones:
            for _ in range(60):
                stream = DaemonStream(client, "/events", params={}, method="GET")
                open_ones.enter_context(stream)

            assert client.inspect_container(container)["State"]["Running"]


class TestHost:
    def test_a_card_is_requested_and_seen(
        self, client: docker.APIClient, registry_address: str
    ) -> None:
        request = docker.types.DeviceRequest(device_ids=["GPU-1"], capabilities=[["gpu"]])
        config = client.create_host_config(device_requests=[request])
        image = f"{registry_address}/lab/tiny"
        made = run(client, image, ["sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES"], host_config=config)
        client.wait(made)

        assert client.logs(made) == b"GPU-1\n"
        client.remove_container(made)

    def test_cards_are_told_over_the_same_connection(self, link: Link) -> None:
        assert "GPU-3f6c1a52" in link.run("parts").out
        with link.session("gpu") as lasting:
            lasting.settimeout(10)
            assert lasting.recv(5) == b"0, GP"

    def test_its_facts_are_read(self, link: Link) -> None:
        facts = link.facts()

        assert facts is not None
        assert (facts.docker_socket, facts.access) == ("/var/run/docker.sock", "open")
        assert facts.disk_free

    def test_an_engine_on_its_loopback_is_reached_through_the_tunnel(
        self, link: Link, client: docker.APIClient, registry_address: str
    ) -> None:
        client.pull(f"{registry_address}/lab/tone", tag="latest")
        config = client.create_host_config(port_bindings={8766: ("127.0.0.1", PORT)})
        made = run(client, f"{registry_address}/lab/tone", [], host_config=config, ports=[8766])
        try:
            assert not answers(PORT)
            with Tunnel(link, PORT) as tunnel:
                port = int(tunnel.url.rpartition(":")[2])
                until(lambda: answers(port), 20)
        finally:
            client.remove_container(made, force=True)

    def test_the_guest_is_told_what_is_missing(self, shared_box: Box) -> None:
        with Link(shared_box.guest) as link, pytest.raises(SocketForbidden, match="usermod -aG"):
            connect(link.docker_address)


class TestByCommand:
    """Where sshd forbids forwarding to sockets, Docker's own program carries the bytes."""

    @pytest.fixture
    def strict(self, make_box: MakeBox) -> Iterator[Link]:
        box = make_box(sshd_options="AllowStreamLocalForwarding no")
        with Link(box.target) as made:
            yield made

    def test_the_same_calls_go(self, strict: Link, registry_address: str) -> None:
        client = connect(strict.docker_address)
        client.pull(f"{registry_address}/lab/tiny", tag="latest")
        made = run(client, f"{registry_address}/lab/tiny", ["sh", "-c", "echo begun; sleep 600"])
        lines = client.logs(made, stream=True, follow=True)

        assert next(iter(lines)) == b"begun\n"
        assert strict.connection().way.means is Means.COMMAND

    def test_more_at_one_time_than_sshd_allows_are_refused_in_words(self, strict: Link) -> None:
        client = connect(strict.docker_address, timeout=1)
        with contextlib.ExitStack() as open_ones:
            streams = [
                open_ones.enter_context(DaemonStream(client, "/events", params={}, method="GET"))
                for _ in range(14)
            ]
            until(lambda: any(not stream._thread.is_alive() for stream in streams), 20)
            errors = [str(stream._error) for stream in streams if stream._error]

        assert errors
        assert all("AllowStreamLocalForwarding yes" in error for error in errors)
        until(client.ping)


class TestSpeed:
    def test_a_warm_call_costs_little_more_than_over_the_unix_socket(
        self, client: docker.APIClient, near: docker.APIClient
    ) -> None:
        tries = []
        for _ in range(3):
            tries.append((milliseconds(near.ping), milliseconds(client.ping)))
            print(f"ping, median of {CALLS}: unix {tries[-1][0]:.2f} ms, ssh {tries[-1][1]:.2f} ms")

        assert min(far - 1.5 * here for here, far in tries) <= 0.7

    def test_the_first_call_is_quick(self, shared_box: Box) -> None:
        spent = []
        for _ in range(5):
            begun = time.perf_counter()
            with Link(shared_box.target) as link:
                connect(link.docker_address)
                spent.append((time.perf_counter() - begun) * 1000)
        print(f"log-in and first call: {min(spent):.0f} to {max(spent):.0f} ms")

        assert min(spent) <= 130
