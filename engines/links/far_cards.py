"""Reading the cards of a remote host over the connection that is there anyway."""

from __future__ import annotations

from engines.links.helped_cards import HelpedCards, HostCards
from hosts.gpu.reading import inventory_of_long
from hosts.gpu.values import Inventory
from hosts.models import Host
from hosts.remote_links import link_of
from hosts.ssh.link import Link, LinkState

ANSWER_SECONDS = 5.0
NOT_FOUND = 127
"""What a shell says of a program that is not there."""


class FarCards(HostCards):
    """The cards of one remote host. While it is away nothing is read, and what was read ages."""

    def hosts(self) -> list[Host]:
        host = Host.objects.filter(pk=self._host_pk, is_enabled=True).first()
        is_there = host is not None and host.is_usable
        return [host] if host and is_there and link_of(host).news.state is LinkState.UP else []

    def inventory(self, host: Host) -> Inventory:
        return read_far(link_of(host), host, self._helped)


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
