"""Remote hosts of the lab: machines of their own, and gone without a trace."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lab.fleet import Lab
from lab.network import mounts_below
from lab.own import OwnRemote, end_leftovers, own_remote
from lab.place import PROJECT, LabError
from lab.room import GUEST
from lab.state import State
from tests.fleet.remotes import Box

pytestmark = pytest.mark.fleet


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Sockets below it have names of at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="abm-") as folder:
        yield Path(folder)


def traces(own: OwnRemote) -> list[str]:
    remote = own.remote
    processes = [one.info["name"] for one in remote.room.processes()]
    links = [one for one in (remote.bridge, remote.room.cable) if one in psutil.net_if_addrs()]
    files = [str(remote.folder)] if remote.folder.exists() else []
    return [*processes, *links, *mounts_below(remote.folder), *files]


class TestLab:
    def test_two_are_up_with_the_lab_and_only_the_first_has_a_card(self, lab: Lab) -> None:
        state = State(lab.place)
        cards = [one.room.say(state, "nvidia-smi -L").stdout for one in lab.remotes]

        assert [one.name for one in lab.remotes] == ["gpu1", "cpu1"]
        assert "GPU 0" in cards[0] and "GPU 1" in cards[0]
        assert cards[1] == ""

    def test_each_greets_at_its_own_address(self, lab: Lab) -> None:
        for one in lab.remotes:
            with socket.create_connection((one.address, 22), timeout=5) as near:
                assert near.recv(4) == b"SSH-"


class TestOwnRemote:
    def test_its_loopback_and_docker_are_its_own(self, box: Box, lab: Lab) -> None:
        assert json.loads(box.own.say("docker info --format '{{json .Name}}'"))
        assert box.own.say("docker ps -q") == ""
        listens = box.own.say("cat /proc/net/tcp | wc -l", user="root")
        assert int(listens) < 12

    def test_images_are_called_there_as_everywhere(self, box: Box, registry_address: str) -> None:
        box.own.say(f"docker pull -q {registry_address}/lab/tiny")

        assert f"{registry_address}/lab/tiny" in box.own.say("docker images")

    def test_the_guest_may_not_use_docker(self, box: Box) -> None:
        with pytest.raises(LabError, match="permission denied"):
            box.own.say("docker ps", user=GUEST)

    def test_nothing_is_left_of_it_also_when_it_was_frozen_and_cut_off(self, lab: Lab) -> None:
        with own_remote(lab.place) as own:
            assert traces(own)
            own.freeze()
            own.cut()

        assert traces(own) == []

    def test_what_a_killed_test_leaves_is_ended(self, lab: Lab, short_folder: Path) -> None:
        place = replace(lab.place, folder=short_folder)
        code = (
            "import time\nfrom pathlib import Path\nfrom dataclasses import replace\n"
            "from lab.place import the_place\nfrom lab.own import own_remote\n"
            f"place = replace(the_place(), folder=Path({str(short_folder)!r}))\n"
            "with own_remote(place) as own:\n"
            "    print(own.remote.bridge, own.remote.room.cable, flush=True)\n"
            "    time.sleep(60)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            links = child.stdout.readline().split()
            child.send_signal(signal.SIGKILL)
        assert {*links} <= {*psutil.net_if_addrs()}

        end_leftovers(place)

        assert not {*links} & {*psutil.net_if_addrs()}
        assert not mounts_below(short_folder)
        assert not [
            words
            for one in psutil.process_iter(["cmdline"])
            if str(short_folder) in (words := " ".join(one.info["cmdline"] or []))
        ]
