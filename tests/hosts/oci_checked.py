"""Registries that are checked in tests, and short ways to check them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hosts.oci.checker import Answer, Question, check
from hosts.oci.digests import LocalImage
from hosts.oci.manifests import OCI_MANIFEST
from hosts.oci.platforms import Platform
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from tests.hosts.oci_registry import digest
from tests.hosts.oci_server import Asked, SmallServer, Told, small_server

NOON = datetime(2025, 5, 1, 12, tzinfo=UTC)
AMD64 = Platform.parse("linux/amd64")
LEAF = "sha256:" + "1" * 64


@dataclass
class Small:
    """A registry played by a small server: `tells` answers what is asked of an image."""

    tells: Callable[[Asked], Told]
    address: str = ""
    greeted: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Told:
        if asked.path == "/v2/":
            self.greeted.append(asked.path)
            return Told(200, b"{}")
        return self.tells(asked)

    def questions(self, count: int) -> list[Question]:
        names = [f"{self.address}/lab/x{number}:1" for number in range(count)]
        return [Question(ImageReference.parse(name)) for name in names]


@contextmanager
def played(tells: Callable[[Asked], Told]) -> Iterator[tuple[Small, SmallServer]]:
    small = Small(tells)
    with small_server(small) as server:
        small.address = server.address
        yield small, server


def held(reference: ImageReference, found: str) -> LocalImage:
    return LocalImage((f"{reference.name}@{found}",), "", AMD64)


def check_one(question: Question, *, at: datetime = NOON, is_wanted_now: bool = False) -> Answer:
    answers = check([question], open_registry=opened, now=lambda: at, is_wanted_now=is_wanted_now)
    return answers[question.reference]


def opened(name: str) -> Registry:
    return Registry(name, seconds=0.6)


def any_manifest(asked: Asked) -> Told:
    body = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"digest": LEAF, "size": 1},
            "layers": [],
        }
    ).encode()
    return Told(200, body, {"Docker-Content-Digest": digest(body), "Content-Type": OCI_MANIFEST})
