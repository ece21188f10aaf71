"""Reading the cards of a remote host over the connection that is there anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engines.links.cards import CardsLink, processes_on, write
from engines.links.helped_cards import HelpedCards, end_for_good
from hosts.gpu.holding import shares_of
from hosts.gpu.reading import inventory_of_long
from hosts.gpu.values import Inventory
from hosts.models import Host
from hosts.remote_links import link_of
from hosts.ssh.link import Link, LinkState
from jobs.outcome import CancelToken

ANSWER_SECONDS = 5.0
NOT_FOUND = 127
"""What a shell says of a program that is not there."""


class FarCardsLink(CardsLink):
    """The cards of one remote host. While it is away nothing is read, and what was read ages."""

    look_seconds = 3.0

    def __init__(self, host_pk: int, connect: Callable[[Host], Any], ended: CancelToken) -> None:
        super().__init__(ended=ended)
        self.name = f"abm-cards-{host_pk}"
        self._host_pk = host_pk
        self._helped = HelpedCards(connect)

    def run(self) -> None:
        super().run()
        end_for_good(self._helped, self._host_pk)

    def hosts(self) -> list[Host]:
        host = Host.objects.filter(pk=self._host_pk, is_enabled=True).first()
        is_there = host is not None and host.is_usable
        return [host] if host and is_there and link_of(host).news.state is LinkState.UP else []

    def read(self, hosts: list[Host]) -> None:
        for host in hosts:
            inventory = read_far(link_of(host), host, self._helped)
            known = processes_on(host) if inventory.processes else {}
            write([host], inventory, shares_of(inventory, known, root=None))


def read_far(link: Link, host: Host, helped: HelpedCards) -> Inventory:
    """The cards as abm's key may ask for them, or else by Docker, which the key opens as well.

    Raises RunnerError where the host is not there.
    """
    said = link.run("cards", seconds=ANSWER_SECONDS)
    if said.status == NOT_FOUND:
        words = _without(said.err or said.out, host)
        if not host.facts.get("has_gpu_runtime"):
            return Inventory(None, None, words, said.err)
        found = helped.read(host)
        if found.cards is not None:
            return found
        return Inventory(None, None, f"{words} {found.problem}", found.detail or said.err)
    text = said.out or said.err
    found = inventory_of_long(text)
    if any(card.is_mig for card in found.cards or ()):
        listed = link.run("parts", seconds=ANSWER_SECONDS).out
        found = inventory_of_long(text, listed=listed)
    return found


def _without(text: str, host: Host) -> str:
    """Why there is no answer; nothing to be said of a host that offers containers no card."""
    if "nvidia-smi" not in text:
        return "abm's key may not ask for cards there. Paste the command of its key again."
    if host.facts.get("has_gpu_runtime"):
        return f"nvidia-smi is not installed on {host}. Install the NVIDIA driver with it."
    return ""
