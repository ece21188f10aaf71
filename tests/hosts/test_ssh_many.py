"""Many hosts in one process: dead ones slow down nobody, and each that is held costs little."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hosts.remote_links import Links
from hosts.ssh.address import SshAddress
from hosts.ssh.errors import NameUnknown, PortClosed, SilentHost
from hosts.ssh.link import Link, LinkState
from hosts.ssh.target import Target
from tests.bundled.running import free_port
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server
from tests.hosts.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.skipif(SSHD is None, reason=NO_SSHD)]
MANY = "MaxStartups 200\nMaxSessions 20"
HELD, EACH_MIB = 50, 0.3
CALL_SECONDS = 0.1
MIB = 2**20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path, options=MANY) as one:
        yield one


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield int(listening.getsockname()[1])


def at(target: Target, number: int, *, host: str = "127.0.0.1", port: int) -> Target:
    return Target(f"box-{number}", SshAddress("anna", host, port), target.key, target.known)


def dead_targets(target: Target, silent_port: int) -> list[Target]:
    """Ten: some refuse, some are silent, some are nowhere, some have no address."""
    return [
        *(at(target, number, port=free_port()) for number in range(3)),
        *(at(target, number, port=silent_port) for number in range(3, 6)),
        *(at(target, number, host="192.0.2.9", port=22) for number in range(6, 8)),
        *(at(target, number, host="box.invalid", port=22) for number in range(8, 10)),
    ]


def own_memory() -> int:
    """Bytes of this process that no other shares."""
    return int(psutil.Process(os.getpid()).memory_full_info().uss)


def is_up(link: Link) -> bool:
    return link.news.state is LinkState.UP


def test_ten_dead_hosts_slow_down_none_of_ten_living_ones(server: SshServer) -> None:
    held = Links()
    with silent() as port:
        dead = [
            held.link(f"dead-{number}", target)
            for number, target in enumerate(dead_targets(server.target(), port))
        ]
        alive = [held.link(f"alive-{number}", server.target()) for number in range(10)]
        until(lambda: all(map(is_up, alive)), 10)
        reasons: dict[Link, type[Exception]] = {}

        def all_failed() -> bool:
            reasons.update({link: type(why) for link in dead if (why := link.news.failure)})
            return len(reasons) == len(dead)

        until(all_failed, 20)

        spent: list[float] = []

        def ask(link: Link) -> None:
            for _ in range(20):
                begun = time.perf_counter()
                link.connection()
                spent.append(time.perf_counter() - begun)
                time.sleep(0.01)

        askers = [threading.Thread(target=ask, args=(link,)) for link in alive]
        for asker in askers:
            asker.start()
        for link in dead:
            link.try_now()
        for asker in askers:
            asker.join(10)

        assert len(spent) == 200
        assert max(spent) < CALL_SECONDS
        assert alive[0].run("echo hello").out == "hello\n"
        assert {PortClosed, SilentHost, NameUnknown} <= set(reasons.values())
        held.keep_only(())


def test_calls_to_a_dead_host_fail_at_once_with_its_reason(server: SshServer) -> None:
    with Link(at(server.target(), 1, port=free_port())) as link:
        until(lambda: link.news.state is LinkState.WAITING, 10)
        spent = []
        for _ in range(20):
            begun = time.perf_counter()
            with pytest.raises(Exception, match="box-1"):
                link.connection()
            spent.append(time.perf_counter() - begun)

    assert statistics.median(spent) < 0.01


def test_fifty_hosts_are_held_at_once_for_little_memory(server: SshServer) -> None:
    with Link(server.target()) as first:  # what is loaded once is no host's own
        first.connection()
        before, threads = own_memory(), threading.active_count()
        held = Links()
        links = [held.link(f"box-{number}", server.target()) for number in range(HELD)]
        until(lambda: all(map(is_up, links)), 60)
        each = (own_memory() - before) / HELD / MIB
        print(f"{each:.2f} MiB and {(threading.active_count() - threads) / HELD:.0f} threads each")

        assert all(link.run("echo hello").status == 0 for link in links[::10])
        held.keep_only(())
    assert each < EACH_MIB * 1.5  # the limit is the bench's, on a machine that does nothing else
