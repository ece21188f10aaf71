"""The link to a host reached by SSH: as to Docker here, over one connection that comes back."""

from __future__ import annotations

from typing import Any

from engines.links.cards import CardsLink
from engines.links.docker import AWAY_SECONDS, DockerLink
from engines.links.far_cards import FarCardsLink
from hosts.models import Host
from hosts.remote_links import link_of
from hosts.runners.docker.connection import connect
from hosts.ssh.link import LinkState
from jobs.models import Job
from jobs.services import ring

LOOK_SECONDS = 1.0


class RemoteLink(DockerLink):
    """Keeps the rows of a remote host's engines true while it is there, and waits while not."""

    def cards_link(self) -> CardsLink:
        return FarCardsLink(self.host_pk, self.connect, self.ended)

    def connect(self, host: Host) -> Any:
        return connect(link_of(host).docker_address)

    def _probe(self, host: Host) -> bool:
        was_away = host.is_away
        is_usable = super()._probe(host)
        if is_usable and was_away:
            for job in Job.objects.filter(host=host, status=Job.Status.QUEUED):
                ring(job)
        return is_usable

    def wait_away(self, host: Host) -> None:
        """Until it is time for the next look: at once when the connection is there again."""
        left = AWAY_SECONDS
        while left > 0 and not self.ended.wait(LOOK_SECONDS):
            left -= LOOK_SECONDS
            if link_of(host).news.state is LinkState.UP and host.is_away:
                return
