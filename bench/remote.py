"""Docker on a host by SSH beside a unix socket, docker-py's `ssh://` and the CLI's: the lab."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil
from django.conf import settings

from bench.abm import Bench
from bench.docker import job_seconds, seconds_of
from bench.figures import Row, at_most
from bench.remote_hosts import HELD, MIB, measure_hosts
from bench.ssh_peers import Peers
from hosts.runners.docker.connection import DockerAddress, connect
from hosts.ssh.link import Link
from lab.fleet import NOT_UP, Lab
from lab.own import OwnRemote, own_remote
from lab.place import LabError, Place, the_place
from tests.fleet.far_abm import FarAbm, far_abm
from tests.fleet.remotes import let_in

CALLS, CLI_CALLS, FIRST_CALLS, PAIRS = 500, 5, 9, 5
OVER_SOCKET, PLUS_MS = 1.5, 0.7
SSHD = "MaxStartups 200\nMaxSessions 10"


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote host of the lab, and ways to it past abm."""

    place: Place
    own: OwnRemote
    peers: Peers


def measure_remote(bench: Bench) -> list[Row]:
    """hosts by SSH: calls, installs, many of them, dead ones"""
    place = the_place()
    try:
        Lab(place).require_up()
    except LabError:
        print(f"left out: {NOT_UP}", file=sys.stderr)
        return []
    if not settings.configured:
        settings.configure()  # a link's threads close connections to the database: here are none
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="abm-bench-") as folder,
        own_remote(place, sshd_options=SSHD) as own,
    ):
        home, data = Path(folder, "peers"), Path(folder, "abm")
        home.mkdir()
        data.mkdir()
        it = Remote(place, own, Peers(own, home))
        it.peers.prepare()
        for measure in (calls, first_call, held):
            print(f"measuring: {measure.__doc__}", file=sys.stderr, flush=True)
            rows += measure(it)
        with far_abm(data, place.catalog_url) as abm:
            abm.add(own)
            print(f"measuring: {installs.__doc__}", file=sys.stderr, flush=True)
            rows += installs(it, abm)
            rows += measure_hosts(own, abm)
    return rows


def calls(it: Remote) -> list[Row]:
    """a ping over the warm link, the unix socket, docker-py's ssh:// and the CLI, in turns"""
    box = let_in(it.own)
    near, far, theirs = [], [], []
    with (
        Link(box.target) as link,
        contextlib.closing(connect(link.docker_address)) as client,
        contextlib.closing(connect(DockerAddress(it.own.remote.host))) as socket,
    ):
        for _ in range(PAIRS):
            near.append(statistics.median(milliseconds(socket.ping)))
            far.append(statistics.median(milliseconds(client.ping)))
            theirs.append(statistics.median(it.peers.calls_by_docker_py(CALLS)))
    cli = statistics.median(it.peers.calls_by_cli(CLI_CALLS))
    limit = OVER_SOCKET * statistics.median(near) + PLUS_MS
    words = f"unix socket {statistics.median(near):.2f} ms, docker CLI over ssh:// {cli:.0f} ms"
    what = "Docker call over the warm SSH link"
    row = at_most(what, far, "ms", round(limit, 2), f"limit: {OVER_SOCKET} sockets + {PLUS_MS} ms")
    ours = statistics.median(far)
    return [
        Row(row.what, f"{row.measured}; {words}", row.beside, row.verdict),
        at_most(what, [ours], "ms", round(statistics.median(theirs), 2), "docker-py ssh://"),
    ]


def milliseconds(call: Callable[[], object]) -> list[float]:
    spent = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begun) * 1000)
    return spent


def first_call(it: Remote) -> list[Row]:
    """from nothing to the first answer of Docker"""
    box, spent = let_in(it.own), []
    for _ in range(FIRST_CALLS):
        begun = time.perf_counter()
        with Link(box.target) as link:
            connect(link.docker_address).ping()
            spent.append((time.perf_counter() - begun) * 1000)
    return [at_most("First Docker call over SSH, log-in and all", spent, "ms", 130, "limit")]


def held(it: Remote) -> list[Row]:
    """memory for each of 50 SSH connections that are held at once"""
    box, process = let_in(it.own), psutil.Process()
    with contextlib.ExitStack() as stack:
        stack.enter_context(Link(box.target)).connection()
        before = process.memory_full_info().uss
        links = [stack.enter_context(Link(box.target)) for _ in range(HELD)]
        for link in links:
            connect(link.docker_address).ping()
        each = (process.memory_full_info().uss - before) / HELD / MIB
    what = f"Memory for a held SSH connection with its Docker client, of {HELD}"
    return [at_most(what, [each], "MiB", 0.3, "limit")]


def installs(it: Remote, abm: FarAbm) -> list[Row]:
    """an install over SSH beside `docker -H ssh:// pull`, cold layers, in turns"""
    image = it.place.image("large")
    ratios, ours, theirs = [], [], []
    with contextlib.closing(it.own.remote.daemon.client()) as client:
        for _ in range(PAIRS):
            theirs.append(seconds_of(lambda: it.peers.run("pull", "--quiet", image)))
            forget(client, image)
            ours.append(job_seconds(abm, lambda: abm.install("large")))
            abm.done("large", "uninstall")
            forget(client, image)
            ratios.append(ours[-1] / theirs[-1])
    middle = statistics.median
    words = f"docker -H ssh:// pull {middle(theirs):.2f} s, abm {middle(ours):.2f} s"
    row = at_most(
        "Install over SSH, cold, over docker -H ssh:// pull", ratios, "times", 1.05, "limit"
    )
    return [Row(row.what, f"{row.measured}; {words}", row.beside, row.verdict)]


def forget(client: docker.DockerClient, image: str) -> None:
    """Leave nothing of it there, so that its layers are cold again."""
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.remove(image, force=True)


MEASURES = (measure_remote,)
