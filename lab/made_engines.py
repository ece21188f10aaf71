"""The engines that the lab makes up, most of which misbehave, and what its catalog says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.place import Place

LARGE_LAYERS, LARGE_MEGABYTES = 12, 400


@dataclass(frozen=True, slots=True)
class MadeEngine:
    """An image of `lab/engine/server.py`, and its entry in the lab's catalog."""

    name: str
    display_name: str
    description: str
    environment: Mapping[str, str] = field(default_factory=dict)
    needs_gpu: bool = False
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What the entry has under `abm`."""
    layers: int = 0
    megabytes: int = 0
    """Made-up data, spread over so many layers of their own."""

    def definition(self) -> dict[str, Any]:
        """The entry in the form of a catalog."""
        variant = {
            "tag": "latest",
            "platforms": ["linux/amd64"],
            "requires_gpu": self.needs_gpu,
        }
        return {
            "name": self.name,
            "display_name": self.display_name,
            "engine_type": "tts",
            "description": f"{self.description} An engine of the test lab; it speaks a tone.",
            "variants": [variant],
            "models": [{"name": "tone", "display_name": "Tone", "languages": ["en"]}],
            "default_model": "tone",
            "supported_languages": ["en"],
            "abm": {"version": "1.0.0", **self.extras},
        }


def made_engines(place: Place) -> list[MadeEngine]:
    """All of them; the slow ones are as slow as the place says."""
    return [*_sound(), *_slow(f"{place.load_seconds:g}"), *_faulty()]


def _sound() -> list[MadeEngine]:
    return [
        MadeEngine("tone", "Tone", "Does what it should, at once."),
        MadeEngine(
            "large",
            "Large",
            f"Is {LARGE_MEGABYTES} MB in {LARGE_LAYERS} layers, half of it noise.",
            layers=LARGE_LAYERS,
            megabytes=LARGE_MEGABYTES,
        ),
    ]


def _slow(seconds: str) -> list[MadeEngine]:
    return [
        MadeEngine(
            "listens-late",
            "Listens late",
            f"Opens its port after {seconds} s.",
            {"LISTEN_SECONDS": seconds},
        ),
        MadeEngine(
            "loads-slowly",
            "Loads slowly",
            f"Takes {seconds} s to load its model.",
            {"LOAD_SECONDS": seconds},
        ),
        MadeEngine(
            "downloads-first",
            "Downloads first",
            "Fetches a model of 60 MB at its first start, which takes 15 s.",
            {"MODEL_MB": "60"},
        ),
    ]


def _faulty() -> list[MadeEngine]:
    variable = {"name": "LAB_TOKEN", "description": "Any text will do.", "is_required": True}
    return [
        _fault("never-listens", "Never listens", "Runs, and opens no port."),
        _fault("dies-at-once", "Dies at once", "Ends with a traceback."),
        _fault("ignores-term", "Ignores SIGTERM", "Must be ended by force."),
        _fault(
            "needs-variable",
            "Needs a variable",
            "Ends unless LAB_TOKEN is set.",
            extras={"environment": [variable]},
        ),
        _fault(
            "needs-gpu",
            "Needs a GPU",
            "Ends without a GPU; a simulated card will do.",
            needs_gpu=True,
        ),
        _fault("eats-memory", "Eats memory", "Takes more and more memory."),
    ]


def _fault(
    name: str,
    display_name: str,
    description: str,
    *,
    needs_gpu: bool = False,
    extras: Mapping[str, Any] | None = None,
) -> MadeEngine:
    """An engine whose fault is called as it is."""
    return MadeEngine(
        name, display_name, description, {"FAULT": name}, needs_gpu=needs_gpu, extras=extras or {}
    )
