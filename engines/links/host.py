"""What the links of all kinds of hosts share: a thread that begins again whatever happens."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod

from django.db import close_old_connections, connection
from django.db.utils import DatabaseError

from engines.links import holders
from engines.models import Engine
from engines.observe import engine_seen, is_last_seen_alive
from engines.work import log_tail
from hosts.models import Host
from hosts.runners.base import EngineStatus, RunnerError
from jobs.outcome import CancelToken

log = logging.getLogger(__name__)

LOG_TAIL = 40
RETRY_SECONDS = 2.0


class HostLink(threading.Thread):
    """Watches one host until it is ended."""

    def __init__(self, host: Host) -> None:
        super().__init__(name=f"abm-link-{host.host_id}", daemon=True)
        self.host_pk = host.pk
        self.ended = CancelToken()

    def run(self) -> None:
        while not self.ended.is_cancelled:
            close_old_connections()
            try:
                host = Host.objects.filter(pk=self.host_pk, is_enabled=True).first()
                if host is None:
                    break
                self.watch(host)
            except (DatabaseError, OSError, RunnerError) as error:
                log.warning("the link to host %s starts again: %s", self.host_pk, error)
                self.ended.wait(RETRY_SECONDS)
        connection.close()

    @abstractmethod
    def watch(self, host: Host) -> None:
        """Keep the host's rows true until `ended`, or as long as that is possible."""

    def observed(self, host: Host, name: str, status: EngineStatus) -> Engine | None:
        """Write down how the engine called `name` is, with its last words if it died."""
        engine = Engine.objects.select_related("host").filter(host=host, name=name).first()
        if engine is None:
            return None
        holders.note(engine.pk, status)
        tail = ""
        if not status.is_running and is_last_seen_alive(engine):
            tail = "\n".join(log_tail(engine, lines=LOG_TAIL))
        engine_seen(engine, status, log_tail=tail)
        return engine
