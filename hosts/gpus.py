"""Writing down what was read of a host's cards, and what that says of the host."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from hosts.gpu import history
from hosts.gpu.asking import is_program_here
from hosts.gpu.holding import Share
from hosts.gpu.values import CardReading, Inventory, Vendor
from hosts.models import Gpu, Host
from hosts.runners.docker.card_helper import PROGRAM
from hosts.runners.docker.system import read_system
from jobs.events import hint

ASKED_FOR = timedelta(seconds=15)
ASKED_EVERY = timedelta(seconds=5)


def ask_gpus(host: Host) -> None:
    """Somebody looks at the cards of this host: they are read more often for a while."""
    now = timezone.now()
    if host.gpus_asked_at is None or now - host.gpus_asked_at > ASKED_EVERY:
        Host.objects.filter(pk=host.pk).update(gpus_asked_at=now)


def are_gpus_asked(hosts: Sequence[Host]) -> bool:
    """Whether somebody looks at the cards of one of these hosts."""
    since = timezone.now() - ASKED_FOR
    pks = [host.pk for host in hosts]
    return Host.objects.filter(pk__in=pks, gpus_asked_at__gt=since).exists()


def write_gpus(
    host: Host,
    inventory: Inventory,
    shares: Mapping[str, Sequence[Share]],
    *,
    names: Mapping[int, str],
) -> None:
    """Keep what was read. Cards that could not be read stay as they were, and turn stale.

    `shares` by the card's UUID; `names` of the holders by their keys.
    """
    now = timezone.now()
    with transaction.atomic():
        if inventory.cards is not None:
            for card in inventory.cards:
                _write(host, card, shares.get(card.uuid), names, now, inventory)
            gone = Gpu.objects.filter(host=host)
            gone.exclude(uuid__in=[card.uuid for card in inventory.cards]).delete()
            host.gpus_read_at = now
        host.gpu_text, host.gpu_detail = inventory.problem, inventory.detail
        host.save(update_fields=["gpus_read_at", "gpu_text", "gpu_detail"])
        note_has_gpu(host)
        hint("hosts", "gpus.changed", pk=host.pk)


def _write(
    host: Host,
    card: CardReading,
    shares: Sequence[Share] | None,
    names: Mapping[int, str],
    now: datetime,
    inventory: Inventory,
) -> None:
    rows = [
        {"engine": share.holder, "name": names[share.holder], "memory": share.memory}
        for share in shares or ()
        if share.holder is not None and share.holder in names
    ]
    others = sum(share.processes for share in shares or () if share.holder not in names)
    values: dict[str, Any] = asdict(card)
    del values["uuid"]
    values |= {"partitions": [asdict(part) for part in card.partitions], "holders": rows}
    values |= {"others": None if inventory.processes is None else others, "read_at": now}
    Gpu.objects.update_or_create(host=host, uuid=card.uuid, defaults=values)
    history.keep(host.pk, card, at=now)


def note_has_gpu(host: Host) -> None:
    """Write down `has_gpu` by what stands in the row now.

    Facts and cards come from two threads, each of which has read the row before the other wrote.
    """
    with transaction.atomic():
        now = Host.objects.select_for_update().filter(pk=host.pk).first()
        if now is not None:
            host.has_gpu = has_gpu(now)
            Host.objects.filter(pk=host.pk).update(has_gpu=host.has_gpu)


def has_gpu(host: Host) -> bool | None:
    """Whether engines there can have a card; None where its cards cannot be read.

    A runtime called nvidia proves no card, and a card without a runtime helps no container.
    """
    if host.is_docker and not host.facts.get("has_gpu_runtime"):
        if Gpu.objects.filter(host=host).exclude(vendor=Vendor.NVIDIA).exists():
            return True  # others need no runtime, their nodes are given
        return False if host.facts else None
    if Gpu.objects.filter(host=host).exists():
        return True
    if host.gpus_read_at is not None and not host.gpu_text:
        return False
    return _seen(host)


def _seen(host: Host) -> bool | None:
    """What the kernel tells of cards that nobody could read: one with a driver is one."""
    cards = host.facts.get("cards")
    if any(card.get("has_driver") for card in cards or ()):
        return True
    return None if cards is None or host.gpu_text else False


def is_helped(host: Host) -> bool:
    """Whether the cards of a local Docker can be read by its API alone, in a container."""
    if host.host_type != Host.Type.DOCKER_LOCAL or not host.facts.get("has_gpu_runtime"):
        return False
    if not host.facts.get("is_on_this_machine"):
        return True
    is_outside = host.facts.get("hostname", platform.node()) != platform.node()
    return is_outside and _is_blind()


@functools.cache
def _is_blind() -> bool:
    """abm's own container was started without the cards; that stays so while it lives."""
    return read_system().is_container and not is_program_here(PROGRAM)
