"""What a container wrote: its last lines, and each new one also over its restarts.

Format of the stream: https://docs.docker.com/reference/api/engine/version/v1.40/#tag/Container/operation/ContainerAttach
(`Stream format`): eight bytes of head, of which the first names the stream and the last four give
the length of what follows. One frame is one line, or a part of one that is longer than 16 KiB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError, NotFound

from hosts.runners.docker.stream import DaemonStream
from jobs.outcome import CancelToken

HEAD = struct.Struct(">BxxxL")
LOOK_SECONDS = 0.3
"""How often it is looked whether an engine that is down runs again."""
PAUSE_SECONDS = 0.05
SILENT_SECONDS = 60.0
LONGEST_LINE = 65_536
STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ?")


class LogStream(DaemonStream):
    """The log of one container as it grows: `{"line": text, "since": moment}`; see DaemonStream.

    It ends when the container does. Lines come from `since` on, a moment as Docker takes it.
    """

    def __init__(
        self, client: docker.APIClient, container: str, *, tail: str = "all", since: str = ""
    ) -> None:
        params = {"stdout": "1", "stderr": "1", "follow": "1", "timestamps": "1", "tail": tail}
        if since:
            params["since"] = since
        path = f"/containers/{container}/logs"
        super().__init__(client, path, params=params, method="GET")
        self._parts: dict[int, str] = {}

    def receive(self, chunks: Iterable[bytes]) -> None:
        rest = b""
        for chunk in chunks:
            rest, at = rest + chunk, 0
            while len(rest) - at >= HEAD.size:
                stream, length = HEAD.unpack_from(rest, at)
                end = at + HEAD.size + length
                if len(rest) < end:
                    break
                self._take_frame(stream, rest[at + HEAD.size : end].decode("utf-8", "replace"))
                at = end
            rest = rest[at:]

    def _take_frame(self, stream: int, text: str) -> None:
        since, words = _stamped(text)
        words = (self._parts.pop(stream, "") + words)[:LONGEST_LINE]
        if not words.endswith("\n") and len(words) < LONGEST_LINE:
            self._parts[stream] = words
            return
        self._lines.put({"line": words.rstrip("\r\n"), "since": since})


def last_lines(client: docker.APIClient, container: str, *, tail: int) -> list[str]:
    """The last `tail` lines, oldest first; none of a container that is gone.

    Raises what docker-py raises.
    """
    if tail <= 0:
        return []
    try:
        written = client.logs(container, tail=tail, stdout=True, stderr=True)
    except NotFound:
        return []
    text = bytes(written).decode("utf-8", "replace")
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def follow_lines(
    client: docker.APIClient,
    find: Callable[[], Mapping[str, Any] | None],
    *,
    tail: int,
    cancel: CancelToken,
) -> Iterator[str]:
    """The last `tail` lines and each new one, of the container that `find` finds at the time.

    Goes on when it is started again or replaced by another. Raises what docker-py raises.
    """
    wanted, since, seen = str(max(tail, 0)), "", ("", "")
    while not cancel.is_cancelled:
        found = find()
        run = (str(found["Id"]), str(found["State"].get("StartedAt"))) if found else seen
        if found is None or (run == seen and not found["State"].get("Running")):
            cancel.wait(LOOK_SECONDS)
            continue
        if seen[0] not in ("", run[0]):
            since = ""
        seen = run
        try:
            with LogStream(client, run[0], tail=wanted, since=since) as stream:
                cancel.on_cancel(stream.hang_up)
                for line in stream.lines(every=SILENT_SECONDS):
                    if line is not None and line["since"] != since:
                        since = str(line["since"])
                        yield str(line["line"])
        except APIError:
            # It may have been removed between two questions.
            now = find()
            if now is not None and now["Id"] == run[0]:
                raise
        wanted = "all"
        cancel.wait(PAUSE_SECONDS)


def _stamped(text: str) -> tuple[str, str]:
    """A line without its time, and that time as Docker's `since` takes it: seconds and the rest."""
    found = STAMP.match(text)
    if found is None:
        return "", text
    seconds = int(datetime.fromisoformat(f"{found[1]}+00:00").timestamp())
    return f"{seconds}.{(found[2] or '').ljust(9, '0')}", text[found.end() :]
