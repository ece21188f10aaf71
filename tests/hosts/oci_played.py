"""A registry played by a small server, and a client of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hosts.oci.errors import (
    RegistryError,
)
from hosts.oci.manifests import OCI_MANIFEST
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from tests.hosts.oci_registry import digest
from tests.hosts.oci_server import Asked, Script, SmallServer, Told, small_server

DIGEST = "sha256:" + "5" * 64
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"digest": DIGEST, "size": 10},
        "layers": [{"digest": DIGEST, "size": 20}],
    }
).encode()
OF_MANIFEST = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest(MANIFEST)}
GOOD = Told(200, MANIFEST, OF_MANIFEST)
PAGE = Told(200, b"<!DOCTYPE html><title>Sign in</title>", {"Content-Type": "text/html"})
SECONDS = 0.6


@contextmanager
def registry_that(
    tells: Script | Told, **options: object
) -> Iterator[tuple[Registry, SmallServer]]:
    """A client of a server that greets as a registry does and then answers by `tells`."""

    def script(asked: Asked) -> Told:
        if asked.path == "/v2/":
            return Told(200, b"{}")
        return tells if isinstance(tells, Told) else tells(asked)

    with (
        small_server(script) as server,
        Registry(server.address, seconds=SECONDS, **options) as client,  # type: ignore[arg-type]
    ):
        yield client, server


def image_at(server: SmallServer, name: str = "lab/x:1") -> ImageReference:
    return ImageReference.parse(f"{server.address}/{name}")


def failure_of(tells: Script | Told, *, method: str = "document") -> RegistryError:
    """How a question to a server that answers so ends."""
    with registry_that(tells) as (client, server), pytest.raises(RegistryError) as caught:
        getattr(client, method)(image_at(server))
    assert server.address in caught.value.message
    assert "lab/x" in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value
