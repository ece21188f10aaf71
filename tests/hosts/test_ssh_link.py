"""A lasting connection to a real sshd: kept, given up in time, and made again."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from paramiko.common import cMSG_CHANNEL_DATA
from paramiko.message import Message

from hosts.link.turns import FEW, turns
from hosts.remote_links import Links
from hosts.runners.base import HostUnreachable
from hosts.runners.docker.connection import connect
from hosts.ssh.channel import ChannelSocket
from hosts.ssh.connection import MOST_SESSIONS, Connection
from hosts.ssh.errors import HostKeyChanged, KeyRefused, LinkBusy, LinkLost, TooManySessions
from hosts.ssh.link import BEAT_SECONDS, Link, LinkNews, LinkState
from hosts.ssh.login import log_in
from hosts.ssh.target import USUAL, Limits
from hosts.ssh.transport import Transport
from hosts.ssh.tunnel import Tunnel
from tests.hosts.spoken_daemon import folder_for_sockets, speaking
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server
from tests.hosts.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.skipif(SSHD is None, reason=NO_SSHD)]
IMPATIENT = Limits(name=1, answer=1, greeting=1, agreement=1, login=1, ping_after=0.4, silence=1.5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path) as one:
        yield one


@pytest.fixture
def sock() -> Iterator[Path]:
    with folder_for_sockets() as folder, speaking(folder / "docker.sock"):
        yield folder / "docker.sock"


@pytest.fixture
def link(server: SshServer, sock: Path) -> Iterator[Link]:
    with Link(server.target(docker_socket=str(sock)), limits=IMPATIENT) as made:
        made.connection(5)
        yield made


@pytest.fixture
def connection(server: SshServer) -> Iterator[Connection]:
    made = log_in(server.target())
    yield made
    made.close()


@contextlib.contextmanager
def echoing() -> Iterator[int]:
    """A port that says back what it hears, to any number of callers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def say_back(near: socket.socket) -> None:
            with contextlib.suppress(OSError), near:
                while heard := near.recv(2**16):
                    near.sendall(heard)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near = listening.accept()[0]
                    threading.Thread(target=say_back, args=(near,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def is_waiting(link: Link) -> bool:
    return link.news.state is LinkState.WAITING


class TestDocker:
    def test_a_client_speaks_to_the_far_daemon(self, link: Link) -> None:
        with contextlib.closing(connect(link.docker_address)) as client:
            assert client.version()["Version"] == "20.10.24+dfsg1"
            assert client.info()["Driver"] == "overlay2"

    def test_clients_share_channels_and_closing_one_leaves_them(self, link: Link) -> None:
        for _ in range(5):
            with contextlib.closing(connect(link.docker_address)) as client:
                client.version(api_version=False)

        assert len(link.connection()._transport._held) == 1

    def test_a_daemon_that_ends_its_channel_is_asked_over_a_new_one(
        self, link: Link, sock: Path
    ) -> None:
        client = connect(link.docker_address)
        sock.unlink()
        with speaking(sock) as answers:
            channel = link.pool.pool.queue[-1].sock  # type: ignore[union-attr]
            channel.shutdown(socket.SHUT_RDWR)
            client.version(api_version=False)

        assert answers.asked == ["/version"]

    def test_a_call_that_is_not_answered_ends_at_its_deadline(
        self, server: SshServer, link: Link
    ) -> None:
        client = connect(link.docker_address, timeout=0.3)
        server.freeze()
        begun = time.monotonic()

        with pytest.raises(requests.Timeout):
            client.version(api_version=False)

        assert time.monotonic() - begun < 1.0


class TestResting:
    LIMITS = replace(IMPATIENT, idle=0.5)

    def test_a_link_that_nobody_uses_closes_and_the_next_call_makes_it_anew(
        self, server: SshServer, sock: Path
    ) -> None:
        with Link(server.target(docker_socket=str(sock)), limits=self.LIMITS) as link:
            client = connect(link.docker_address)
            first = link.connection()
            until(lambda: link.news.state is LinkState.IDLE, 5)
            until(lambda: len(server.processes()) == 1, 5)
            until(lambda: not _transports(), 5)

            assert client.version()["ApiVersion"]
            assert link.connection() is not first

    def test_a_stream_that_is_silent_for_long_keeps_it(self, server: SshServer) -> None:
        with Link(server.target(), limits=self.LIMITS) as link, echoing() as port:
            stream = link.tcp(port)
            connection = link.connection()
            time.sleep(self.LIMITS.idle + 2 * BEAT_SECONDS)
            stream.sendall(b"still here")

            assert stream.recv(100) == b"still here"
            assert link.connection() is connection

    def test_jobs_on_one_host_at_one_time_share_one_connection(self, server: SshServer) -> None:
        held = Links()
        found: list[Connection] = []

        def job() -> None:
            link = held.link("box", server.target())
            assert link.run("echo hello").out == "hello\n"
            found.append(link.connection())

        jobs = [threading.Thread(target=job) for _ in range(8)]
        for one in jobs:
            one.start()
        for one in jobs:
            one.join(10)

        assert len(found) == 8
        assert len(set(map(id, found))) == 1
        held.keep_only(())


class TestBreaking:
    def test_a_frozen_host_is_given_up_in_time_while_idle(
        self, server: SshServer, link: Link
    ) -> None:
        server.freeze()
        begun = time.monotonic()
        until(lambda: isinstance(link.news.failure, HostUnreachable), 8)

        assert time.monotonic() - begun < IMPATIENT.silence + 2 * BEAT_SECONDS
        with pytest.raises(HostUnreachable):
            link.facts()

    def test_with_the_usual_limits_that_takes_less_than_fifteen_seconds(self) -> None:
        assert USUAL.silence + 2 * BEAT_SECONDS < 15

    def test_a_frozen_host_ends_a_call_that_waits_for_ever(
        self, server: SshServer, link: Link
    ) -> None:
        wire = link.session("sleep 60")
        wire.settimeout(None)
        server.freeze()

        with pytest.raises(ConnectionResetError, match="no sign of life"):
            wire.recv(1)

    def test_a_frozen_host_ends_a_sender_whose_bytes_go_nowhere(
        self, server: SshServer, link: Link
    ) -> None:
        wire = link.session("cat >/dev/null")
        server.freeze()

        with pytest.raises(OSError):
            for _ in range(2000):
                wire.sendall(b"x" * 2**16)

    def test_a_quiet_host_that_lives_is_kept(self, link: Link) -> None:
        connection = link.connection()
        quiet = IMPATIENT.silence + 2 * BEAT_SECONDS
        time.sleep(quiet)

        assert link.connection() is connection

    def test_an_sshd_that_ends_is_noticed_at_once_and_found_again(
        self, server: SshServer, link: Link
    ) -> None:
        server.stop()
        until(lambda: is_waiting(link), 3)
        server.start()
        link.try_now()

        assert link.connection(5).run("echo back", seconds=5).out == "back\n"

    def test_while_it_is_down_a_call_fails_at_once_with_the_reason(
        self, server: SshServer, link: Link
    ) -> None:
        server.stop()
        until(lambda: is_waiting(link) and link.news.failure.code == "SSH_REFUSED", 5)  # type: ignore[union-attr]
        begun = time.monotonic()

        with pytest.raises(HostUnreachable, match="nothing listens"):
            link.facts()

        assert time.monotonic() - begun < 0.1

    def test_each_caller_gets_a_failure_of_its_own(self, server: SshServer, link: Link) -> None:
        server.stop()
        until(lambda: is_waiting(link), 5)
        failures = []
        for _ in range(2):
            with pytest.raises(HostUnreachable) as failed:
                link.connection()
            failures.append(failed.value)

        assert failures[0] is not failures[1]
        assert failures[0].message == failures[1].message

    def test_a_host_key_that_changes_behind_a_break_is_refused(
        self, server: SshServer, link: Link
    ) -> None:
        server.stop()
        server.make_host_keys()
        server.start()
        link.try_now()

        until(lambda: isinstance(link.news.failure, HostKeyChanged), 5)
        with pytest.raises(HostKeyChanged):
            link.docker()

    def test_a_refused_key_is_not_tried_again_soon(self, server: SshServer, sock: Path) -> None:
        server.allow("# nobody")
        with Link(server.target(), limits=IMPATIENT) as link:
            until(lambda: is_waiting(link), 5)

            assert isinstance(link.news.failure, KeyRefused)
            assert (link.news.retry_in or 0) >= 30

    def test_waits_grow_and_differ(self, server: SshServer) -> None:
        server.stop()
        told: list[LinkNews] = []
        with Link(server.target(), limits=IMPATIENT, told=told.append) as link:
            for count in range(1, 5):
                until(lambda: sum(news.retry_in is not None for news in told) >= count, 5)  # noqa: B023
                link.try_now()
        waits = [news.retry_in for news in told if news.retry_in is not None][:4]

        assert [
            least <= wait <= 2 * least for least, wait in zip((0.5, 1, 2, 4), waits, strict=True)
        ] == [True] * 4
        assert len(set(waits)) == 4

    def test_a_dead_host_slows_no_living_one_down(
        self, server: SshServer, link: Link, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        with ssh_server(tmp_path / "other") as other:
            with Link(other.target(), limits=IMPATIENT) as frozen:
                frozen.connection(5)
                other.freeze()
                callers = [
                    threading.Thread(target=_tries, args=(frozen,), daemon=True) for _ in range(8)
                ]
                for caller in callers:
                    caller.start()
                client, slowest = connect(link.docker_address), 0.0
                for _ in range(30):
                    begun = time.monotonic()
                    client.version(api_version=False)
                    slowest = max(slowest, time.monotonic() - begun)
                assert slowest < 0.25
            for caller in callers:
                caller.join(10)
            assert not any(caller.is_alive() for caller in callers)

    def test_news_are_told_in_order(self, server: SshServer) -> None:
        told: list[LinkState] = []
        with Link(server.target(), told=lambda news: told.append(news.state)) as link:
            link.connection(5)
            until(lambda: LinkState.UP in told)

        assert told == [LinkState.CONNECTING, LinkState.UP]
        with pytest.raises(LinkLost):
            link.connection()

    def test_words_that_come_after_the_end_of_their_channel_are_not_sent(
        self, server: SshServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """sshd ends a connection that speaks of a channel which both sides have closed."""
        with Link(server.target()) as link, echoing() as port:
            connection = link.connection()
            transport, held_up = connection._transport, threading.Event()
            sends_at_once = transport._send_user_message

            def send(message: Message) -> None:
                if message.asbytes()[:1] == cMSG_CHANNEL_DATA:
                    held_up.wait(5)
                sends_at_once(message)

            monkeypatch.setattr(transport, "_send_user_message", send)
            stream = link.tcp(port)
            sending = threading.Thread(target=stream.send, args=(b"late",))
            sending.start()
            until(lambda: stream.channel.out_window_size < 2**21)  # taken, but not yet sent
            stream.shutdown(socket.SHUT_RDWR)
            until(lambda: connection.channel_count == 0)
            held_up.set()
            sending.join(5)

            assert link.run("echo hello").status == 0
            assert link.connection() is connection

    def test_streams_that_are_shut_while_they_send_do_not_break_it(self, server: SshServer) -> None:
        with Link(server.target()) as link, echoing() as port:
            connection = link.connection()
            for number in range(100):
                stream = link.tcp(port)
                sending = threading.Thread(target=_sends, args=(stream,))
                sending.start()
                time.sleep(number % 10 / 5000)
                with contextlib.suppress(ConnectionError):
                    stream.shutdown(socket.SHUT_RDWR)
                sending.join(5)

            assert link.run("echo hello").status == 0
            assert link.connection() is connection

    def test_a_closed_link_leaves_no_thread_behind(self, server: SshServer) -> None:
        with Link(server.target()) as link:
            link.connection(5)
            assert _transports()

        until(lambda: not _transports(), 5)
        until(lambda: turns.thread_count <= FEW, 5)


def _transports() -> list[Transport]:
    return [one for one in threading.enumerate() if isinstance(one, Transport)]


def _sends(stream: ChannelSocket) -> None:
    with contextlib.suppress(OSError):
        while True:
            stream.sendall(b"some words")


def _tries(link: Link) -> None:
    with contextlib.suppress(HostUnreachable):
        link.run("echo", seconds=3)


class TestChannels:
    def test_a_thousand_of_them_leave_nothing_behind(self, connection: Connection) -> None:
        with echoing() as port:
            for _ in range(1000):
                with connection.tcp(port, 5) as wire:
                    wire.sendall(b"x")
                    assert wire.recv(1) == b"x"
        transport = connection._transport
        until(lambda: not transport._held)

        assert len(transport.channels_seen) < 50
        assert not transport.channel_events

    def test_one_that_is_answered_too_late_is_closed_again(
        self, server: SshServer, connection: Connection
    ) -> None:
        with echoing() as port:
            server.freeze()
            with pytest.raises(LinkBusy, match=r"open a channel within 0\.2 s"):
                connection.tcp(port, 0.2)
            assert connection._transport._held
            server.thaw()

            until(lambda: not connection._transport._held)
            connection.tcp(port, 5).close()

    def test_forgotten_ones_are_closed_at_the_next_beat(self, connection: Connection) -> None:
        with echoing() as port:
            wire = connection.tcp(port, 5)
            del wire
            gc.collect()
            connection.beat()

            until(lambda: not connection._transport._held)

    def test_a_forgotten_command_gives_its_place_back(self, connection: Connection) -> None:
        for _ in range(2 * MOST_SESSIONS):
            connection.session("cat", 5)
            gc.collect()
            connection.beat()

    def test_commands_beyond_what_sshd_allows_wait_and_then_say_why(
        self, connection: Connection
    ) -> None:
        with contextlib.ExitStack() as held:
            for _ in range(MOST_SESSIONS):
                held.enter_context(connection.session("cat", 5))
            with pytest.raises(TooManySessions):
                connection.run("echo", seconds=0.3)

        assert connection.run("echo free", seconds=5).out == "free\n"

    def test_a_command_that_does_not_end_is_left_at_the_deadline(
        self, connection: Connection
    ) -> None:
        begun = time.monotonic()
        with pytest.raises(LinkBusy, match=r"finish `sleep 60` within 0\.3 s"):
            connection.run("sleep 60", seconds=0.3)

        assert time.monotonic() - begun < 1.0

    def test_a_reader_wakes_up_when_another_thread_shuts_it(self, connection: Connection) -> None:
        wire = connection.session("sleep 60", 5)
        wire.settimeout(None)
        other = threading.Timer(0.1, wire.shutdown, [socket.SHUT_RDWR])
        other.start()

        assert wire.recv(1) == b""
        other.join(5)

    def test_one_of_a_dead_connection_fails_as_sockets_do(self, connection: Connection) -> None:
        with echoing() as port:
            wires = [connection.tcp(port, 5) for _ in range(3)]
            connection._transport.wire.cut()
            with pytest.raises(OSError):
                for _ in range(100):
                    wires[0].sendall(b"x" * 2**16)
            with pytest.raises(ConnectionResetError):
                wires[1].recv(1)
            for wire in wires:
                wire.shutdown(socket.SHUT_RDWR)
                wire.close()

    def test_selectors_see_what_comes_and_that_there_is_room(self, connection: Connection) -> None:
        with echoing() as port, connection.tcp(port, 5) as wire:
            wire.setblocking(False)
            with pytest.raises(BlockingIOError):
                wire.recv(1)
            wire.send(b"hello")
            until(lambda: _readable(wire))

            assert wire.recv(10) == b"hello"
            assert not _readable(wire)


def _readable(wire: ChannelSocket) -> bool:
    return bool(select.select([wire], [], [], 0)[0])


class TestTunnel:
    def test_bytes_go_both_ways_and_the_end_is_passed_on(self, connection: Connection) -> None:
        payload = bytes(range(256)) * 8000
        with echoing() as port, Tunnel(connection, port) as tunnel:
            place = ("127.0.0.1", int(tunnel.url.rpartition(":")[2]))
            with socket.create_connection(place) as one:
                threading.Thread(target=one.sendall, args=(payload,), daemon=True).start()
                heard = b""
                while len(heard) < len(payload):
                    heard += one.recv(2**16)
                one.shutdown(socket.SHUT_WR)

                assert heard == payload
                assert one.recv(1) == b""

    def test_its_place_survives_a_reconnect(
        self, server: SshServer, link: Link, tmp_path: Path
    ) -> None:
        with echoing() as port, folder_for_sockets() as folder:
            path = folder / "t" / "engine.sock"
            with Tunnel(link, port, path=path):
                assert _said_back(path) == b"x"
                server.stop()
                until(lambda: is_waiting(link), 5)
                assert _said_back(path) == b""
                server.start()
                link.try_now()
                until(lambda: _said_back(path) == b"x")

    def test_its_socket_is_for_this_user_alone_and_goes_with_it(
        self, connection: Connection
    ) -> None:
        with echoing() as port, folder_for_sockets() as folder:
            path = folder / "t" / "engine.sock"
            with Tunnel(connection, port, path=path):
                assert path.stat().st_mode & 0o777 == 0o600
                assert path.parent.stat().st_mode & 0o777 == 0o700
            assert not path.exists()


def _said_back(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(5)
        one.connect(str(path))
        with contextlib.suppress(ConnectionError):
            one.sendall(b"x")
            return one.recv(1)
    return b""
