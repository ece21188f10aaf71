"""A host key that changed on a real SSH server: told by a signed webhook, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from abm.notify import work
from abm.notify.models import NotifyTarget
from hosts import remote
from hosts.models import Host
from hosts.remote_links import links
from hosts.remote_work import check_asked
from hosts.ssh.key_line import key_line
from hosts.ssh.keys import opened
from hosts.work import probe
from tests.abm.test_notify import Heard, heard, hook  # noqa: F401  fixtures
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server

pytestmark = [pytest.mark.django_db, pytest.mark.engine]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    if SSHD is None:
        pytest.skip(NO_SSHD)
    with ssh_server(tmp_path) as one:
        yield one
    links.keep_only(())


def test_it_is_told_once(hook: NotifyTarget, heard: Heard, server: SshServer) -> None:  # noqa: F811
    draft = remote.begin_adding(name="box", url=str(server.address), user=None)
    server.allow(key_line(opened(draft.key).public, draft.mark))
    check_asked(draft.pk)
    draft.refresh_from_db()
    remote.accept_key(draft, fingerprint=draft.offered[0].fingerprint, user=None)
    check_asked(draft.pk)
    draft.refresh_from_db()
    host = remote.save_host(draft, user=None)
    Host.objects.update(seen_at=timezone.now())

    server.stop()
    server.make_host_keys()
    server.start()
    probe(host)
    for _ in range(3):
        work.run()

    assert heard.titles().count("The key of box changed") == 1
