"""Reading the cards of a host by Docker's API alone: a container of abm's own looks for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from engines.links.cards import Cards, processes_on, write
from engines.models import Engine
from hosts.deployment import deployment_id
from hosts.gpu.holding import shares_of
from hosts.gpu.reading import CardReader
from hosts.gpu.values import Inventory
from hosts.gpus import is_helped
from hosts.link.turns import Turn
from hosts.models import Host, HostImage
from hosts.remote_links import tidy_links
from hosts.runners.base import HostUnreachable, RunnerError
from hosts.runners.docker.card_helper import PROGRAM, CardHelper, end_card_helpers
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.own_container import own_image
from hosts.work import machine_of
from jobs.outcome import CancelToken

LOOK_SECONDS = 3.0


class HelpedCards:
    """The cards of one host for one thread. `connect` gives a client of its own."""

    def __init__(self, connect: Callable[[Host], Any]) -> None:
        self._connect = connect
        self._client: Any = None
        self._reader: CardReader | None = None

    def read(self, host: Host) -> Inventory:
        """The cards now. Raises HostUnreachable; what else cannot be is told in words."""
        try:
            if self._reader is None:
                self._reader = self._opened(host)
            return self._reader.read()
        except HostUnreachable:
            self.close()
            raise
        except RunnerError as error:
            return Inventory(None, None, error.message, error.detail)

    def end(self, host: Host | None) -> None:
        """Remove the container; one that cannot be reached any more ends by itself."""
        with contextlib.suppress(RunnerError), mapped(str(host or "the host")):
            if self._client is None and host is not None:
                self._client = self._connect(host)
            if self._client is not None:
                end_card_helpers(self._client, deployment_id())
        self.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._reader = None

    def _opened(self, host: Host) -> CardReader:
        name = machine_of(host)
        with mapped(name):
            self._client = self._connect(host)
        helper = CardHelper(
            self._client,
            deployment=deployment_id(),
            images=lambda: images_on(host, self._client),
            host_name=name,
            by_cdi="nvidia" not in host.facts.get("runtimes", ()),
        )
        return CardReader(helper, without=lambda: Inventory(None, None, _without(host)))


def _without(host: Host) -> str:
    return (
        f"Docker on {machine_of(host)} gives {PROGRAM} to no container. Update the NVIDIA "
        "Container Toolkit there."
    )


def images_on(host: Host, client: Any) -> Iterator[str]:
    """Images that abm knows there, those of engines with a card first: they can run nvidia-smi."""
    own = own_image(client) if host.host_type == Host.Type.DOCKER_LOCAL else ""
    if own:
        yield own
    engines = Engine.objects.filter(host=host).exclude(image_id="").order_by("-uses_gpu", "pk")
    yield from engines.values_list("image_id", flat=True)
    yield from HostImage.objects.filter(host=host).values_list("image_id", flat=True)


class HostCards(Cards):
    """The cards of one host whose Docker is elsewhere, or outside of abm's own container."""

    def __init__(self, host_pk: int, connect: Callable[[Host], Any], ended: CancelToken) -> None:
        super().__init__()
        self._host_pk, self._ended = host_pk, ended
        self._helped = HelpedCards(connect)

    def steps(self, turn: Turn) -> Iterator[float]:
        """Look now and then, until the host's link ends."""
        try:
            while not self._ended.is_cancelled:
                self.look()
                yield LOOK_SECONDS
        finally:
            _end_for_good(self._helped, self._host_pk)

    def hosts(self) -> list[Host]:
        host = Host.objects.filter(pk=self._host_pk, is_enabled=True).first()
        return [host] if host and host.is_usable and is_helped(host) else []

    def read(self, hosts: list[Host]) -> None:
        for host in hosts:
            inventory = self.inventory(host)
            known = processes_on(host) if inventory.processes else {}
            write([host], inventory, shares_of(inventory, known, root=None))

    def inventory(self, host: Host) -> Inventory:
        """What is read of the host now. Raises RunnerError where it is not there."""
        return self._helped.read(host)


def _end_for_good(helped: HelpedCards, host_pk: int) -> None:
    """At a link's end: abm's own end leaves the container for the next start, a host that was
    switched off or removed does not.
    """
    host = Host.objects.filter(pk=host_pk).first()
    if host is not None and host.is_enabled:
        helped.close()
    else:
        helped.end(host)
        tidy_links()
