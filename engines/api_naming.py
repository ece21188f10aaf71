"""Which engine, variant or host the API's contract means by a name, and its codes for a no.

A variant id is `<engine>:<host id>`, cut at the first colon; without one it is on host `local`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from accounts.refused import Refused
from catalog.models import CatalogEntry, EngineType, Variant
from catalog.queries import offered
from engines.models import Engine
from engines.queries import engines_shown
from engines.verdict import verdict
from hosts.models import Host

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
SHOWN = 80


def cut(variant_id: str) -> tuple[str, str]:
    """Name and host id. Raises Refused INVALID_VARIANT_ID."""
    name, colon, host_id = variant_id.partition(":")
    if not NAME.fullmatch(name) or (colon and not host_id):
        raise Refused(
            "INVALID_VARIANT_ID",
            f"“{variant_id[:SHOWN]}” is not of the form engine:host, such as xtts:docker:local.",
            status=400,
            variantId=variant_id[:SHOWN],
        )
    return name, host_id or "local"


def engine_of(
    variant_id: str, *, status: int = 404, code: str = "ENGINE_NOT_FOUND", absent: str = ""
) -> Engine:
    """The engine that is installed, or being installed, under this id.

    Raises Refused `code`, or `absent` for one that a catalog offers and a host could have.
    """
    name, _, host_id = variant_id.partition(":")
    rows = engines_shown().prefetch_related("engine_models")
    engine = rows.filter(name=name, host__host_id=host_id or "local").first()
    if engine is None:
        raise Refused(
            absent if absent and _could_be(name, host_id or "local") else code,
            f"There is no engine {variant_id[:SHOWN]}.",
            status=status,
            variantId=variant_id[:SHOWN],
        )
    return engine


def _could_be(name: str, host_id: str) -> bool:
    there = Host.objects.filter(host_id=host_id).exists()
    return there and offered().filter(name=name).exists()


def require_image(engine: Engine) -> None:
    """Raises Refused NOT_DOCKER_VARIANT for an engine that is a process."""
    if not engine.image:
        raise Refused(
            "NOT_DOCKER_VARIANT",
            f"{engine} runs from no image.",
            status=400,
            variantId=engine.address,
        )


def typed_engine(engine_type: str, variant_id: str) -> Engine:
    """The same for the contract's `/{type}/{variant}/...`, where each no is a 400."""
    require_type(engine_type)
    engine = engine_of(variant_id, status=400)
    if engine.engine_type != engine_type:
        raise Refused(
            "ENGINE_NOT_FOUND",
            f"{engine} is of type {engine.engine_type}.",
            status=400,
            variantId=variant_id[:SHOWN],
            engineType=engine_type,
        )
    return engine


def require_type(engine_type: str) -> None:
    if engine_type not in EngineType.values:
        raise Refused(
            "ENGINE_INVALID_TYPE",
            f"There is no type {engine_type[:20]}; there are {', '.join(EngineType.values)}.",
            status=400,
            engineType=engine_type[:20],
        )


def wanted_variant(variant_id: str, tag: str) -> tuple[Variant, Host]:
    """What is to be installed, and where. Raises Refused.

    An engine that several sources list is taken from the first whose variant fits the host.
    """
    name, host_id = cut(variant_id)
    host = Host.objects.filter(host_id=host_id).first()
    if host is None:
        raise Refused(
            "HOST_NOT_FOUND",
            f"There is no host {host_id[:SHOWN]}.",
            status=400,
            hostId=host_id[:SHOWN],
        )
    entries = list(offered().filter(name=name).order_by("source_id"))
    if not entries:
        raise Refused(
            "VARIANT_NOT_FOUND",
            f"No catalog offers an engine {name}.",
            status=404,
            variantId=variant_id[:SHOWN],
        )
    variants = [variant for entry in entries for variant in _tagged(entry, tag)]
    if not variants:
        raise Refused(
            "DOCKER_IMAGE_NOT_FOUND",
            f"{name} has no tag {tag[:SHOWN]}.",
            status=404,
            variantId=variant_id[:SHOWN],
            tag=tag[:SHOWN],
        )
    fitting = (variant for variant in variants if verdict(variant, host, platform="").fits)
    return next(fitting, variants[0]), host


def _tagged(entry: CatalogEntry, tag: str) -> list[Variant]:
    variants = [variant for variant in entry.offered_variants if not tag or variant.tag == tag]
    for variant in variants:
        variant.entry = entry
    return variants if tag else variants[:1]


def require_docker_now(host: Host) -> None:
    """Raises Refused with the contract's codes for a host whose Docker cannot be used now."""
    if host.is_usable:
        return
    is_far = host.host_type == Host.Type.DOCKER_REMOTE
    code = "DOCKER_HOST_NOT_CONNECTED" if is_far else "DOCKER_NOT_AVAILABLE"
    why = host.state_text or host.get_state_display()
    raise Refused(code, f"{host} cannot take engines now: {why}", status=503, hostId=host.host_id)


def said_as(codes: dict[str, tuple[str, int]], **params: Any) -> Callable[[Refused], Refused]:
    """Turns a service's no into the contract's: {our code: (its code, status)}."""

    def translated(refused: Refused) -> Refused:
        if refused.code not in codes:
            return refused
        code, status = codes[refused.code]
        return Refused(code, refused.message, status=status, **params)

    return translated
