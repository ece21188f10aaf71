"""The compose files say the same of the same, and leave nothing without a limit."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.browser.server import ROOT
from tests.test_house import variables

WAITS = {"postgres", "redis"}


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / name).read_text())["services"]
    return found


def without_servers(service: dict[str, Any]) -> dict[str, Any]:
    """What is said of a service, but for the servers of docker-compose.yml."""
    waits = {key: at for key, at in service.get("depends_on", {}).items() if key not in WAITS}
    environment = {
        key: value
        for key, value in service["environment"].items()
        if key not in {"DATABASE_URL", "REDIS_URL", "DATABASE_PASSWORD_FILE"}
    }
    return {**service, "depends_on": waits, "environment": environment}


def test_with_servers_of_ones_own_abm_is_the_same() -> None:
    whole, external = services("docker-compose.yml"), services("compose.external.yml")

    assert set(whole) - set(external) == WAITS
    for name, service in external.items():
        assert without_servers(service) == without_servers(whole[name]), name


def test_each_variable_of_a_container_is_one_that_abm_reads() -> None:
    given = set(services("docker-compose.yml")["web"]["environment"])

    assert given - variables() == {"PUID", "PGID", "TMPDIR"}


def test_everything_that_lasts_waits_for_the_migrations() -> None:
    whole = services("docker-compose.yml")

    for name in ("web", "worker", "link"):
        waits = whole[name]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}, name


def test_each_service_has_a_limit_a_health_check_and_a_bounded_log() -> None:
    for name, service in services("docker-compose.yml").items():
        assert service["mem_limit"], name
        assert service["healthcheck"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["read_only"], name


@pytest.mark.parametrize(
    ("file", "name"), [("compose.caddy.yml", "caddy"), ("compose.socket-proxy.yml", "socket-proxy")]
)
def test_what_is_laid_over_has_a_limit_and_a_bounded_log_too(file: str, name: str) -> None:
    service = services(file)[name]

    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize(
    "file", ["compose.caddy.yml", "compose.gpu.yml", "compose.socket-proxy.yml"]
)
def test_what_is_laid_over_changes_services_that_are_there(file: str) -> None:
    """A name that was mistyped would be a new service without an image."""
    known = set(services("docker-compose.yml"))

    assert {name for name, one in services(file).items() if "image" not in one} <= known
