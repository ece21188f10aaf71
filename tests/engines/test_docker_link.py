"""The link to a Docker host: what goes on beside its watch, and comes back when it broke off."""

from __future__ import annotations

from typing import Any

import pytest

from engines.links import docker
from engines.links.docker import DockerLink
from hosts.models import Host
from tests.engines.factories import make_host

pytestmark = pytest.mark.django_db


class Broken(Exception):
    """What nobody thought of."""


class FiguresLink(DockerLink):
    """One that reads no cards, which would ask the database from another thread."""

    def _keep_cards(self) -> None:
        pass


class BrokenLink(FiguresLink):
    """One whose way to Docker breaks in a way that nobody thought of."""

    asked = 0

    def connect(self, host: Host) -> Any:
        self.asked += 1
        raise Broken


def test_figures_that_broke_off_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = make_host(host_type=Host.Type.DOCKER_LOCAL)
    monkeypatch.setattr(docker, "EVERY_SECONDS", 0.0)  # as long as it waits before the first one
    link = BrokenLink(host)
    link._stats.follow("c" * 64)
    link._keep_reading(host)
    reader = link._turns[f"abm-figures-{host.host_id}"]
    assert reader.join(5)

    link._keep_reading(host)

    link._turns[f"abm-figures-{host.host_id}"].join(5)
    link.ended.cancel()
    assert link.asked == 2


def test_figures_that_are_being_read_are_left_alone() -> None:
    host = make_host(host_type=Host.Type.DOCKER_LOCAL)
    link = FiguresLink(host)
    link._keep_reading(host)
    reader = link._turns[f"abm-figures-{host.host_id}"]

    link._keep_reading(host)

    assert link._turns[f"abm-figures-{host.host_id}"] is reader
    link.ended.cancel()
    assert reader.join(5)
