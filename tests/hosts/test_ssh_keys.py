"""abm's own keys, and the host keys that it believes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from django.test import override_settings

from accounts.secrets import SecretUnreadable
from hosts.ssh.address import SshAddress
from hosts.ssh.errors import HostKeyChanged, HostKeyUnknown, Peer
from hosts.ssh.keys import fresh_key, opened, sealed
from hosts.ssh.known import HostKey, check, signatures_of

PEER = Peer("gpu-box", SshAddress("anna", "10.0.0.7"))


def keygen(file: Path, *words: str) -> str:
    command = ["ssh-keygen", *words, "-f", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    return done.stdout


def host_key(folder: Path, kind: str) -> HostKey:
    keygen(folder / kind, "-q", "-t", kind, "-N", "")
    line = (folder / f"{kind}.pub").read_text()
    return HostKey.from_line(" ".join(line.split()[:2]))


def test_openssh_reads_a_fresh_key_and_finds_the_same_public_half(tmp_path: Path) -> None:
    key = fresh_key()
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(key.private)

    assert keygen(file, "-y").split()[:2] == key.public.split()


def test_each_host_gets_another_key() -> None:
    assert fresh_key() != fresh_key()


def test_a_private_key_is_not_shown() -> None:
    key = fresh_key()

    assert "PRIVATE" not in f"{key!r} {key}"


def test_a_sealed_key_is_encrypted_and_opens_again() -> None:
    key = fresh_key()
    token = sealed(key)

    assert "PRIVATE" not in token and key.public.split()[1] not in token
    assert opened(token) == key


def test_a_key_sealed_under_another_secret_does_not_open() -> None:
    token = sealed(fresh_key())

    with override_settings(SECRET_KEY="another"), pytest.raises(SecretUnreadable):
        opened(token)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_fingerprint_is_the_one_ssh_keygen_shows(tmp_path: Path, kind: str) -> None:
    key = host_key(tmp_path, kind)
    shown = keygen(tmp_path / f"{kind}.pub", "-l").split()

    assert key.fingerprint == shown[1]
    assert shown[-1] == f"({key.words})"


def test_a_host_key_is_written_as_it_was_read(tmp_path: Path) -> None:
    key = host_key(tmp_path, "ed25519")

    assert HostKey.from_line(key.line) == key


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3M=", "ssh-rsa !!"]
)
def test_what_is_no_host_key_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no host key"):
        HostKey.from_line(line)


def test_an_accepted_key_is_believed_and_another_is_not(tmp_path: Path) -> None:
    old, new = host_key(tmp_path, "ed25519"), host_key(tmp_path, "ecdsa")
    check(PEER, old, known=(new, old))

    with pytest.raises(HostKeyChanged) as changed:
        check(PEER, new, known=(old,))

    assert changed.value.old == (old.shown,)
    assert changed.value.new == new.shown
    assert old.fingerprint in changed.value.message and new.fingerprint in changed.value.message


def test_with_nothing_accepted_no_key_is_believed(tmp_path: Path) -> None:
    key = host_key(tmp_path, "ed25519")

    with pytest.raises(HostKeyUnknown) as unknown:
        check(PEER, key, known=())

    assert unknown.value.offered == (key.shown,)


def test_only_accepted_kinds_are_asked_for(tmp_path: Path) -> None:
    assert signatures_of([host_key(tmp_path, "rsa")]) == ("rsa-sha2-512", "rsa-sha2-256")
    assert signatures_of([])[0] == "ssh-ed25519"
    assert "ssh-rsa" not in signatures_of([])
