"""`manage.py abm hosts add` and a real SSH server: asked again until the host is saved."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command

from accounts.audit_models import AuditEntry
from hosts.models import Host, RemoteAccess
from tests.hosts.ssh_server import NO_SSHD, SSHD, SshServer, ssh_server

pytestmark = [pytest.mark.django_db, pytest.mark.engine]


@pytest.fixture(autouse=True)
def unrung(monkeypatch: pytest.MonkeyPatch) -> None:
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda *args, **options: None)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    if SSHD is None:
        pytest.skip(NO_SSHD)
    with ssh_server(tmp_path) as one:
        yield one


def hosts(*words: str) -> str:
    out = io.StringIO()
    call_command("abm", "hosts", *words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def add(server: SshServer, *words: str) -> Any:
    return json.loads(hosts("add", str(server.address), "--name", "box", "--json", *words))


def test_it_shows_the_key_asks_for_the_print_and_saves(server: SshServer) -> None:
    said = add(server)
    entry = said["prepared"]["authorizedKeysEntry"]
    fingerprint = said["tested"]["hostKeys"][0]["fingerprint"]
    assert said["host"] is None
    assert fingerprint == server.host_keys[0].fingerprint

    refused = add(server, "--accept", fingerprint)
    assert refused["tested"]["errorCategory"] == "SSH_AUTH_FAILED"
    assert refused["prepared"]["authorizedKeysEntry"] == entry, "the same key again"

    server.allow(entry)
    saved = add(server)["host"]

    assert saved["sshUrl"] == str(server.address)
    host = Host.objects.get(host_id=saved["hostId"])
    assert (host.display_name, host.access.owner_pk) == ("box", None)
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert {"host.prepare", "host.accept_key", "host.add"} <= verbs


def test_people_are_told_the_way_on(server: SshServer, capsys: Any) -> None:
    with pytest.raises(CommandError) as asked:
        hosts("add", str(server.address), "--name", "box")
    way_on = re.search(r"--accept (SHA256:\S+)", str(asked.value))
    assert way_on

    with pytest.raises(CommandError, match="refused abm's key"):
        hosts("add", str(server.address), "--name", "box", "--accept", way_on[1])


def test_no_other_print_is_believed(server: SshServer) -> None:
    with pytest.raises(CommandError, match="not the key"):
        add(server, "--accept", "SHA256:" + "A" * 43)

    assert RemoteAccess.objects.get().known_keys == []


@pytest.mark.parametrize("address", ["ssh://-oProxyCommand=reboot@box", "ssh://anna@-oX", "box"])
def test_an_address_with_tricks_is_refused(address: str) -> None:
    with pytest.raises(CommandError):
        hosts("add", address)

    assert not RemoteAccess.objects.exists()


def test_giving_up_throws_the_key_away(server: SshServer) -> None:
    add(server)

    assert "thrown away" in hosts("give-up")
    assert not RemoteAccess.objects.exists()
    assert "No host" in hosts("give-up")
