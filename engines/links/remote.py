"""The link to a host reached by SSH: as to Docker here, over one connection that comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from engines.links.docker import AWAY_SECONDS, DockerLink
from engines.links.far_cards import FarCards
from engines.links.helped_cards import HostCards
from hosts.models import Host
from hosts.remote_links import link_of, links
from hosts.runners.docker.connection import connect
from hosts.ssh.link import LinkState
from jobs.models import Job
from jobs.services import ring

LOOK_SECONDS = 1.0


class RemoteLink(DockerLink):
    """Keeps the rows of a remote host's engines true while it is there, and waits while not."""

    def cards(self) -> HostCards:
        return FarCards(self.host_pk, self.connect, self.ended)

    def connect(self, host: Host) -> Any:
        return connect(links.now(host.host_id).docker_address)

    def _probe(self, host: Host) -> bool:
        was_away = host.is_away
        is_usable = super()._probe(host)
        if is_usable and was_away:
            for job in Job.objects.filter(host=host, status=Job.Status.QUEUED):
                ring(job)
        return is_usable

    def wait_away(self, host: Host) -> Iterator[float]:
        """Until it is time for the next look: at once when the connection is there again."""
        end = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < end and not self.ended.is_cancelled:
            yield from self.pause(LOOK_SECONDS)
            if link_of(host).news.state is LinkState.UP and host.is_away:
                return
