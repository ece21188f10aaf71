"""Rows for tests; each takes only what the test talks about."""

from __future__ import annotations

from itertools import count
from typing import Any

from catalog.models import CatalogEntry, CatalogSource, Variant
from engines.models import Engine
from hosts.models import Host, RemoteAccess

_numbers = count(1)

PARAMETERS = {
    "speed": {"type": "float", "label": "Speed", "default": 1.0, "min": 0.5, "max": 2.0},
    "pitch": {"type": "int", "label": "settings.tts.debugTts.pitch", "default": 50},
}


def make_host(**values: Any) -> Host:
    number = next(_numbers)
    defaults = {
        "host_id": f"local-{number}",
        "display_name": f"Machine {number}",
        "host_type": Host.Type.SUBPROCESS,
        "state": Host.State.AVAILABLE,
        "is_available": True,
    }
    return Host.objects.create(**{**defaults, **values})


def make_away(**access: bool) -> Host:
    """A host by SSH that does not answer."""
    host = make_host(host_type=Host.Type.DOCKER_REMOTE, state=Host.State.UNREACHABLE)
    RemoteAccess.objects.create(host=host, mark=host.host_id, address="ssh://a@box", **access)
    return host


def make_variant(*, name: str = "tiny", engine_type: str = "tts", **values: Any) -> Variant:
    source, _ = CatalogSource.objects.get_or_create(
        name="test source", defaults={"kind": CatalogSource.Kind.BUNDLED}
    )
    defaults = {
        "display_name": name.title(),
        "engine_type": engine_type,
        "folder": "/nowhere/tiny",
        "supported_languages": ["en", "de"],
        "parameters": PARAMETERS,
        "version": "1.0",
    }
    entry, _ = CatalogEntry.objects.get_or_create(
        source=source, name=name, defaults={**defaults, **values}
    )
    return entry.variants.get_or_create(tag="latest")[0]


def make_engine(*, state: Engine.State = Engine.State.STOPPED, **values: Any) -> Engine:
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "name": f"engine-{number}",
        "display_name": f"Engine {number}",
        "engine_type": "tts",
        "state": state,
        "definition": {
            "parameters": PARAMETERS,
            "supported_languages": ["en", "de"],
            "constraints": {"max_text_length": 100},
        },
    }
    if "host" not in values:
        defaults["host"] = make_host()
    return Engine.objects.create(**{**defaults, **values})


def variant_of(image: str, *, tag: str = "latest", name: str = "voice", **values: Any) -> Variant:
    """A variant that a catalog lists with this image and without numbers."""
    variant = make_variant(name=name, folder="")
    Variant.objects.filter(pk=variant.pk).update(image=image, tag=tag, **values)
    return fresh(variant)


def fresh(variant: Variant) -> Variant:
    return Variant.objects.select_related("entry").get(pk=variant.pk)
