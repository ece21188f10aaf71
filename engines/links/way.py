"""The way to an engine's HTTP door: straight on this machine, through the tunnel on others."""

from __future__ import annotations

from urllib.parse import urlsplit

from accounts.refused import Refused
from engines.models import Engine
from hosts.models import Host
from hosts.remote_links import door_to
from hosts.runners.base import HostNotReady


def way_to(engine: Engine) -> str:
    """The URL by which this process reaches `engine`; it stays when the link comes back.

    Raises HostNotReady where a remote host's key cannot be read any more.
    """
    return way_by(engine.host, engine.url)


def reached(engine: Engine) -> str:
    """`way_to` for requests of people. Raises Refused HOST_NOT_REACHABLE while the host is away."""
    host = engine.host
    if host.is_away:
        raise Refused(
            "HOST_NOT_REACHABLE", f"{host} is not reachable. {host.state_text}", status=503
        )
    try:
        return way_to(engine)
    except HostNotReady as error:
        raise Refused("HOST_NOT_REACHABLE", error.message, status=503) from error


def way_by(host: Host, url: str) -> str:
    """The same for any URL that the host's runner told."""
    if not host.is_remote or not url:
        return url
    port = urlsplit(url).port
    if port is None:
        raise HostNotReady(f"{url} names no port of {host}. Start the engine again.")
    return door_to(host, port)
