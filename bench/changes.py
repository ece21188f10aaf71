"""How soon a change of an engine is told to an open list of engines."""

from __future__ import annotations

import contextlib
import re
import socket
import time

from tests.abm.apart import PUSH_SECONDS, Browser, heard

EVENTS = 40


def changes(asking: Browser, showing: Browser | None = None) -> list[float]:
    """Milliseconds from a request that changes an engine to the message of an open page.

    The page may be of another web process, `showing`. Both are of one person.
    """
    found = re.search(r'href="/engines/(\d+)/"', asking.get("/engines/")[1])
    assert found is not None, "no engine is on the page"
    if showing is not None:
        showing.cookies = asking.cookies
    line = (showing or asking).socket("/ws/engines/")
    heard(line, b"engine-")
    delays = []
    for number in range(EVENTS):
        _drain(line)
        words = {"keeps": "on"} if number % 2 == 0 else {}
        began = time.perf_counter()
        asking.post(f"/engines/{found[1]}/keep-running/", **words)
        assert heard(line, f'id="engine-{found[1]}"'.encode()), "no message came"
        delays.append((time.perf_counter() - began) * 1000)
    line.close()
    return delays


def _drain(line: socket.socket) -> None:
    """Read what came for the change before, so that it is not taken for the next."""
    time.sleep(0.2)
    line.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while line.recv(65_536):
            pass
    line.settimeout(PUSH_SECONDS)
