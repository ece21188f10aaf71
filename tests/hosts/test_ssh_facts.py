"""Reading what the forced command says of a host."""

from __future__ import annotations

import pytest

from hosts.ssh.facts import read_facts

LINUX = """\
abm 1 sock=/run/user/1000/docker.sock access=open
Linux aarch64
0.42 0.36 0.30 2/811 4242
MemTotal:       16303420 kB
MemFree:          823456 kB
MemAvailable:   12065432 kB
Filesystem     1024-blocks      Used Available Capacity Mounted on
/dev/nvme0n1p2   479596204 301548232 153611748      67% /
"""
MACOS = """\
abm 1 sock=/var/run/docker.sock access=open
Darwin arm64
Filesystem   1024-blocks      Used Available Capacity  Mounted on
/dev/disk3s5   965595304 512345678 400000000    57%    /System/Volumes/Data
"""


def test_a_linux_host_tells_all() -> None:
    facts = read_facts(LINUX)

    assert facts is not None
    assert (facts.docker_socket, facts.access) == ("/run/user/1000/docker.sock", "open")
    assert (facts.system, facts.machine, facts.load) == ("Linux", "aarch64", 0.42)
    assert (facts.memory_total, facts.memory_available) == (16303420 * 1024, 12065432 * 1024)
    assert (facts.disk_total, facts.disk_free) == (479596204 * 1024, 153611748 * 1024)


def test_what_a_system_does_not_have_is_unknown() -> None:
    facts = read_facts(MACOS)

    assert facts is not None
    assert (facts.system, facts.machine) == ("Darwin", "arm64")
    assert facts.memory_total is facts.memory_available is facts.load is None
    assert facts.disk_free == 400000000 * 1024


def test_what_a_start_up_file_says_before_is_passed_over() -> None:
    assert read_facts(f"Welcome, anna!\n{LINUX}") == read_facts(LINUX)


@pytest.mark.parametrize(
    "text", ["", "bash: facts: command not found\n", "abm 1 sock=relative access=open\n"]
)
def test_another_answer_is_none(text: str) -> None:
    assert read_facts(text) is None
