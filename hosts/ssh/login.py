"""From an address to a connection that is logged in, each step bounded and each failure named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import paramiko

from hosts.ssh.connection import Connection
from hosts.ssh.errors import (
    HostKeyChanged,
    HungUp,
    KeyRefused,
    LinkLost,
    NothingInCommon,
    NotSsh,
    Peer,
    Phase,
    SilentHost,
)
from hosts.ssh.known import KINDS, HostKey, check, signatures_of
from hosts.ssh.target import USUAL, Limits, Target
from hosts.ssh.transport import Transport
from hosts.ssh.wire import reach


def no_report(phase: Phase) -> None:
    """Nobody wants to know how far it has come."""


def log_in(
    target: Target, limits: Limits = USUAL, *, passed: Callable[[Phase], None] = no_report
) -> Connection:
    """A connection for `target`, whose host key is compared before anything is told to it.

    `passed` hears of each phase that is done. Raises what hosts.ssh.errors lists.
    """
    transport = _greeted(target, limits)
    try:
        passed(Phase.REACHABLE)
        check(target.peer, _host_key(transport), known=target.known)
        passed(Phase.HOST_KEY)
        _authenticate(transport, target, limits)
        passed(Phase.AUTHENTICATION)
    except BaseException:
        transport.close()
        raise
    return Connection(transport, target, limits)


def offered_keys(peer: Peer, limits: Limits = USUAL) -> tuple[HostKey, ...]:
    """All host keys of a host, best first, for an admin to compare. Nothing is logged in to."""
    first = _agreed(peer, signatures_of(()), limits)
    found = [_host_key(first)]
    kinds = [kind for kind, ways in KINDS.items() if {*ways} & {*first.offered}]
    first.close()
    for kind in kinds:
        if kind != found[0].kind:
            other = _agreed(peer, KINDS[kind], limits)
            found.append(_host_key(other))
            other.close()
    return tuple(found)


def _greeted(target: Target, limits: Limits) -> Transport:
    """A transport that has exchanged keys; for a host without the accepted kind HostKeyChanged."""
    try:
        return _agreed(target.peer, signatures_of(target.known), limits)
    except NothingInCommon:
        if not target.known:
            raise
        offered = offered_keys(target.peer, limits)
        old = tuple(key.shown for key in target.known)
        raise HostKeyChanged(target.peer, old=old, new=offered[0].shown) from None


def _agreed(peer: Peer, proofs: tuple[str, ...], limits: Limits) -> Transport:
    wire = reach(peer, name_seconds=limits.name, answer_seconds=limits.answer)
    transport = Transport(wire, proofs=proofs)
    transport.banner_timeout = limits.greeting + limits.agreement
    done = threading.Event()
    transport.start_client(done)
    try:
        if not done.wait(limits.greeting) and not wire.has_spoken:
            raise SilentHost(peer, limits.greeting)
        if not done.wait(limits.agreement):
            if not transport.remote_version:
                raise NotSsh(peer)
            raise SilentHost(peer, limits.agreement, while_it="was to agree on a cipher")
        if not (transport.is_active() and transport.initial_kex_done):
            raise _failure(transport, peer)
    except BaseException:
        wire.close()
        transport.close()
        raise
    return transport


def _failure(transport: Transport, peer: Peer) -> Exception:
    error = transport.get_exception()
    detail = str(error or "")
    if not transport.wire.has_spoken or "MaxStartups" in detail:
        return HungUp(peer, detail=detail)
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return NothingInCommon(peer, detail=detail)
    if not transport.remote_version:
        return NotSsh(peer, detail=detail)
    if isinstance(error, paramiko.SSHException):
        return LinkLost(peer, "could not be made safe", detail=detail)
    return HungUp(peer, detail=detail)


def _host_key(transport: Transport) -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(key.get_name(), key.get_base64())


def _authenticate(transport: Transport, target: Target, limits: Limits) -> None:
    transport.auth_timeout = limits.login
    begun = time.monotonic()
    try:
        more = transport.auth_publickey(target.address.user, target.key.signer())
    except paramiko.SSHException as error:
        if time.monotonic() - begun >= limits.login:
            raise SilentHost(target.peer, limits.login, while_it="was to log abm in") from error
        if not transport.is_active() and not isinstance(error, paramiko.BadAuthenticationType):
            raise HungUp(target.peer, detail=str(error)) from error
        raise KeyRefused(target.peer, detail=str(error)) from error
    except (OSError, EOFError) as error:  # paramiko hands on what its socket said
        raise HungUp(target.peer, detail=str(error)) from error
    if more:
        wants = f"It wants more than a key: {', '.join(more)}."
        raise KeyRefused(target.peer, detail=wants)
