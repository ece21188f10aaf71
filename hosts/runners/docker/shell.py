"""A shell inside a running container: bytes both ways over the daemon's hijacked connection.

`POST /exec/{id}/start` turns its connection into the terminal's
(https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Exec/operation/ExecStart). One
thread of the session's own carries it, so that no caller waits and a TLS socket is never used by
two at once. Docker leaves the process running when the connection goes (seen with 20.10), and has
no verb to end it: it carries a word in its environment, by which it is found and ended.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import docker
from docker.errors import APIError

from hosts.runners.base import RunnerError
from hosts.runners.docker.errors import FOREIGN, mapped, translated
from hosts.runners.docker.hijack import hijacked

ANY_SHELL = ("/bin/sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")
END_SECONDS = 2.0
"""How long a process may take to end after each signal."""
POLL_SECONDS = 0.02
CHUNK_BYTES = 2**16
MOST_SHOWN, MOST_TYPED = 2**18, 2**20
"""Bytes kept for a page that reads slowly, and for a program that does."""
MARK = "ABM_SHELL"
DETACH = ",".join(["ctrl-^"] * 12)
"""Keys that make the daemon hang up; its own choice (Ctrl+P, Ctrl+Q) would swallow a Ctrl+P."""
END = """for place in /proc/[0-9]*; do
  grep -qs "$1" "$place/environ" && kill -s "$2" "${place##*/}" 2>/dev/null
done; true"""

log = logging.getLogger(__name__)


class ShellBlocked(RunnerError):
    """The program in the shell takes no more of what is typed."""

    code = "SHELL_BLOCKED"


class ShellSession:
    """A program with a terminal in a running container; `cols` and `rows` are characters.

    It takes `client` over and closes it at its end. Making one waits for the daemon and raises
    RunnerError; afterwards only `read` waits. `wake` is called, from another thread, whenever
    `read` may have something, so that an event loop can do without waiting:
    `wake=lambda: loop.call_soon_threadsafe(ready.set)` and `read(timeout=0)`.
    """

    def __init__(
        self,
        client: docker.APIClient,
        container_id: str,
        command: Sequence[str] = ANY_SHELL,
        cols: int = 80,
        rows: int = 24,
        *,
        user: str = "",
        host_name: str = "this machine",
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._container, self._host_name = client, container_id, host_name
        self._command, self._user, self._wake = tuple(command), user, wake
        self._mark = f"{MARK}={secrets.token_hex(12)}"
        self._size: tuple[int, int] | None = (cols, rows)
        self._typed: deque[bytes] = deque()
        self._typed_bytes = self._shown_bytes = 0
        self._shown: deque[bytes] = deque()
        self._change = threading.Condition()
        self._is_closed = self._is_over = self._was_refused = False
        self._error: RunnerError | None = None
        self._is_done = threading.Event()
        self.exit_code: int | None = None
        """What the program ended with; None while it runs, and where nobody can tell."""
        try:
            with mapped(host_name):
                self._exec_id = self._create()
                self._wire, begun = hijacked(
                    client, f"/exec/{self._exec_id}/start", {"Tty": True, "Detach": False}
                )
        except RunnerError:
            client.close()
            raise
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._show(begun)
        threading.Thread(target=self._run, name=f"shell {container_id[:12]}", daemon=True).start()

    def write(self, typed: bytes) -> None:
        """Type this; quiet after the end. Raises ShellBlocked when too much waits already."""
        with self._change:
            if self._typed_bytes + len(typed) > MOST_TYPED:
                raise ShellBlocked(
                    "The program in the shell does not read what is typed. "
                    "Close the shell and open it again."
                )
            self._typed.append(typed)
            self._typed_bytes += len(typed)
        self._ring()

    def resize(self, cols: int, rows: int) -> None:
        """Tell the program how large its terminal is now."""
        self._size = (cols, rows)
        self._ring()

    def read(self, timeout: float | None = None) -> bytes | None:
        """What the program wrote since, up to 64 KiB, which fits a frame of any web socket.

        b"" for nothing within `timeout` seconds (None waits), None at its end.
        """
        with self._change:
            self._change.wait_for(lambda: self._shown or self._is_over, timeout)
            shown = bytearray()
            while self._shown and len(shown) + len(self._shown[0]) <= CHUNK_BYTES:
                shown += self._shown.popleft()
            self._shown_bytes -= len(shown)
            if not shown:
                return None if self._is_over else b""
        self._ring()
        return bytes(shown)

    def close(self) -> None:
        """End the shell and all that was started from it; does not wait, and may be repeated."""
        self._is_closed = True
        self._ring()

    def wait_closed(self, seconds: float) -> bool:
        """Wait until nothing of the session is left, here and in the container."""
        return self._is_done.wait(seconds)

    @property
    def ending(self) -> str:
        """How it ended, as a sentence; empty while it runs."""
        if not self._is_over:
            return ""
        if self._error is not None:
            return self._error.message
        if self._was_refused:
            return f"{self._command[0]} could not be started: the image may not have it."
        if self.exit_code is None:
            return "The shell was closed."
        return f"The shell has ended with code {self.exit_code}."

    # -- opening -----------------------------------------------------------------------------------

    def _create(self) -> str:
        made = self._client.exec_create(
            self._container,
            list(self._command),
            stdin=True,
            tty=True,
            user=self._user,
            detach_keys=DETACH,
            environment=["TERM=xterm-256color", self._mark],
        )
        return str(made["Id"])

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.closing(self._wire), mapped(self._host_name):
                self._carry()
        except RunnerError as error:
            self._error = error
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._finish()
        except FOREIGN as error:
            # Most often the container itself is gone, and the shell with it.
            log.info("how a shell ended: %s", translated(error, host_name=self._host_name))
        finally:
            with self._change:
                self._is_over = True
                self._change.notify_all()
            for closable in (self._ear, self._bell, self._client):
                closable.close()
            self._is_done.set()
            self._wake()

    def _carry(self) -> None:
        """Move bytes until the program ends or the session is closed."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._ear, selectors.EVENT_READ)
            watched = 0
            while not self._is_closed:
                wanted = self._wanted()
                if watched and wanted != watched:
                    waiting.unregister(self._wire)
                if wanted and wanted != watched:
                    waiting.register(self._wire, wanted)
                watched = wanted
                # A TLS socket may hold bytes that the system's one no longer shows.
                holds = watched & selectors.EVENT_READ and _pending(self._wire)
                waiting.select(0 if holds else None)
                with contextlib.suppress(BlockingIOError):
                    self._ear.recv(CHUNK_BYTES)
                self._tell_size()
                self._send()
                if watched & selectors.EVENT_READ and not self._receive():
                    return

    def _wanted(self) -> int:
        with self._change:
            reads = selectors.EVENT_READ if self._shown_bytes < MOST_SHOWN else 0
            return reads | (selectors.EVENT_WRITE if self._typed else 0)

    def _tell_size(self) -> None:
        size, self._size = self._size, None
        if size is None:
            return
        with contextlib.suppress(APIError):  # it has ended meanwhile
            self._client.exec_resize(self._exec_id, height=size[1], width=size[0])

    def _send(self) -> None:
        with self._change:
            chunk = self._typed.popleft() if self._typed else b""
        if not chunk:
            return
        try:
            sent = self._wire.send(chunk[:CHUNK_BYTES])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        with self._change:
            self._typed_bytes -= sent
            if chunk[sent:]:
                self._typed.appendleft(chunk[sent:])

    def _receive(self) -> bool:
        """Take what has come; False at the end."""
        try:
            chunk = self._wire.recv(CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        self._show(chunk)
        return bool(chunk)

    def _show(self, chunk: bytes) -> None:
        if not chunk:
            return
        with self._change:
            # The daemon has answered by then, and has no other place to say it.
            self._was_refused |= chunk.startswith(b"OCI runtime exec failed")
            self._shown.append(chunk)
            self._shown_bytes += len(chunk)
            self._change.notify_all()
        self._wake()

    def _finish(self) -> None:
        """End what still runs, gently and then not, and learn how it ended."""
        if not self._is_closed and self._ends():
            return
        for signal in ("HUP", "KILL"):
            if not self._is_running():
                return
            command = ["/bin/sh", "-c", END, "sh", self._mark, signal]
            made = self._client.exec_create(self._container, command, user=self._user)
            self._client.exec_start(made["Id"])
            if self._ends():
                return
        log.warning("A shell in the container %s does not end.", self._container[:12])

    def _ends(self) -> bool:
        deadline = time.monotonic() + END_SECONDS
        while self._is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _is_running(self) -> bool:
        said = self._client.exec_inspect(self._exec_id)
        self.exit_code = said["ExitCode"]
        return bool(said["Running"])

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # rung often enough already, or over
            self._bell.send(b".")


def _pending(wire: Any) -> bool:
    return isinstance(wire, ssl.SSLSocket) and wire.pending() > 0
