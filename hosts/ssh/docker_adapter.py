"""docker-py over one SSH connection: channels in place of sockets, and nothing else changed.

docker-py's own `ssh://` opens a channel for each path, cannot end a stream, has no time-outs and
does not come back after a broken connection; it is not used.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

import docker
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from hosts.ssh.channel import ChannelSocket

BASE_URL = "http+docker://localhost"
"""What docker-py calls a daemon behind an adapter."""
OPEN_SECONDS = 10.0
KEPT_IDLE = 4
"""Idle channels that are kept for the next request: in command mode each is one of sshd's ten."""


class Docker(Protocol):
    """Whatever opens connections to one host's Docker."""

    def docker(self, seconds: float) -> ChannelSocket: ...


class ChannelConnection(HTTPConnection):
    """HTTP over one channel."""

    def __init__(self, opener: Docker, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._opener = opener

    def connect(self) -> None:
        waits = self.timeout if isinstance(self.timeout, int | float) else OPEN_SECONDS
        channel = self._opener.docker(min(waits, OPEN_SECONDS))
        channel.settimeout(self.timeout)
        self.sock: Any = channel

    @property
    def is_connected(self) -> bool:
        """Without asking the system for a descriptor, as urllib3 would for each request."""
        return self.sock is not None and bool(self.sock.is_quiet)


class ChannelPool(HTTPConnectionPool):
    """The idle channels to one host's Docker, for all clients of one link together."""

    def __init__(self, opener: Docker) -> None:
        super().__init__("localhost", maxsize=KEPT_IDLE, block=False)
        self._opener = opener
        self.used_at = time.monotonic()
        """When a request began or ended last."""

    @property
    def idle_count(self) -> int:
        """Channels that wait for the next request."""
        kept = list(self.pool.queue) if self.pool is not None else []
        return sum(1 for one in kept if one is not None and one.sock is not None)

    def close_idle(self) -> None:
        """Close them; the next request opens another."""
        for one in list(self.pool.queue) if self.pool is not None else []:
            if one is not None:
                one.close()

    def open(self, seconds: float) -> ChannelSocket:
        """A channel of its own."""
        return self._opener.docker(seconds)

    def _get_conn(self, timeout: float | None = None) -> Any:
        self.used_at = time.monotonic()
        return super()._get_conn(timeout)

    def _put_conn(self, conn: Any) -> None:
        self.used_at = time.monotonic()
        super()._put_conn(conn)

    def _new_conn(self) -> ChannelConnection:
        return ChannelConnection(self._opener, None)


class ChannelAdapter(HTTPAdapter):
    """What docker.APIClient sends its requests through."""

    def __init__(self, pool: ChannelPool) -> None:
        super().__init__()
        self._pool = pool

    def open(self, seconds: float = OPEN_SECONDS) -> ChannelSocket:
        """A fresh connection to Docker, for what reads it by itself."""
        return self._pool.open(seconds)

    def init_poolmanager(self, *sizes: object, **options: object) -> None:
        """None: there is one pool, and it is not this adapter's."""

    def close(self) -> None:
        """Leave the pool to the others."""

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        return request.path_url


def client_over(pool: ChannelPool, *, api: str, timeout: float) -> docker.APIClient:
    """A client of its own; closing it leaves the pool to the others."""
    client = docker.APIClient(base_url="tcp://localhost:1", version=api, timeout=timeout)  # type: ignore[arg-type]
    client.base_url = BASE_URL
    client.adapters.clear()  # those for other ways weigh more than the client itself
    client.mount("http+docker://", ChannelAdapter(pool))
    client.trust_env = False
    return client
