"""paramiko's transport with what it lacks: channels of any kind, each with its own refusal and
deadline, a sign of life that never waits, and no growth with the number of channels.

It uses paramiko's insides (`_channels`, `_send_user_message`, `_parse_channel_open_*`), so the
version is pinned below 6 and tests/hosts/test_ssh_link.py tries each of them on a real sshd.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paramiko
from paramiko.channel import Channel
from paramiko.common import (
    cMSG_CHANNEL_CLOSE,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
)
from paramiko.message import Message
from paramiko.packet import Packetizer

from hosts.ssh.wire import Wire

log = logging.getLogger(__name__)
POLL_SECONDS = 0.1
"""How soon a death of the connection is seen by who waits for a channel."""
FORBIDDEN, FAILED, UNKNOWN_KIND, SHORTAGE = 1, 2, 3, 4
"""Why a channel is refused (RFC 4254, 5.1)."""


def _nobody(*what: int) -> None:
    """Nobody wants to know which channel is free again, or that it is over."""


class ChannelRefused(Exception):
    """The server does not open a channel; `code` is RFC 4254's, `text` the server's words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code
        self.text = text


class _Outlet:
    """A channel's transport, as far as the channel sees it: nothing of it goes out after its end.

    paramiko lets go of the channel before it sends, so that words of one thread may come after the
    end that another thread has sent. By then the server may know the channel no more, and sshd
    ends the whole connection for it, or has given its number to another one.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_user_message(self, message: Message) -> None:
        message.outlet = self
        self._transport._send_user_message(message)

    def lets_out(self, message: Message) -> bool:
        """Asked for one message after the other, in the order in which they go out."""
        if self._is_over:
            return False
        self._is_over = message.asbytes()[:1] == cMSG_CHANNEL_CLOSE
        return True


class _Packets(Packetizer):
    """Without paramiko's timer thread: each phase of a log-in is bounded by who waits for it."""

    def start_handshake(self, timeout: float) -> None:
        """Start no timer."""


class Transport(paramiko.Transport):
    """One SSH connection as a client. `proofs` are the host key signatures to ask for."""

    def __init__(self, wire: Wire, *, proofs: Iterable[str] = ()) -> None:
        super().__init__(wire, packetizer_class=_Packets)
        self.wire = wire
        self.ended = threading.Event()
        self.freed: Callable[[int], None] = _nobody
        """Told the number of each channel that both sides have closed."""
        self.died: Callable[[], object] = _nobody
        """Called when it is over."""
        self.offered: tuple[str, ...] = ()
        """Kinds of host keys that the server has."""
        self.channel_events: dict[int, threading.Event] = {}
        self._proofs = tuple(proofs)
        self._held: dict[int, Channel] = {}
        """Each channel until both sides have closed it: its number is then free again."""
        self._refusals: dict[Channel, ChannelRefused] = {}
        self._abandoned: set[int] = set()
        """Channels whose opener did not wait for the answer."""

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """As asked for; certificates are left out, since a certificate is not what is pinned."""
        return self._proofs or tuple(self._preferred_keys)

    @property
    def channel_count(self) -> int:
        return len(self._held)

    def open(self, kind: str, place: tuple[str | int, ...] = (), *, seconds: float) -> Channel:
        """A channel of `kind` (RFC 4254, 5.1; openssh-portable, PROTOCOL, 2.4).

        Raises ChannelRefused, TimeoutError and ConnectionError.
        """
        deadline = time.monotonic() + seconds
        opened = threading.Event()
        channel, message = self._new_channel(kind, opened)
        for part in place:
            if isinstance(part, str):
                message.add_string(part)
            else:
                message.add_int(part)
        self._send_user_message(message)
        while not opened.wait(min(POLL_SECONDS, max(0.0, deadline - time.monotonic()))):
            if not self.active:
                raise ConnectionError("The connection ended.")
            if time.monotonic() > deadline and self._abandon(channel.chanid):
                raise TimeoutError(f"No answer in {seconds:g} s.")
        refusal = self._refusals.pop(channel, None)
        if refusal is not None:
            raise refusal
        if not channel.active:
            raise ConnectionError("The connection ended.")
        return channel

    def execute(self, channel: Channel, command: str, *, seconds: float) -> None:
        """Run a command on a session. Raises ChannelRefused, TimeoutError, ConnectionError."""
        message = Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("exec")
        message.add_boolean(True)
        message.add_string(command)
        channel._event_pending()
        channel.transport._send_user_message(message)
        if not channel.event.wait(seconds):
            raise TimeoutError(f"No answer in {seconds:g} s.")
        if not channel.event_ready:
            if not self.active:
                raise ConnectionError("The connection ended.")
            raise ChannelRefused(FORBIDDEN, "the server runs no commands")

    def ping(self) -> bool:
        """Ask for a sign of life, without ever waiting; False if that cannot be asked now."""
        if not self.clear_to_send.is_set() or not self.wire.is_free:
            return False
        if not self.clear_to_send_lock.acquire(blocking=False):
            return False
        try:
            message = Message()
            message.add_byte(cMSG_GLOBAL_REQUEST)
            message.add_string("keepalive@openssh.com")
            message.add_boolean(True)
            self._send_message(message)
        finally:
            self.clear_to_send_lock.release()
        return True

    def _new_channel(self, kind: str, opened: threading.Event) -> tuple[Channel, Message]:
        if not self.active:
            raise ConnectionError("The connection ended.")
        with self.lock:
            number = self._next_channel()
            channel = Channel(number)
            self._held[number] = channel
            self._channels.put(number, channel)
            # A new dict each time: the transport's thread walks through it when it dies.
            self.channel_events = {**self.channel_events, number: opened}
            self.channels_seen[number] = True
            channel._set_transport(_Outlet(self))
            channel._set_window(self.default_window_size, self.default_max_packet_size)
        message = Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string(kind)
        message.add_int(number)
        message.add_int(self.default_window_size)
        message.add_int(self.default_max_packet_size)
        return channel, message

    def _abandon(self, number: int) -> bool:
        """Wait no longer for a channel; False if its answer came just now."""
        with self.lock:
            if number not in self.channel_events:
                return False
            self._abandoned.add(number)
            return True

    # What paramiko calls.

    def run(self) -> None:
        try:
            super().run()
        finally:
            self.ended.set()
            self.died()

    def _send_message(self, data: Message) -> None:
        """One at a time; `_send_user_message` sees to that."""
        outlet = getattr(data, "outlet", None)
        if outlet is None or outlet.lets_out(data):
            super()._send_message(data)

    def _next_channel(self) -> int:
        """The lowest number that neither side uses, so that its tables do not grow for ever."""
        number = 0
        while number in self._held:
            number += 1
        return number

    def _unlink_channel(self, chanid: int) -> None:
        super()._unlink_channel(chanid)
        if self._held.pop(chanid, None) is not None:
            self.freed(chanid)

    def _parse_kex_init(self, m: Message) -> None:
        lists = self._really_parse_kex_init(Message(m.asbytes()))
        self.offered = tuple(lists["server_key_algo_list"])
        super()._parse_kex_init(m)

    def _parse_channel_open_success(self, m: Message) -> None:
        number = Message(m.asbytes()).get_int()
        super()._parse_channel_open_success(m)
        if number in self._abandoned:
            self._abandoned.discard(number)
            if channel := self._held.get(number):
                channel.close()

    def _parse_channel_open_failure(self, m: Message) -> None:
        number, code, text = m.get_int(), m.get_int(), m.get_text()
        with self.lock:
            channel = self._held.pop(number, None)
            if number in self._abandoned:
                self._abandoned.discard(number)
            elif channel is not None:
                self._refusals[channel] = ChannelRefused(code, text)
            self._channels.delete(number)
            opened = self.channel_events.get(number)
            self.channel_events = {
                key: event for key, event in self.channel_events.items() if key != number
            }
        if opened is not None:
            opened.set()

    def _log(self, level: int, msg: Any, *args: object) -> None:
        """paramiko's own words, errors too, are for who looks for them: abm says what failed."""
        log.debug("%s", msg if not args else msg % args)
