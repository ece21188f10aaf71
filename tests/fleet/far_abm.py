"""An abm whose engines run on a remote host of the lab, added by the wizard as a person does."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from lab.own import OwnRemote
from tests.fleet.abm import FleetAbm, Row

NO_DOCKER = "unix:///nowhere/docker.sock"
HOST_NAME = "gpu-box"


class FarAbm(FleetAbm):
    """Its host is the remote one."""

    @property
    def host(self) -> Row:
        return self.rows("hosts_host", "host_type = 'docker:remote'")[0]

    def engine(self, name: str) -> Row:
        """On the first host, if it is on several."""
        return self.rows("engines_engine", "name = ?", name)[0]

    @property
    def access(self) -> Row:
        """The one that is being added, else the first."""
        rows = self.rows("hosts_remoteaccess")
        return next((row for row in rows if row.host_id is None), rows[0])

    def story(self) -> str:
        added = self.rows("hosts_host", "host_type = 'docker:remote'")
        return super().story() if added else self.served.said()[-3000:]

    def begin_adding(self, url: str, *, name: str = HOST_NAME) -> str:
        """Step one; the command of step two."""
        return command_in(self.post("/hosts/add/", name=name, url=url))

    def tested(self, path: str = "/hosts/add/check/") -> dict[str, Any]:
        """Test; the rows by their keys when all have come."""
        before = self.access.checked_at
        self.post(path)
        self.until(lambda: self.access.checked_at != before)
        return self.checks()

    def checks(self) -> dict[str, Any]:
        return {row["key"]: row for row in json.loads(self.access.checks)}

    def accept(self) -> dict[str, Any]:
        """Accept the first key that the host showed last; the test that follows."""
        page = "/hosts/add/check/" if self.access.host_id is None else f"/hosts/{self.host.pk}/way/"
        before = self.access.checked_at
        self.accept_shown(page)
        self.until(lambda: self.access.checked_at != before)
        return self.checks()

    def accept_shown(self, page: str) -> None:
        """Press the first button that accepts a key."""
        text = self.http.get(page).text
        found = re.search(r'name="fingerprint" value="([^"]+)"', text)
        form = re.search(r'action="(/hosts/access/\d+/accept/)"', text)
        assert found is not None and form is not None, text[:1500]
        self.post(form[1], fingerprint=html.unescape(found[1]))

    def add(self, own: OwnRemote) -> None:
        """The whole wizard."""
        own.say(self.begin_adding(own.url))
        self.tested()
        self.accept()
        self.post("/hosts/add/save/")
        self.until_host("available", "available_no_gpu", "degraded")

    def until_host(self, *states: str, seconds: float = 30) -> Row:
        self.until(lambda: self.host.state in states, seconds)
        return self.host


def command_in(answer: httpx.Response) -> str:
    """The command for a POSIX shell on a page of the wizard."""
    found = re.search(r'data-copy="(sh &lt;&lt;[^"]*)"', answer.text)
    assert found is not None, answer.text[:1500]
    return html.unescape(found[1])


@contextlib.contextmanager
def far_abm(folder: Path, catalog_url: str, **environment: str) -> Iterator[FarAbm]:
    """A started abm without any Docker here; nothing is added yet."""
    made = FarAbm(folder, NO_DOCKER, catalog_url, **environment)
    try:
        made.start()
        made.read_shelf()
        yield made
    finally:
        made.end()
