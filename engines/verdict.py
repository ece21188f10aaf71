"""Whether a variant fits a host, told before the click, with the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import humanize

from catalog.models import CatalogEntry, Variant
from engines.models import Engine
from engines.sources.recipe import place_of, recipe_of
from engines.vram import maker_of, places_on, shortage
from hosts.gpu.handing import PLATFORMS
from hosts.gpu.values import Vendor
from hosts.models import Host
from hosts.oci.platforms import Platform, best

SPARE_DISK_BYTES = 500_000_000
UNPACKED_TIMES = 2.5
"""A layer on disk against its compressed size, where nobody tells: a guess on the safe side."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A host as a row of the install dialog."""

    host: Host
    fits: bool
    text: str
    warnings: tuple[str, ...] = ()
    can_overrule: bool = False
    """An admin may install all the same."""
    engine: Engine | None = None
    """What stands in the way, when it is an engine that is already there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not fit, as the rest of a sentence that begins with the host."""

    text: str
    is_warning: bool = False
    can_overrule: bool = False


def verdicts(entry: CatalogEntry, variant: Variant, *, platform: str = "") -> list[Verdict]:
    """One for each host, those that fit first."""
    there = {
        engine.host_id: engine
        for engine in Engine.objects.filter(name=entry.name).exclude(state=Engine.State.ABSENT)
    }
    rows = [verdict(variant, host, there.get(host.pk), platform) for host in _hosts()]
    return sorted(rows, key=lambda row: (not row.fits, bool(row.warnings), not row.can_overrule))


def _hosts() -> list[Host]:
    """Those a person uses: Docker that is not there is no row of every dialog."""
    hosts = Host.objects.filter(is_enabled=True).exclude(state=Host.State.CLIENT_MISSING)
    return list(hosts) or list(Host.objects.all())


def verdict(
    variant: Variant, host: Host, engine: Engine | None = None, platform: str = ""
) -> Verdict:
    """Whether `variant` fits `host`, where `engine` of the same name may be already."""
    if engine is not None:
        where = engine.variant.entry.source.name if engine.variant else "a removed source"
        same = engine.variant_id == variant.pk
        text = "has it already" if same else f"has {engine} from {where} already"
        return Verdict(host, fits=False, text=text, engine=engine)
    if not host.is_usable:
        return Verdict(host, fits=False, text=host.state_text or host.get_state_display())
    problems = list(_problems(variant, host, platform))
    refusals = [problem for problem in problems if not problem.is_warning]
    if refusals:
        return Verdict(
            host,
            fits=False,
            text="does not fit: " + "; ".join(problem.text for problem in refusals),
            can_overrule=all(problem.can_overrule for problem in refusals),
        )
    warnings = tuple(problem.text for problem in problems)
    return Verdict(host, fits=True, text="fits: " + _way(variant, host), warnings=warnings)


def _problems(variant: Variant, host: Host, platform: str) -> Iterator[Problem]:
    if host.is_docker and not variant.image and recipe_of(variant) is None:
        yield Problem("it comes as a folder without a Dockerfile, and this host runs images")
        return
    if not host.is_docker and not variant.entry.folder:
        yield Problem("it comes as a Docker image, and this host runs processes")
        return
    if host.is_docker:
        yield from _place_problems(variant, host)
        yield from _platform_problems(variant, host, platform)
    yield from _gpu_problems(variant, host)
    yield from _disk_problems(variant, host)
    yield from _memory_problems(variant, host)


def _place_problems(variant: Variant, host: Host) -> Iterator[Problem]:
    """An image that is in no registry can only be used where it is."""
    place = place_of(variant)
    if place and place != host.host_id:
        there = Host.objects.filter(host_id=place).first()
        yield Problem(f"its image is on {there or place} alone; push it to a registry first")


def _platform_problems(variant: Variant, host: Host, platform: str) -> Iterator[Problem]:
    """Made for this architecture, or at least for one that the host emulates."""
    machine = str(host.facts.get("machine") or "")
    made_for = [str(one) for one in ([platform] if platform else variant.platforms)]
    if not machine or not made_for:
        return
    own = Platform.parse(f"linux/{machine}")
    offered = [Platform.parse(one) for one in made_for]
    if best(offered, own) is not None:
        return
    emulated = [Platform.parse(str(one)) for one in host.facts.get("emulated") or []]
    words = f"the image is for {_listed(made_for)}, this host is {machine}"
    if any(best(offered, one) is not None for one in emulated):
        yield Problem(f"{words}; it would be emulated, which is slow", is_warning=True)
    else:
        yield Problem(words, can_overrule=host.facts.get("emulated") is None)


def _listed(platforms: list[str]) -> str:
    return " and ".join(platform.removeprefix("linux/") for platform in platforms)


def _gpu_problems(variant: Variant, host: Host) -> Iterator[Problem]:
    if not variant.needs_gpu:
        return
    cards = host.facts.get("cards")
    if host.has_gpu:
        maker = maker_of(host)
        if maker is not Vendor.NVIDIA:
            words = f"the cards here are no NVIDIA's: it has to be made for {PLATFORMS[maker]}"
            yield Problem(words, is_warning=True)
        yield from _driver_problems(variant, host)
        yield from _vram_problems(variant, host)
    elif host.has_gpu is None:
        why = f" ({host.gpu_text})" if host.gpu_text else ""
        words = f"it needs a GPU, and whether there is one cannot be read{why}"
        yield Problem(words, can_overrule=True)
    elif cards:
        names = ", ".join(str(card.get("name")) for card in cards)
        yield Problem(f"it needs a GPU, and containers cannot use {names} here", can_overrule=True)
    else:
        yield Problem("it needs a GPU, and none can be used here", can_overrule=True)


def _vram_problems(variant: Variant, host: Host) -> Iterator[Problem]:
    """What a card has for good is judged; what others hold just now is a warning."""
    short = shortage(places_on(host), variant.entry.vram_bytes)
    if short is not None:
        yield Problem(short.text, is_warning=short.is_for_now, can_overrule=not short.is_for_now)


def _driver_problems(variant: Variant, host: Host) -> Iterator[Problem]:
    """Minimum driver and CUDA, where both sides are known."""
    extras = variant.entry.extra.get("abm") or {}
    versions = host.facts.get("versions") or {}
    card = host.gpus.filter(vendor=Vendor.NVIDIA).first()
    for key, name, read in (
        ("min_driver", "NVIDIA driver", card.driver if card else ""),
        ("min_cuda", "CUDA", card.cuda if card else ""),
    ):
        wanted, there = str(extras.get(key) or ""), read or str(versions.get(name) or "")
        if wanted and there and _numbers(there) < _numbers(wanted):
            yield Problem(f"it needs {name} {wanted}, this host has {there}", can_overrule=True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _disk_problems(variant: Variant, host: Host) -> Iterator[Problem]:
    free, needed = host.facts.get("disk_free"), needed_disk(variant)
    if free is None or not needed or free >= needed + SPARE_DISK_BYTES:
        return
    size = humanize.naturalsize(needed)
    if variant.download_bytes and variant.image:
        size += f" ({humanize.naturalsize(variant.download_bytes)} to download, then unpacked)"
    yield Problem(f"it needs {size} of disk, {humanize.naturalsize(free)} are free")


def needed_disk(variant: Variant) -> int:
    """Bytes on disk after the install; 0 where nobody knows."""
    if variant.disk_bytes:
        return variant.disk_bytes
    return int((variant.download_bytes or 0) * UNPACKED_TIMES)


def _memory_problems(variant: Variant, host: Host) -> Iterator[Problem]:
    needed, total = variant.entry.memory_bytes, host.facts.get("memory_total")
    used = host.facts.get("memory_used")
    if not needed or not total:
        return
    if needed > total:
        words = f"it needs {humanize.naturalsize(needed)} of memory"
        yield Problem(f"{words}, this host has {humanize.naturalsize(total)}", can_overrule=True)
    elif used is not None and needed > total - used:
        free = humanize.naturalsize(max(total - used, 0))
        words = f"it needs {humanize.naturalsize(needed)} of memory, {free} are free now"
        yield Problem(words, is_warning=True)


def _way(variant: Variant, host: Host) -> str:
    """How it comes to the host, where that is by building; and what room there is."""
    room = _room(variant, host)
    recipe = recipe_of(variant) if host.is_docker else None
    return f"will be built here from {recipe.words}; {room}" if recipe else room


def _room(variant: Variant, host: Host) -> str:
    """What there is, in numbers."""
    facts = host.facts
    parts = [f"{facts.get('system') or ''} {facts.get('machine') or ''}".strip()]
    if variant.needs_gpu:
        read = [f"{card.name} ({card.memory_text})" for card in host.gpus.all()]
        parts += read or [str(card.get("name")) for card in facts.get("cards") or ()]
    if facts.get("disk_free") is not None:
        parts.append(f"{humanize.naturalsize(facts['disk_free'], format='%.0f')} disk free")
    if facts.get("memory_total"):
        parts.append(f"{humanize.naturalsize(facts['memory_total'], format='%.0f')} memory")
    return ", ".join(part for part in parts if part)
