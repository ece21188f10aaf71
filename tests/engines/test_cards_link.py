"""The thread that reads this machine's cards: when it does, and what it writes down."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from engines.links import holders
from engines.links.cards import CardsLink, hosts_here
from engines.models import Engine
from hosts.gpu.asking import Asker
from hosts.gpu.reading import CardReader
from hosts.gpu.values import Inventory
from hosts.gpus import is_helped
from hosts.models import Gpu, Host
from hosts.queries import charts_of
from hosts.runners.base import EngineStatus
from lab import simulated_smi
from tests.engines.factories import make_engine, make_host

pytestmark = pytest.mark.django_db

MIB = 2**20
CARD = "GPU-3f6c1a52-8f07-4d0b-9a5e-0d9b7c1e2a01"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The folder of a machine's programs, with a simulated nvidia-smi of two cards."""
    simulated_smi.write(tmp_path)
    return tmp_path


class Clock:
    """A clock that goes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def link(programs: Path, clock: Clock) -> CardsLink:
    asker = Asker(path=f"{programs}:/usr/bin:/bin")
    return CardsLink(CardReader(asker, without=lambda: Inventory((), ())), clock=clock)


@pytest.fixture
def process() -> Iterator[int]:
    """A process of an engine."""
    sleeper = subprocess.Popen(["sleep", "60"])
    yield sleeper.pid
    sleeper.kill()
    sleeper.wait()


def docker_here() -> Host:
    facts = {"is_on_this_machine": True, "has_gpu_runtime": True}
    return make_host(host_type=Host.Type.DOCKER_LOCAL, facts=facts)


def test_cards_are_rows_of_both_hosts_of_this_machine(link: CardsLink) -> None:
    local, docker = make_host(), docker_here()
    away = make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"has_gpu_runtime": True})

    link.look()

    assert [host.gpus.count() for host in (local, docker, away)] == [2, 2, 0]
    card = Gpu.objects.get(host=docker, uuid=CARD)
    assert (card.name, card.cuda) == ("NVIDIA GeForce RTX 3090 (simulated)", "12.4")
    assert (card.memory_used, card.others) == (8704 * MIB, 2)
    assert Host.objects.get(pk=docker.pk).has_gpu is True


def test_what_abms_own_container_does_not_see_is_read_by_docker(
    link: CardsLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, docker = make_host(), docker_here()
    outer = make_host(host_type=Host.Type.DOCKER_LOCAL, facts={**docker.facts, "hostname": "box"})
    bare = make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"is_on_this_machine": True})
    far = make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"has_gpu_runtime": True})
    monkeypatch.setattr("hosts.gpus._is_blind", lambda: False)
    assert [host for host in (local, docker, outer, bare, far) if is_helped(host)] == [far]

    monkeypatch.setattr("hosts.gpus._is_blind", lambda: True)

    assert [host for host in (local, docker, outer, bare, far) if is_helped(host)] == [outer, far]
    assert hosts_here() == [local, docker, bare]


def test_engines_and_others_hold_their_shares(
    link: CardsLink, programs: Path, process: int
) -> None:
    host = make_host()
    engine = make_engine(host=host, display_name="XTTS v2")
    holders.note(engine.pk, EngineStatus(True, is_running=True, pid=process))
    rows = [f"{CARD}, {process}, 4300, python3", f"{CARD}, {os.getpid()}, 1024, python3"]
    (programs / "apps.csv").write_text("\n".join(rows))

    link.look()

    card = Gpu.objects.get(host=host, uuid=CARD)
    assert card.holders == [{"engine": engine.pk, "name": "XTTS v2", "memory": 4300 * MIB}]
    assert card.others == 1
    assert [(piece.name, piece.text) for piece in card.segments] == [
        ("XTTS v2", "4.2 GiB"),
        ("others", "4.3 GiB"),
        ("free", "15.5 GiB"),
    ]
    assert sum(piece.width for piece in card.segments) == pytest.approx(100, abs=0.1)


def test_an_engine_that_ended_holds_nothing_more(
    link: CardsLink, programs: Path, process: int
) -> None:
    engine = make_engine(host=make_host())
    holders.note(engine.pk, EngineStatus(True, is_running=True, pid=process))
    holders.note(engine.pk, EngineStatus(True, is_running=False))
    (programs / "apps.csv").write_text(f"{CARD}, {process}, 4300, python3")

    link.look()

    assert Gpu.objects.get(uuid=CARD).holders == []


def test_cards_that_cannot_be_read_stay_and_turn_stale(link: CardsLink, programs: Path) -> None:
    host = make_host()
    link.read([host])
    Gpu.objects.update(read_at=timezone.now() - timedelta(minutes=2))
    simulated_smi.write(programs, "mismatch", code=18)

    link.read([host])

    host.refresh_from_db()
    assert host.gpus.count() == 2
    assert all(card.is_stale for card in host.gpus.all())
    assert "Restart the machine" in host.gpu_text
    assert "version mismatch" in host.gpu_detail
    assert host.has_gpu is True


def test_a_card_that_was_taken_out_goes(link: CardsLink, programs: Path) -> None:
    host = make_host()
    link.read([host])
    simulated_smi.write(programs, "none", code=6)

    link.read([host])

    host.refresh_from_db()
    assert (host.gpus.count(), host.has_gpu, host.gpu_text) == (0, False, "")


def test_what_cards_were_used_for_is_kept_for_charts(link: CardsLink) -> None:
    host = make_host()

    link.read([host])
    link.read([host])

    first, second = charts_of(host)
    assert [row[1:] for row in first.rows[-2:]] == [[8704 * MIB, 37, 54]] * 2
    assert json.loads(second.figures)[1:] == [18 * MIB, 0, 31]
    assert json.loads(second.history)[-1] == json.loads(second.figures)


class TestHowOften:
    def test_nobody_looks_and_nothing_runs(self, link: CardsLink, clock: Clock) -> None:
        host = make_host()
        assert readings(link, clock, host, [0, 6, 20, 29, 31, 40]) == [0, 31]

    def test_somebody_looks(self, link: CardsLink, clock: Clock) -> None:
        host = make_host(gpus_asked_at=timezone.now())
        assert readings(link, clock, host, [0, 1, 4, 6, 9, 12]) == [0, 6, 12]

    def test_an_engine_runs(self, link: CardsLink, clock: Clock) -> None:
        host = make_engine(state=Engine.State.RUNNING).host
        assert readings(link, clock, host, [0, 4, 6]) == [0, 6]

    def test_a_host_that_is_switched_off_is_not_read(self, link: CardsLink) -> None:
        make_host(is_enabled=False)

        link.look()

        assert hosts_here() == []
        assert not Gpu.objects.exists()


def readings(link: CardsLink, clock: Clock, host: Host, moments: list[int]) -> list[int]:
    """At which of these seconds the cards of the host are read."""
    read = []
    for moment in moments:
        clock.now = 1_000.0 + moment
        before = Host.objects.get(pk=host.pk).gpus_read_at
        link.look()
        if Host.objects.get(pk=host.pk).gpus_read_at != before:
            read.append(moment)
    return read
