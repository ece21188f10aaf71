"""The parent of one local engine: outlives abm, rotates the log, writes down how it ended.

Run as `python -I -S launcher.py CONFIG` with the engine's environment. Standard library only and
no threads, so that it costs little memory. CONFIG is a JSON file: `argv`, `cwd`, `folder` (where
run.json, exit.json and engine.log go), `port`, `log_bytes`, `log_count`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time


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
        self.file = open(self.path, "ab", buffering=0)
        self.size = os.path.getsize(self.path)

    def add(self, data: bytes) -> None:
        try:
            self.file.write(data)
        except OSError:
            return  # a full disk must not end the engine
        self.size += len(data)
        if self.size > self.limit and data.endswith(b"\n"):
            self.turn()

    def turn(self) -> None:
        self.file.close()
        for number in range(self.count - 1, 0, -1):
            older = f"{self.path}.{number}"
            if os.path.exists(older):
                os.replace(older, f"{self.path}.{number + 1}")
        os.replace(self.path, f"{self.path}.1")
        self.file = open(self.path, "ab", buffering=0)
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
    status = None
    is_open = True
    while True:
        ready = select.select([reading], [], [], 0.2)[0] if is_open else []
        if ready:
            data = os.read(reading, 65_536)
            if data:
                log.add(data)
                continue
            is_open = False
        if not is_open:
            time.sleep(0.02)
        if status is None:
            found, code = os.waitpid(pid, os.WNOHANG)
            if found:
                status = code
        if status is not None and not ready:
            # Its children may hold the pipe open; what it said itself has been read.
            return status


def main() -> None:
    with open(sys.argv[1]) as file:
        config = json.load(file)
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = config["folder"]
    log = Log(folder, config["log_bytes"], config["log_count"])
    pid, reading = start(config["argv"], config["cwd"])

    def forward(number: int, frame: object) -> None:
        try:
            os.killpg(pid, number)
        except OSError:
            pass

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    mine = os.getpid()
    write(
        os.path.join(folder, "run.json"),
        {
            "pid": pid,
            "ticks": ticks_of(pid),
            "launcher": mine,
            "launcher_ticks": ticks_of(mine),
            "port": config["port"],
            "started_at": time.time(),
        },
    )
    status = watch(pid, reading, log)
    ended: dict[str, object] = {"at": time.time(), "pid": pid, "code": None, "signal": None}
    if os.WIFSIGNALED(status):
        ended["signal"] = os.WTERMSIG(status)
    else:
        ended["code"] = os.WEXITSTATUS(status)
    write(os.path.join(folder, "exit.json"), ended)


if __name__ == "__main__":
    main()
