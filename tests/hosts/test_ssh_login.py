"""Logging in to a real sshd, and every way in which that can fail."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.runners.base import HostNotReady, HostUnreachable, RunnerError
from hosts.ssh.address import SshAddress
from hosts.ssh.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    HungUp,
    KeyRefused,
    NameUnknown,
    NoAnswer,
    NothingInCommon,
    NotSsh,
    Phase,
    PortClosed,
    SilentHost,
)
from hosts.ssh.keys import fresh_key
from hosts.ssh.login import log_in, offered_keys
from hosts.ssh.target import Limits, Target
from tests.bundled.running import free_port
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server

pytestmark = [pytest.mark.servers, pytest.mark.skipif(SSHD is None, reason=NO_SSHD)]
QUICK = Limits(name=3, answer=0.5, greeting=0.5, agreement=0.5, login=0.5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path) as one:
        yield one


@contextlib.contextmanager
def answering(words: bytes) -> Iterator[SshAddress]:
    """A port that takes one connection, says something and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as near:
                near.recv(100)
                near.sendall(words)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield SshAddress("anna", "127.0.0.1", listening.getsockname()[1])
        thread.join(5)


@contextlib.contextmanager
def broken_after(count: int, server: SshServer) -> Iterator[SshAddress]:
    """A way to a server that is reset once `count` bytes of its answers have come through."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def pass_on() -> None:
            near = listening.accept()[0]
            far = socket.create_connection(("127.0.0.1", server.port))
            left = count
            with near, far, contextlib.suppress(OSError):
                while left > 0:
                    for one in select.select([near, far], [], [], 5)[0]:
                        if not (data := one.recv(left if one is far else 65_536)):
                            return
                        left -= len(data) if one is far else 0
                        (near if one is far else far).sendall(data)
                reset = struct.pack("ii", 1, 0)
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

        thread = threading.Thread(target=pass_on, daemon=True)
        thread.start()
        yield SshAddress(server.target().address.user, "127.0.0.1", listening.getsockname()[1])
        thread.join(5)


def target(address: SshAddress) -> Target:
    return Target("gpu-box", address, fresh_key())


class TestSuccess:
    def test_a_command_runs_and_all_it_says_comes_back(self, server: SshServer) -> None:
        connection = log_in(server.target())
        said = connection.run("echo out; echo err >&2; exit 3", seconds=5)
        connection.close()

        assert (said.status, said.out, said.err, said.is_cut) == (3, "out\n", "err\n", False)

    def test_phases_are_told_as_they_pass(self, server: SshServer) -> None:
        phases: list[Phase] = []
        log_in(server.target(), passed=phases.append).close()

        assert phases == list(Phase)

    def test_output_without_end_is_cut(self, server: SshServer) -> None:
        connection = log_in(server.target())
        said = connection.run("yes", seconds=5, most_bytes=1000)
        connection.close()

        assert said.is_cut
        assert len(said.out) == 1000

    def test_it_is_quick(self, server: SshServer) -> None:
        begun = time.monotonic()
        log_in(server.target()).close()

        assert time.monotonic() - begun < 1.0

    @pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
    def test_an_accepted_kind_that_is_not_the_first_is_asked_for(
        self, tmp_path: Path, kind: str
    ) -> None:
        with ssh_server(tmp_path, kinds=("ed25519", "ecdsa", "rsa")) as server:
            known = tuple(key for key in server.host_keys if kind in key.kind)
            assert len(known) == 1

            log_in(server.target(known=known)).close()

    def test_all_kinds_are_offered_for_comparison(self, tmp_path: Path) -> None:
        with ssh_server(tmp_path, kinds=("ed25519", "ecdsa", "rsa")) as server:
            assert set(offered_keys(server.target().peer)) == set(server.host_keys)


class TestFailures:
    def test_a_name_that_nobody_knows(self) -> None:
        with pytest.raises(NameUnknown, match=r"The name nowhere\.invalid of gpu-box"):
            log_in(target(SshAddress("anna", "nowhere.invalid")), QUICK)

    def test_a_port_on_which_nothing_listens(self) -> None:
        with pytest.raises(PortClosed, match="nothing listens"):
            log_in(target(SshAddress("anna", "127.0.0.1", free_port())), QUICK)

    def test_a_machine_that_swallows_connections(self) -> None:
        with socket.socket() as full, contextlib.ExitStack() as waiting:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            with pytest.raises(NoAnswer, match=r"did not answer within 0\.5 s"):
                log_in(target(SshAddress("anna", *full.getsockname())), QUICK)

    def test_a_server_that_takes_the_connection_and_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            begun = time.monotonic()
            with pytest.raises(SilentHost, match=r"said nothing for 0\.5 s"):
                log_in(target(SshAddress("anna", *silent.getsockname())), QUICK)

        assert time.monotonic() - begun < 2.0

    def test_a_server_that_hangs_up(self) -> None:
        with answering(b"") as address, pytest.raises(HungUp, match="hung up before the log-in"):
            log_in(target(address), QUICK)

    @pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\x00"])
    def test_a_server_of_something_else(self, words: bytes) -> None:
        with answering(words) as address, pytest.raises(NotSsh, match="not an SSH server"):
            log_in(target(address), QUICK)

    def test_a_connection_that_is_reset_fails_in_words_wherever_it_is(
        self, server: SshServer
    ) -> None:
        words: dict[str, int] = {}
        for count in range(20, 4_000, 60):
            with broken_after(count, server) as address:
                there = dataclasses.replace(server.target(), address=address)
                try:
                    log_in(there).close()
                except RunnerError as failure:
                    words[str(failure)] = count
                else:
                    break

        assert 1_000 < count < 3_900, "it was not cut from greeting to log-in"
        assert all("gpu-box" in one or "127.0.0.1" in one for one in words), words

    def test_an_sshd_with_nothing_in_common(self, tmp_path: Path) -> None:
        old = "KexAlgorithms diffie-hellman-group1-sha1"
        with ssh_server(tmp_path, options=old) as server, pytest.raises(NothingInCommon) as failed:
            log_in(server.target(), QUICK)

        assert "kex" in failed.value.detail

    def test_a_host_that_nobody_has_accepted(self, server: SshServer) -> None:
        with pytest.raises(HostKeyUnknown) as failed:
            log_in(server.target(known=()))

        assert failed.value.offered == (server.host_keys[0].shown,)
        assert "Accepted" not in server.log()

    def test_a_host_whose_key_has_changed(self, server: SshServer) -> None:
        before = server.target()
        server.stop()
        server.make_host_keys()
        server.start()

        with pytest.raises(HostKeyChanged) as failed:
            log_in(before)

        assert failed.value.old == (before.known[0].shown,)
        assert failed.value.new == server.host_keys[0].shown

    def test_a_host_that_has_only_another_kind_of_key_now(self, tmp_path: Path) -> None:
        with ssh_server(tmp_path) as server:
            before = server.target()
            server.stop()
            server.kinds = ("ecdsa",)
            server.make_host_keys()
            server.start()
            with pytest.raises(HostKeyChanged) as failed:
                log_in(before)

            assert failed.value.new == server.host_keys[0].shown

    def test_a_key_that_is_not_let_in(self, server: SshServer) -> None:
        server.allow("# nobody")

        with pytest.raises(KeyRefused, match=f"for the user {server.address.user}"):
            log_in(server.target())

    def test_an_sshd_that_wants_a_password_as_well(self, tmp_path: Path) -> None:
        options = "AuthenticationMethods publickey,password\nPasswordAuthentication yes"
        with ssh_server(tmp_path, options=options) as server, pytest.raises(KeyRefused) as failed:
            log_in(server.target())

        assert "password" in failed.value.detail

    def test_an_sshd_that_is_frozen(self, server: SshServer) -> None:
        server.freeze()
        begun = time.monotonic()

        with pytest.raises(SilentHost):
            log_in(server.target(), QUICK)

        assert time.monotonic() - begun < 2.0

    def test_each_says_whether_the_host_is_there_at_all(self) -> None:
        assert issubclass(SilentHost, HostUnreachable)
        assert issubclass(KeyRefused, HostNotReady)
        codes = [kind.code for kind in _all(RunnerError) if kind.code.startswith("SSH_")]
        assert len(codes) == len(set(codes))


def _all(kind: type[RunnerError]) -> Iterator[type[RunnerError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _all(below)
