"""The YAML in which a fleet is written down: hosts by their id, and a list of engines.

A key that is absent leaves what it names as it is. There are no secrets in it, only their names.
"""

from __future__ import annotations

from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from catalog.safe_yaml import UnreadableYaml, load

HEAD = """\
# Hosts and engines of abm, for: manage.py abm import FILE. What is not named here is left alone.
# Of secrets there are the names only.
"""


class FleetInvalid(Exception):
    """The file cannot be used; the message says where and why."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class HostWish(_Shape):
    """A host as it is to be. It is known by its id, a remote one by its address as well."""

    name: str | None = None
    address: str | None = None
    enabled: bool | None = None
    samples: str | None = None
    models: str | None = None


class GpuWish(_Shape):
    """The cards of an engine: `none`, `all`, or their UUIDs."""

    cards: Literal["none", "all"] | list[str]
    forbids_cpu: bool = False


class ContainerWish(_Shape):
    """What is set on a container, as abm keeps it."""

    ports: list[dict[str, JsonValue]] = Field(default_factory=list)
    mounts: list[dict[str, JsonValue]] = Field(default_factory=list)
    limits: dict[str, JsonValue] = Field(default_factory=dict)


class EngineWish(_Shape):
    """An engine as it is to be: installed on its host from its source, with these settings."""

    host: str
    name: str
    source: str = ""
    tag: str = ""
    platform: str = ""
    enabled: bool | None = None
    keep_running: bool | None = None
    default: bool | None = None
    auto_updates: bool | None = None
    idle_minutes: int | Literal["default"] | None = None
    language: str | None = None
    parameters: dict[str, JsonValue] | None = None
    environment: dict[str, str] | None = None
    secrets: list[str] | None = None
    gpus: GpuWish | None = None
    container: ContainerWish | None = None


class Fleet(_Shape):
    """The whole file."""

    abm: Literal[1]
    hosts: dict[str, HostWish] = Field(default_factory=dict)
    engines: list[EngineWish] = Field(default_factory=list)


def read_fleet(raw: bytes) -> Fleet:
    """Raises FleetInvalid with a sentence for each fault."""
    try:
        return Fleet.model_validate(load(raw))
    except UnreadableYaml as error:
        raise FleetInvalid(str(error)) from error
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors()[:20]
        ]
        raise FleetInvalid("; ".join(faults)) from error


def written(fleet: Fleet) -> str:
    """The file's text, the same for the same fleet."""
    values: dict[str, Any] = fleet.model_dump(exclude_none=True)
    return HEAD + str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))
