"""A body on its way to the daemon: counted, in pieces of a good size, with its failure kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hosts.runners.base import RunnerError

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
