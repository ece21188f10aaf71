"""A program: a port inside a network namespace that leads to the same port of this machine.

`python -I lab/door.py PID PORT` listens on 127.0.0.1:PORT in the namespace of the process PID. A
socket stays in the namespace that it was made in, so only the listener has to be made in there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000
CHUNK_BYTES = 2**16


def main() -> None:
    pid, port = int(sys.argv[1]), int(sys.argv[2])
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    enter(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
    listening = socket.create_server(("127.0.0.1", port), backlog=128)
    enter(here)
    while True:
        near = listening.accept()[0]
        threading.Thread(target=_carry, args=(near, port), daemon=True).start()


def enter(namespace: int) -> None:
    """Move this thread into a network namespace, given as an open file."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "This network namespace cannot be entered.")


def _carry(near: socket.socket, port: int) -> None:
    try:
        far = socket.create_connection(("127.0.0.1", port), timeout=10)
    except OSError:
        near.close()
        return
    with near, far:
        far.settimeout(None)
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
