"""What makes Docker clients for a daemon that is reached through something else."""

from __future__ import annotations

from typing import Protocol

import docker


class ClientOpener(Protocol):
    """A lasting way to another machine's daemon (hosts.ssh.link)."""

    def client(self, *, api: str, timeout: float) -> docker.APIClient:
        """A client of its own that speaks API `api`; `timeout` seconds bound every wait."""
