"""`health.py web | alive`: whether this container's abm is well; ends with 0 or 1.

`web` asks /healthz; `alive` looks how old the file is that worker and link touch every 5 seconds.
Only the standard library, so that a look costs 30 ms and not Django's start.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from pathlib import Path

ANSWER_SECONDS = 4.0
SILENT_SECONDS = 30.0


def web_answers() -> bool:
    port = int(os.environ.get("PORT", "8765"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def is_alive() -> bool:
    try:
        touched = Path(os.environ.get("ALIVE_FILE", "/tmp/abm-alive")).stat().st_mtime
    except OSError:
        return False
    return time.time() - touched < SILENT_SECONDS


if __name__ == "__main__":
    sys.exit(not (is_alive() if sys.argv[1:] == ["alive"] else web_answers()))
