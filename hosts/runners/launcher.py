"""The parent of one local engine: outlives abm, rotates the log, writes down how it ended.

Run as `python -I -S launcher.py CONFIG` with the engine's environment. Standard library only and
no threads, so that it costs little memory. CONFIG is a JSON file: `argv`, `cwd`, `folder` (where
run.json, exit.json and engine.log go), `port`, `log_bytes`, `log_count`. It says `ok` and closes
its output as soon as run.json tells of the engine, or says why it could not be started.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

LEFT_OVER_SECONDS = 2.0
DRAINED_BYTES = 1_000_000
LAST_BYTES = 2_000


def ticks_of(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot (Linux), which names it for ever."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def write(path: str, values: dict[str, object]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    with open(f"{path}.new", "w") as file:
        json.dump(values, file)
    os.replace(f"{path}.new", path)


class Log:
    """engine.log, and older pieces engine.log.1, engine.log.2, ..."""

    def __init__(self, folder: str, limit: int, count: int) -> None:
        self.path = os.path.join(folder, "engine.log")
        self.limit = limit
        self.count = count
        self.last = b""
        """The end of what this run wrote, whichever piece it went to."""
        self.file = open(self.path, "ab", buffering=0)
        self.size = os.path.getsize(self.path)

    def add(self, data: bytes) -> None:
        self.last = (self.last + data)[-LAST_BYTES:]
        if self.size + len(data) > self.limit:
            # Pieces end where lines end, save for output that has no lines.
            cut = data.rfind(b"\n") + 1
            if cut or self.size > 2 * self.limit:
                self.put(data[:cut])
                self.turn()
                data = data[cut:]
        self.put(data)

    def put(self, data: bytes) -> None:
        try:
            self.file.write(data)
        except OSError:
            return  # a full disk must not end the engine
        self.size += len(data)

    def turn(self) -> None:
        try:
            for number in range(self.count - 1, 0, -1):
                older = f"{self.path}.{number}"
                if os.path.exists(older):
                    os.replace(older, f"{self.path}.{number + 1}")
            os.replace(self.path, f"{self.path}.1")
            file = open(self.path, "ab", buffering=0)
        except OSError:
            return  # as above: it goes on in the file that is open
        self.file.close()
        self.file = file
        self.size = 0


def start(argv: list[str], cwd: str) -> tuple[int, int]:
    """Start the engine in a session of its own; (pid, the read end of its output)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            os.closerange(3, 256)
            os.chdir(cwd)
            os.execve(argv[0], argv, os.environ)
        except OSError as error:
            os.write(2, f"cannot run {argv[0]}: {error}\n".encode())
        os._exit(127)
    os.close(writing)
    return pid, reading


def watch(pid: int, reading: int, log: Log) -> int:
    """Copy output to the log until the engine ended; its wait status."""
    while True:
        if select.select([reading], [], [], 0.2)[0]:
            data = os.read(reading, 65_536)
            if not data:
                return os.waitpid(pid, 0)[1]  # it closed its output: nothing more to copy
            log.add(data)
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            drain(reading, log)
            return status


def drain(reading: int, log: Log) -> None:
    """Copy what an ended engine said last; its children may hold the pipe open and go on."""
    os.set_blocking(reading, False)
    left = DRAINED_BYTES
    while left > 0:
        try:
            data = os.read(reading, 65_536)
        except BlockingIOError:
            return
        if not data:
            return
        log.add(data)
        left -= len(data)


def end_group(pid: int) -> None:
    """End what an engine that is gone left running: it would hold its port and its memory."""
    number = signal.SIGTERM
    until = time.monotonic() + LEFT_OVER_SECONDS
    while True:
        try:
            os.killpg(pid, number)
        except OSError:
            return
        if number == signal.SIGKILL:
            return
        time.sleep(0.1)
        if time.monotonic() > until:
            number = signal.SIGKILL


def tell(words: bytes) -> None:
    """Say how the start went, to abm, which waits for it; the engine's output is not ours."""
    os.write(1, words)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def run(argv: list[str], cwd: str, folder: str, port: int) -> tuple[int, int]:
    """Start the engine and write run.json; (pid, the read end of its output)."""
    pid, reading = start(argv, cwd)
    mine = os.getpid()
    told: dict[str, object] = {
        "pid": pid,
        "ticks": ticks_of(pid),
        "launcher": mine,
        "launcher_ticks": ticks_of(mine),
        "port": port,
        "started_at": time.time(),
    }
    try:
        write(os.path.join(folder, "run.json"), told)
    except OSError:
        # An engine that nothing tells of could never be found and ended.
        os.kill(pid, signal.SIGKILL)
        raise
    return pid, reading


def ending(pid: int, status: int, log: Log) -> dict[str, object]:
    """What exit.json says: when, by which code or signal, and the last line before it."""
    is_signal = os.WIFSIGNALED(status)
    return {
        "at": time.time(),
        "pid": pid,
        "code": None if is_signal else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if is_signal else None,
        "last_line": log.last.decode("utf-8", "replace").rstrip().rpartition("\n")[2],
    }


def main() -> None:
    with open(sys.argv[1]) as file:
        config = json.load(file)
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = config["folder"]
    try:
        log = Log(folder, config["log_bytes"], config["log_count"])
        pid, reading = run(config["argv"], config["cwd"], folder, config["port"])
    except OSError as error:
        tell(str(error).encode())
        return

    def forward(number: int, frame: object) -> None:
        try:
            os.killpg(pid, number)
        except OSError:
            pass

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    tell(b"ok")
    status = watch(pid, reading, log)
    write(os.path.join(folder, "exit.json"), ending(pid, status, log))
    end_group(pid)


if __name__ == "__main__":
    main()
