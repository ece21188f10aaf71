"""Where a container listens is read from /proc, and a silent engine is explained by it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from hosts.runners.base import EngineEndpoint
from hosts.runners.docker.control_group import memory_of
from hosts.runners.docker.listening import Listener, address_problem, is_reached, listeners_of

CONTAINER = "3f" * 32
ENDPOINT = EngineEndpoint("http://127.0.0.1:8770", 8770)
ANYWHERE = (Listener("0.0.0.0", 8766),)
TITLES = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def root_with(folder: Path, *, cgroup: str, tcp: str = "", tcp6: str = "") -> Path:
    """A file system in which process 77 is all there is."""
    process = folder / "proc/77"
    (process / "net").mkdir(parents=True)
    (process / "cgroup").write_text(cgroup)
    (process / "net/tcp").write_text(TITLES + tcp)
    (process / "net/tcp6").write_text(TITLES + tcp6)
    return folder


def problem(
    heard: tuple[Listener, ...] | None,
    *,
    endpoint: EngineEndpoint | None = ENDPOINT,
    is_reached: bool = False,
    is_abm_contained: bool = False,
    is_elsewhere: bool = False,
) -> str:
    return address_problem(
        endpoint,
        heard,
        name="tiny",
        inner_port=8766,
        is_reached=is_reached,
        is_abm_contained=is_abm_contained,
        is_elsewhere=is_elsewhere,
    )


@pytest.mark.skipif(sys.byteorder != "little", reason="the rows are those of a little machine")
def test_only_what_waits_for_connections_is_told(tmp_path: Path) -> None:
    tcp = (
        "   0: 0100007F:223E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0\n"
        "   1: 0B00007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0\n"
        "   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0\n"
        "   3: 020011AC:223E 010011AC:D431 01 00000000:00000000 00:00000000 00000000  0\n"
    )
    tcp6 = (
        "   0: 00000000000000000000000001000000:2329 00000000000000000000000000000000:0000 0A\n"
        "   1: 0000000000000000FFFF00000100007F:232A 00000000000000000000000000000000:0000 0A\n"
    )
    root = root_with(tmp_path, cgroup=f"0::/docker/{CONTAINER}\n", tcp=tcp, tcp6=tcp6)

    assert listeners_of(77, CONTAINER, root=root) == (
        Listener("0.0.0.0", 8080),
        Listener("127.0.0.1", 8766),
        Listener("127.0.0.1", 9002),
        Listener("::1", 9001),
    )


def test_a_process_of_something_else_is_not_asked(tmp_path: Path) -> None:
    root = root_with(tmp_path, cgroup="0::/user.slice\n")

    assert listeners_of(77, CONTAINER, root=root) is None
    assert listeners_of(78, CONTAINER, root=root) is None
    assert memory_of(77, CONTAINER, root=root) is None


def test_this_very_process_is_read_as_it_is() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        group = Path("/proc/self/cgroup").read_text().splitlines()[0].split(":", 2)[2]

        heard = listeners_of(os.getpid(), group)

        assert heard is not None
        assert Listener("127.0.0.1", held.getsockname()[1]) in heard


@pytest.mark.parametrize(
    ("line", "folder", "used", "kept"),
    [
        ("0::", "sys/fs/cgroup", "memory.current", "inactive_file"),
        ("4:memory:", "sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_memory_is_read_without_what_the_kernel_keeps(
    tmp_path: Path, line: str, folder: str, used: str, kept: str
) -> None:
    root = root_with(tmp_path, cgroup=f"7:pids:/other\n{line}/docker/{CONTAINER}\n")
    group = root / folder / "docker" / CONTAINER
    group.mkdir(parents=True)
    (group / used).write_text("5000\n")
    (group / "memory.stat").write_text(f"anon 1\n{kept} 1200\n")

    assert memory_of(77, CONTAINER, root=root) == 3800


def test_an_engine_on_its_own_loopback_is_told_how_to_listen() -> None:
    words = problem((Listener("127.0.0.1", 8766), Listener("::1", 8766)), is_reached=True)

    assert "127.0.0.1 inside its container" in words and "--host 0.0.0.0" in words


def test_an_engine_on_another_port_is_told_both() -> None:
    assert "port 9000 and 9001 inside its container instead of 8766" in (
        problem((Listener("0.0.0.0", 9000), Listener("0.0.0.0", 9001)))
    )


def test_an_engine_that_is_still_starting_has_no_wrong_address() -> None:
    assert problem(()) == ""


def test_abm_in_a_container_of_its_own_is_told_of_networks() -> None:
    words = problem(ANYWHERE, is_abm_contained=True)

    assert "127.0.0.1 is not the host" in words and "ENGINE_NETWORK" in words
    assert problem(None, is_abm_contained=True) == words


def test_a_way_that_is_cut_is_told() -> None:
    assert "takes no connection" in problem(ANYWHERE)


def test_what_answers_has_no_problem() -> None:
    assert problem(ANYWHERE, is_reached=True) == ""
    assert problem(None) == "", "nothing is known, so nothing is said"


def test_an_engine_without_a_way_to_it_is_told() -> None:
    assert "leads nowhere" in problem(ANYWHERE, endpoint=None)


def test_a_connection_is_tried() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        endpoint = EngineEndpoint(address, held.getsockname()[1])
        assert not is_reached(endpoint)
        held.listen()
        assert is_reached(endpoint)


def test_a_docker_of_another_machine_says_which_setting_names_it() -> None:
    said = problem(None, is_elsewhere=True)

    assert "another machine" in said
    assert "DOCKER_ENGINE_HOST" in said
    assert problem(None, is_elsewhere=True, is_reached=True) == ""
