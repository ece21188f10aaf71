"""Whether a variant fits a host, told before the click, with the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.models import CatalogEntry, Variant
from engines.models import Engine
from hosts.models import Host

SPARE_DISK_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """A host as a row of the install dialog."""

    host: Host
    fits: bool
    text: str
    engine: Engine | None = None
    """What stands in the way, when it is an engine that is already there."""


def verdicts(entry: CatalogEntry, variant: Variant) -> list[Verdict]:
    """One for each host, those that fit first."""
    there = {
        engine.host_id: engine
        for engine in Engine.objects.filter(name=entry.name).exclude(state=Engine.State.ABSENT)
    }
    rows = [_verdict(variant, host, there.get(host.pk)) for host in Host.objects.all()]
    return sorted(rows, key=lambda row: not row.fits)


def _verdict(variant: Variant, host: Host, engine: Engine | None) -> Verdict:
    if engine is not None:
        where = engine.variant.entry.source.name if engine.variant else "a removed source"
        same = engine.variant_id == variant.pk
        text = "is installed there already" if same else f"has {engine} from {where} already"
        return Verdict(host, fits=False, text=text, engine=engine)
    if not host.is_usable:
        return Verdict(host, fits=False, text=host.state_text or host.get_state_display())
    if host.host_type == Host.Type.SUBPROCESS and not variant.entry.folder:
        return Verdict(
            host,
            fits=False,
            text="runs engines as processes; this one comes as a Docker image only",
        )
    return _by_room(variant, host)


def _by_room(variant: Variant, host: Host) -> Verdict:
    """Disk and memory: what is needed against what is there, where both are known."""
    free, memory = host.facts.get("disk_free"), host.facts.get("memory_total")
    needed = variant.disk_bytes or 0
    parts = [platform_text(host)]
    if free is not None:
        parts.append(f"{free / 1e9:.0f} GB disk free")
        if needed and free < needed + SPARE_DISK_BYTES:
            text = f"needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free"
            return Verdict(host, fits=False, text=text)
    if memory:
        parts.append(f"{memory / 1e9:.0f} GB memory")
    return Verdict(host, fits=True, text="fits: " + ", ".join(part for part in parts if part))


def platform_text(host: Host) -> str:
    """`Linux amd64`, as far as it is known."""
    return f"{host.facts.get('system') or ''} {host.facts.get('machine') or ''}".strip()
