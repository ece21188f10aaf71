"""What abm's line in authorized_keys allows on a real sshd, and what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from hosts.ssh.connection import Connection
from hosts.ssh.errors import DockerDown, ForwardingForbidden
from hosts.ssh.key_line import key_line
from hosts.ssh.login import log_in
from hosts.ssh.transport import ChannelRefused
from tests.hosts.spoken_daemon import folder_for_sockets, speaking
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server

pytestmark = [pytest.mark.servers, pytest.mark.skipif(SSHD is None, reason=NO_SSHD)]


@pytest.fixture
def sock() -> Iterator[Path]:
    with folder_for_sockets() as folder, speaking(folder / "docker.sock"):
        yield folder / "docker.sock"


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield int(one.getsockname()[1])


@pytest.fixture
def connection(tmp_path: Path, sock: Path, listening: int) -> Iterator[Connection]:
    """Let in by abm's line, with the listening port and its neighbour as ports of engines."""
    with ssh_server(tmp_path, options="Subsystem sftp internal-sftp") as server:
        ports = range(listening, listening + 2)
        server.allow(_line(server, sock, ports, root=tmp_path))
        made = log_in(server.target(docker_socket=str(sock)))
        yield made
        made.close()


def _line(server: SshServer, sock: Path, ports: range, *, root: Path) -> str:
    return key_line(server.key.public, "docker:gpu", ports=ports, socket=str(sock), root=str(root))


def _says(connection: Connection, command: str) -> str:
    return connection.run(command, seconds=5).out


class TestAllowed:
    def test_dockers_socket(self, connection: Connection) -> None:
        with connection.docker(5) as wire:
            wire.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")

            assert wire.recv(12) == b"HTTP/1.1 200"

    def test_a_port_of_an_engine(self, connection: Connection, listening: int) -> None:
        connection.tcp(listening, 5).close()

    def test_an_engines_port_on_which_nothing_listens_yet(
        self, connection: Connection, listening: int
    ) -> None:
        with pytest.raises(ConnectionRefusedError):
            connection.tcp(listening + 1, 5)

    def test_the_hosts_facts(self, connection: Connection, sock: Path) -> None:
        facts = connection.facts()

        assert facts is not None
        assert facts.docker_socket == str(sock)
        assert facts.access == "open"
        assert facts.system
        assert facts.memory_total and facts.memory_available and facts.disk_free
        assert facts.disk_free <= (facts.disk_total or 0)
        assert facts.load is not None


class TestRefused:
    def test_another_socket(self, connection: Connection, sock: Path) -> None:
        with speaking(sock.with_name("other.sock")), pytest.raises(ChannelRefused):
            connection.socket(str(sock.with_name("other.sock")), 5)

    def test_another_port(self, connection: Connection, listening: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            assert port not in range(listening, listening + 2)
            with pytest.raises(ForwardingForbidden, match=f"port {port}"):
                connection.tcp(port, 5)

    @pytest.mark.parametrize(
        "command", ["id", "docker; id", "gpu $(id)", "gpu`id`", "sh", "docker\nid", "*) id", "' id"]
    )
    def test_a_command_of_ones_own_gives_the_facts(
        self, connection: Connection, command: str
    ) -> None:
        said = _says(connection, command)

        assert said.startswith("abm 1 sock=/")
        assert "uid=" not in said

    def test_a_shell(self, connection: Connection) -> None:
        channel = connection._transport.open_session(timeout=5)
        channel.settimeout(5)
        channel.invoke_shell()
        channel.sendall(b"id\n")

        assert channel.recv(10) == b"abm 1 sock"

    def test_a_terminal(self, connection: Connection) -> None:
        channel = connection._transport.open_session(timeout=5)

        with pytest.raises(paramiko.SSHException):
            channel.get_pty()

    def test_files(self, connection: Connection) -> None:
        channel = connection._transport.open_session(timeout=5)
        channel.settimeout(5)
        channel.invoke_subsystem("sftp")

        assert channel.recv(10) == b"abm 1 sock"

    def test_a_port_of_ones_own_on_the_host(self, connection: Connection) -> None:
        with pytest.raises(paramiko.SSHException):
            connection._transport.request_port_forward("127.0.0.1", 0)


class TestWhereTheLineIsOlderThanTheSocket:
    def test_the_host_says_where_its_socket_is(self, tmp_path: Path, sock: Path) -> None:
        with ssh_server(tmp_path) as server:
            server.allow(_line(server, sock, range(20000, 20001), root=tmp_path))
            connection = log_in(server.target(docker_socket="/var/run/elsewhere.sock"))
            connection.docker(5).close()

            assert connection.way.socket == str(sock)
            connection.close()

    def test_a_daemon_that_is_down_is_told_apart(self, tmp_path: Path) -> None:
        with folder_for_sockets() as folder, ssh_server(tmp_path) as server:
            with speaking(folder / "docker.sock"):
                server.allow(_line(server, folder / "docker.sock", range(1, 2), root=tmp_path))
            connection = log_in(server.target(docker_socket=str(folder / "docker.sock")))
            with pytest.raises(DockerDown, match="Start Docker there"):
                connection.docker(10)
            connection.close()
