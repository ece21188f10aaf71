"""A body on its way to the daemon, and the conversation that it is a part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from docker.errors import APIError

from hosts.runners.base import InstallFailed, RunnerError
from hosts.runners.docker.errors import FOREIGN, translated
from hosts.runners.docker.stream import DaemonStream
from jobs.outcome import CancelToken

PIECE_BYTES = 2**18


class Sending:
    """Chunks for one request. Read in the thread that sends them; `sent` may be read in any."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.sent = 0
        """Bytes that were handed over."""
        self.failure: RunnerError | None = None
        """Why the chunks ended too early; the daemon's own complaint is then worth nothing."""

    def __iter__(self) -> Iterator[bytes]:
        held = bytearray()
        try:
            for chunk in self._chunks:
                held += chunk
                if len(held) >= PIECE_BYTES:
                    yield bytes(held)
                    self.sent += len(held)
                    held.clear()
        except RunnerError as error:
            self.failure = error
            raise ConnectionError("The body ended too early.") from error
        if held:
            yield bytes(held)
            self.sent += len(held)


@contextmanager
def conversation(
    stream: DaemonStream,
    *,
    cancel: CancelToken,
    refused: Callable[[str], RunnerError],
    host_name: str,
    sending: Sending | None = None,
) -> Iterator[None]:
    """The stream while it is read: hung up when cancelled, and what fails put in words.

    `refused` is asked what the daemon's own words mean. Raises RunnerError and Cancelled.
    """
    try:
        with stream:
            cancel.on_cancel(stream.hang_up)
            yield
    except FOREIGN as error:
        cancel.check()
        if sending is not None and sending.failure is not None:
            raise sending.failure from error
        if isinstance(error, APIError):
            raise refused(str(error.explanation or error)) from error
        raise translated(error, host_name=host_name, otherwise=InstallFailed) from error
    except RunnerError:
        cancel.check()
        raise
    cancel.check()
