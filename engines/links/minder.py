"""The one that minds the links: each host in use has one, and what is due is done."""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from engines.idle import stop_idle
from engines.links.cards import CardsLink
from engines.links.docker import DockerLink
from engines.links.host import HostLink
from engines.links.processes import ProcessLink
from engines.links.remote import RemoteLink
from engines.observe import restart_due
from hosts.link.memory import give_back, use_few_arenas
from hosts.models import Host

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TIDY_SECONDS = 5.0
LINKS: dict[str, type[HostLink]] = {
    Host.Type.SUBPROCESS: ProcessLink,
    Host.Type.DOCKER_LOCAL: DockerLink,
    Host.Type.DOCKER_REMOTE: RemoteLink,
}


class Minder(threading.Thread):
    """A link for each host in use, and engines started and stopped when their time has come."""

    def __init__(self) -> None:
        super().__init__(name="abm-link", daemon=True)
        self.ended = threading.Event()
        self._links: dict[int, HostLink] = {}
        self._idle_at = self._tidied_at = time.monotonic()
        self._cards = CardsLink()
        use_few_arenas()

    def run(self) -> None:
        self._cards.start()
        while not self.ended.wait(LOOK_SECONDS if self._links else 0.0):
            close_old_connections()
            try:
                self.mind()
            except (DatabaseError, OSError) as error:
                log.warning("the links are minded again: %s", error)
                self.ended.wait(LOOK_SECONDS)
        self._cards.ended.cancel()
        for link in self._links.values():
            link.ended.cancel()
        for link in self._links.values():
            link.join(LOOK_SECONDS)
        self._cards.join(LOOK_SECONDS)
        connection.close()

    def mind(self) -> None:
        """One look at what should be linked and what is due."""
        wanted = {
            host.pk: host
            for host in Host.objects.filter(is_enabled=True)
            if host.host_type in LINKS
        }
        for pk in set(self._links) - set(wanted):
            self._links.pop(pk).ended.cancel()
        for pk, host in wanted.items():
            if pk not in self._links or not self._links[pk].is_alive:
                self._links[pk] = LINKS[host.host_type](host)
                self._links[pk].start()
        restart_due()
        if time.monotonic() - self._idle_at >= settings.IDLE_ENGINE_CHECK_INTERVAL:
            self._idle_at = time.monotonic()
            stop_idle()
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            give_back()
