"""Which cards an engine gets: chosen by UUID, checked before a start, compared after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import QueryDict

from accounts.audit import columns
from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from catalog.models import Variant
from engines.models import Engine
from engines.noting import note_engine
from engines.vram import Place, Shortage, best_place, maker_of, need_of, places_on, shortage
from hosts.gpu.handing import PLATFORMS
from hosts.gpu.values import Vendor
from hosts.gpu.words import gib
from hosts.models import Host
from hosts.runners.base import NoGpu
from jobs.events import announce

NONE, ALL, CHOSEN = "none", "all", "chosen"
MODES = {NONE: "None, it runs on the CPU", ALL: "All cards", CHOSEN: "Only these"}
MOST_CARDS = 64


@dataclass(frozen=True, slots=True)
class Option:
    """A card as a row of the form."""

    uuid: str
    name: str
    text: str
    is_chosen: bool
    is_best: bool = False
    is_gone: bool = False
    """It was chosen and is not there any more."""


def chosen_at_install(variant: Variant, host: Host) -> dict[str, Any]:
    """The columns of a new engine: with several cards the one that fits best, else all."""
    uses_gpu = variant.needs_gpu and bool(host.has_gpu)
    places = of_maker(places_on(host), maker_of(host)) if uses_gpu else []
    best = best_place(places, variant.entry.vram_bytes) if len(places) > 1 else None
    return {"uses_gpu": uses_gpu, "gpus": [best.uuid] if best else []}


def gpu_context(engine: Engine) -> dict[str, Any]:
    """The form as it is set, with what is free on each card."""
    places, need = places_on(engine.host), need_of(engine)
    mode = NONE if not engine.uses_gpu else CHOSEN if engine.gpus else ALL
    short = shortage(places_of(engine, places), need, of=engine) if engine.uses_gpu else None
    return {
        "gpu_mode": mode,
        "gpu_modes": MODES,
        "gpu_options": options_of(engine, places, need, chosen=engine.gpus),
        "gpu_only_all": [
            card for card in engine.host.gpus.all() if not (card.can_be_chosen or card.is_mig)
        ],
        "gpu_need": need,
        "gpu_shortage": short,
        "needs_gpu": bool(engine.variant and engine.variant.needs_gpu),
    }


def options_of(
    engine: Engine, places: list[Place], need: int | None, *, chosen: list[str]
) -> list[Option]:
    """Every card of the host, and those that were chosen and are gone.

    Where none is chosen the best one is ticked, so that "Only these" begins with it.
    """
    best = best_place(places, need)
    ticked = set(chosen) or ({best.uuid} if best else set())
    rows = [
        Option(
            place.uuid,
            place.name,
            _words(place, need),
            is_chosen=place.uuid in ticked,
            is_best=best is not None and place.uuid == best.uuid and len(places) > 1,
        )
        for place in places
    ]
    known = {place.uuid for place in places}
    gone = [Option(uuid, uuid, "not in this host", True, is_gone=True) for uuid in chosen]
    return [*rows, *(row for row in gone if row.uuid not in known)]


def _words(place: Place, need: int | None) -> str:
    if place.free is None:
        total = f"{gib(place.total)} in all, " if place.total else ""
        return f"{total}free memory unknown"
    words = f"{gib(place.free)} of {gib(place.total)} free"
    return f"{words}, too little now" if place.fits(need) is False else words


def places_of(engine: Engine, places: list[Place]) -> list[Place]:
    """Those of the host's that the engine may use."""
    if not engine.gpus:
        return of_maker(places, maker_of(engine.host))
    return [place for place in places if place.uuid in engine.gpus]


def of_maker(places: list[Place], maker: Vendor) -> list[Place]:
    return [place for place in places if place.card.vendor == maker]


@transaction.atomic
def set_gpus(engine: Engine, posted: QueryDict, *, user: User | None) -> Engine:
    """Keep which cards it gets, and whether the CPU is forbidden; it counts from the next start.

    Raises Refused GPUS_INVALID, in words for the form.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    mode, forbids = posted.get("gpu-mode", ""), posted.get("forbids-cpu") == "on"
    chosen = list(dict.fromkeys(posted.getlist("gpu")))[:MOST_CARDS] if mode == CHOSEN else []
    if mode not in MODES:
        raise _invalid("Choose none, all, or single cards.")
    if mode == CHOSEN and not chosen:
        raise _invalid("Tick at least one card, or choose none or all.")
    _check_cards(engine, chosen)
    before = columns(engine, "uses_gpu", "gpus", "forbids_cpu")
    engine.uses_gpu, engine.gpus = mode != NONE, chosen
    engine.forbids_cpu = forbids and mode != NONE
    engine.save(update_fields=["uses_gpu", "gpus", "forbids_cpu", "updated_at"])
    announce("engines", "engine.changed", text=f"The GPU of {engine} was chosen", pk=engine.pk)
    note_engine("gpus", engine, user=user, before=before, after=columns(engine, *before))
    return engine


def _check_cards(engine: Engine, chosen: list[str]) -> None:
    places = places_on(engine.host)
    known = {place.uuid for place in places} | set(engine.gpus)
    for uuid in chosen:
        if uuid in known:
            continue
        card = engine.host.gpus.filter(uuid=uuid).first()
        if card is not None and not card.is_mig:
            raise _invalid(
                f"{card} tells nothing by which {PLATFORMS[Vendor(card.vendor)]} could be told to "
                "take it alone. Choose all cards."
            )
        raise _invalid(f"{engine.host} has no card {uuid[:80]}. Load the page again.")
    if len({place.card.vendor for place in places if place.uuid in chosen}) > 1:
        raise _invalid("An engine can use the cards of one maker. Choose those of one alone.")


def _invalid(message: str) -> Refused:
    return Refused("GPUS_INVALID", message, status=400)


def before_start(engine: Engine) -> Iterator[str]:
    """Lines for the log of a start. Raises NoGpu if a chosen card is not in its host any more.

    Without that card Docker would fail in words of its own, and a process take the CPU in silence.
    """
    host = engine.host
    if not engine.uses_gpu:
        return
    places = places_on(host)
    known = {place.uuid for place in places}
    is_read = host.gpus_read_at is not None and not host.gpu_text
    gone = [uuid for uuid in engine.gpus if uuid not in known]
    if is_read and gone:
        raise NoGpu(
            f"{engine} is to use the card {gone[0]}, which is not in {host} any more. Choose "
            "another one in its Settings."
        )
    own = places_of(engine, places)
    names = ", ".join(place.name for place in own) if engine.gpus else "every card"
    yield f"It is to use {names or 'the cards ' + ', '.join(engine.gpus)}."
    short: Shortage | None = shortage(own, need_of(engine), of=engine)
    if short is not None:
        yield f"It may not have room: {short.text}."


WHY = "Its log may say why: a driver too old for it, no CUDA in it, or no memory left."


def took_cpu(engine: Engine, device: str) -> bool:
    """Whether it names the CPU as its device and was to use a GPU. Silence is believed."""
    return engine.uses_gpu and device.lower().startswith("cpu")


def require_gpu(engine: Engine, device: str) -> None:
    """Raise NoGpu for an engine that took the CPU, where that is forbidden."""
    if engine.forbids_cpu and took_cpu(engine, device):
        raise NoGpu(
            f"{engine} runs on the CPU, was to use the GPU, and may not do without. {WHY} "
            "Its Settings can allow the CPU."
        )


def device_text(engine: Engine, device: str) -> str:
    """What the state says of an engine that took the CPU instead of its GPU; mostly empty."""
    return f"Runs on the CPU, was to use the GPU. {WHY}" if took_cpu(engine, device) else ""
