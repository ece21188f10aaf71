"""A shell in a container of a real daemon: a terminal that is typed into, and that ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest

from hosts.runners.base import RunnerError
from hosts.runners.docker.shell import ANY_SHELL, ShellBlocked, ShellSession
from lab.fleet import Lab
from lab.own import OwnDaemon, own_daemon
from tests.hosts.waiting import until

pytestmark = pytest.mark.fleet
SECONDS = 10.0
Open = Callable[..., ShellSession]


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnDaemon]:
    with own_daemon(lab.place) as own:
        yield own


@pytest.fixture(scope="module")
def container(own: OwnDaemon, registry_address: str) -> Iterator[Any]:
    """One that only sleeps; its image has bash and runs as root."""
    with contextlib.closing(own.client()) as client:
        image = f"{registry_address}/library/python:3.11-slim"
        client.images.pull(image)
        made = client.containers.run(image, ["sleep", "600"], detach=True, init=True)
        yield made
        made.kill()


@pytest.fixture
def open_shell(own: OwnDaemon, container: Any) -> Iterator[Open]:
    opened: list[ShellSession] = []

    def open_one(*command: str, **options: Any) -> ShellSession:
        program = command or ANY_SHELL
        session = ShellSession(own.client().api, container.id, program, **options)
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.close()
        assert session.wait_closed(SECONDS)


def seen(session: ShellSession, wanted: str, *, cols: int | None = None) -> str:
    """Read until the pattern `wanted` was shown."""
    shown = ""

    def has_come() -> bool:
        nonlocal shown
        came = session.read(timeout=0.1)
        shown += (came or b"").decode(errors="replace")
        return bool(re.search(wanted, shown)) or came is None

    until(has_come, seconds=SECONDS)
    assert re.search(wanted, shown), shown
    return shown


def processes(container: Any) -> str:
    """Every command line in the container."""
    return "\n".join(" ".join(row) for row in container.top()["Processes"])


def test_what_is_typed_is_done_and_answered(open_shell: Open) -> None:
    session = open_shell("bash")

    session.write(b"echo sum=$((40 + 2))\r")

    assert "sum=42" in seen(session, "sum=42")


def test_the_shell_is_bash_where_there_is_one(open_shell: Open) -> None:
    session = open_shell()

    session.write(b"echo is=$BASH_VERSION\r")

    seen(session, r"is=\d")


def test_bytes_pass_untouched_both_ways(open_shell: Open) -> None:
    session = open_shell("sh", "-c", "stty raw -echo; printf ready; head -c 256 | od -An -v -tu1")
    seen(session, "ready")

    session.write(bytes(range(256)))

    shown = seen(session, r"\b255\b")
    assert [int(number) for number in shown.split()] == list(range(256))


def test_the_terminal_has_the_size_of_the_page_and_follows_it(open_shell: Open) -> None:
    session = open_shell("bash", cols=101, rows=31)
    ask = b"stty size\r"

    def is_told(size: str) -> bool:
        session.write(ask)
        return size in (session.read(timeout=0.5) or b"").decode()

    until(lambda: is_told("31 101"), seconds=SECONDS)
    session.resize(77, 22)
    until(lambda: is_told("22 77"), seconds=SECONDS)


def test_control_c_interrupts(open_shell: Open) -> None:
    session = open_shell("bash")
    session.write(b"echo begun; sleep 500\r")
    seen(session, r"begun\r\n")

    session.write(b"\x03")
    seen(session, r"\^C[^$#]*[$#] ")
    session.write(b"echo status=$?\r")

    seen(session, "status=130")


def test_its_end_is_told_with_its_code(open_shell: Open) -> None:
    session = open_shell("bash")

    session.write(b"exit 7\r")
    until(lambda: session.read(timeout=0.1) is None, seconds=SECONDS)

    assert session.exit_code == 7
    assert session.ending == "The shell has ended with code 7."


def test_closing_ends_the_shell_and_what_it_started(open_shell: Open, container: Any) -> None:
    session = open_shell("bash")
    session.write(b"sleep 4321 & sleep 4322\r")
    until(lambda: "sleep 4322" in processes(container), seconds=SECONDS)

    session.close()

    assert session.wait_closed(SECONDS)
    assert "sleep 432" not in processes(container)
    assert "sleep 600" in processes(container), "what is not the shell's stays"
    until(lambda: session.read() is None)


def test_a_shell_that_ignores_the_hang_up_is_forced(open_shell: Open, container: Any) -> None:
    session = open_shell("bash", "-c", "trap '' HUP; echo deaf; while :; do sleep 0.5; done")
    seen(session, "deaf")

    session.close()

    assert session.wait_closed(SECONDS)
    assert "trap" not in processes(container)


def test_one_shell_ends_and_another_stays(open_shell: Open) -> None:
    first, second = open_shell("bash"), open_shell("bash")

    first.close()
    assert first.wait_closed(SECONDS)
    second.write(b"echo still=here\r")

    seen(second, r"still=here\r\n")


def test_a_page_that_reads_slowly_holds_the_program_back_and_loses_nothing(
    open_shell: Open,
) -> None:
    session = open_shell("sh", "-c", "stty -opost; seq 1 600000; echo done")
    until(lambda: session._shown_bytes > 2**17, seconds=SECONDS)
    threads = threading.active_count()

    shown = bytearray()
    while (came := session.read(timeout=SECONDS)) is not None:
        assert len(came) <= 2**16, "more may not fit a frame of a web socket"
        shown += came

    assert shown.split() == [b"%d" % number for number in range(1, 600001)] + [b"done"]
    assert threading.active_count() <= threads


def test_a_program_that_does_not_read_is_said(open_shell: Open) -> None:
    session = open_shell("sh", "-c", "stty raw -echo; echo ready; sleep 500")
    seen(session, "ready")

    with pytest.raises(ShellBlocked, match="does not read what is typed"):
        for _ in range(100):
            session.write(b"x" * 2**16)


def test_a_program_that_the_image_lacks_is_said(open_shell: Open) -> None:
    session = open_shell("zsh")

    until(lambda: session.read(timeout=0.1) is None, seconds=SECONDS)

    assert session.ending == "zsh could not be started: the image may not have it."


def test_a_container_that_is_gone_or_stopped_is_said(own: OwnDaemon) -> None:
    with pytest.raises(RunnerError) as refused:
        ShellSession(own.client().api, "nothing-of-this-name", host_name="gpu-box")

    assert "gpu-box" in refused.value.message


def test_a_container_that_ends_ends_its_shell(own: OwnDaemon, registry_address: str) -> None:
    with contextlib.closing(own.client()) as client:
        image = f"{registry_address}/library/python:3.11-slim"
        client.images.pull(image)
        short = client.containers.run(image, ["sleep", "600"], detach=True, init=True)
        session = ShellSession(own.client().api, str(short.id), ["bash"])
        session.write(b"echo begun\r")
        seen(session, r"begun\r\n")

        short.kill()

        until(lambda: session.read(timeout=0.1) is None, seconds=SECONDS)
        assert session.wait_closed(SECONDS)
        assert session.ending


def test_an_event_loop_is_woken_and_never_waits(open_shell: Open) -> None:
    async def talk() -> str:
        loop, ready, shown = asyncio.get_running_loop(), asyncio.Event(), ""
        session = await asyncio.to_thread(
            open_shell, "bash", wake=lambda: loop.call_soon_threadsafe(ready.set)
        )
        session.write(b"echo a=$((1 + 1)); exit\r")
        while (came := session.read(timeout=0)) is not None:
            shown += came.decode()
            if not came:
                await asyncio.wait_for(ready.wait(), SECONDS)
                ready.clear()
        return shown

    assert "a=2" in asyncio.run(talk())


def test_another_user_than_the_image_s_own(open_shell: Open) -> None:
    session = open_shell("bash", user="65534")

    session.write(b"id -u\r")

    seen(session, r"[\r\n]65534\r")


def test_a_client_is_closed_with_its_session(own: OwnDaemon, container: Any) -> None:
    closed = threading.Event()

    class Watched(docker.APIClient):
        def close(self) -> None:
            closed.set()
            super().close()

    session = ShellSession(Watched(own.host, version="1.40"), container.id, ["true"])

    assert session.wait_closed(SECONDS)
    assert closed.is_set()
