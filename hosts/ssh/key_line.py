"""The line in a host's authorized_keys: what abm's key may do there, and nothing else.

It may open Docker's socket and the ports of engines on the loopback, and run a handful of fixed
commands whose words come from here (`docker`, `gpu`, ...); anything else it asks for gives the
host's facts. No shell, no terminal, no files, no agent. See sshd(8), AUTHORIZED_KEYS FILE FORMAT.
A path in brackets in `permitopen` is what lets the socket through; the wizard tests it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hosts.gpu.parsing import query_apps, query_gpus
from hosts.ssh.target import DOCKER_SOCKET

FIRST_PORT, PORTS = 18766, 32
ENGINE_PORTS = range(FIRST_PORT, FIRST_PORT + PORTS)
"""Where engines listen on a remote host's loopback; the line names each."""
GPU_SECONDS = 5
HOST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_-]{0,63}")
PATH = re.compile(r"[A-Za-z0-9/._@+~=:-]+")
DATA_ROOT = "/var/lib/docker"
COMMANDS = {
    "gpu": f"{' '.join(query_gpus())} -l {GPU_SECONDS}",
    "apps": f"{' '.join(query_apps())} -l {GPU_SECONDS}",
    "cards": "nvidia-smi -q -x",
    "parts": "nvidia-smi -L",
}
"""What the key may run besides `docker` and the facts. The first two go on for ever."""
FOLDERS = "/usr/local/bin:/usr/lib/wsl/lib:/snap/bin"
"""Where programs are that the short PATH of a forced command does not know."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the line: text as it is, or the name of what the host fills in."""

    text: str = ""
    place: str = ""
    """`sock`, `docker` or `root`."""


def key_line(
    public: str,
    host_id: str,
    *,
    ports: range = ENGINE_PORTS,
    socket: str = DOCKER_SOCKET,
    docker: str = "docker",
    root: str = DATA_ROOT,
) -> str:
    """The whole line. Raises ValueError for what cannot stand in it."""
    filled = {"sock": socket, "docker": docker, "root": root}
    for path in filled.values():
        if not PATH.fullmatch(path):
            raise ValueError(f"{path} holds a letter that cannot stand in authorized_keys.")
    pieces = line_pieces(public, host_id, ports=ports)
    return "".join(piece.text or filled[piece.place] for piece in pieces)


def windows_key_line(public: str, host_id: str, *, ports: range = ENGINE_PORTS) -> str:
    """For OpenSSH on Windows, where no forced command can tell words apart: Docker and ports."""
    return (
        f"restrict,port-forwarding,{_opens(ports)},{_LISTENS},"
        f'command="docker system dial-stdio" {public} {marked(host_id)}'
    )


def marked(host_id: str) -> str:
    """The comment by which a host's line is found again. Raises ValueError."""
    if not HOST_ID.fullmatch(host_id):
        raise ValueError(f"{host_id!r} cannot mark a line: letters, digits, : _ and - can.")
    return f"abm:{host_id}"


def line_pieces(public: str, host_id: str, *, ports: range) -> Iterator[Piece]:
    """The line, with places for what only the host knows."""
    if not re.fullmatch(r"ssh-ed25519 [A-Za-z0-9+/]{68}", public):
        raise ValueError("This is no Ed25519 public key.")
    yield from _cut(f'restrict,port-forwarding,permitopen="[@sock@]:*",{_opens(ports)},{_LISTENS},')
    yield from _cut(f"command=\"exec /bin/sh -c '{_forced()}'\" {public} {marked(host_id)}")


_LISTENS = 'permitlisten="127.0.0.1:1"'
"""`permitlisten` cannot name nothing; port 1 is one that no user can take."""


def _opens(ports: range) -> str:
    return ",".join(f'permitopen="127.0.0.1:{port}"' for port in ports)


def _forced() -> str:
    """The script behind the key, as it stands inside double quotes of the line."""
    runs = "".join(f" {word}) exec {command};;" for word, command in COMMANDS.items())
    script = (
        f'PATH=$PATH:{FOLDERS}; case "$SSH_ORIGINAL_COMMAND" in'
        " docker) exec env DOCKER_HOST=unix://@sock@ @docker@ system dial-stdio;;"
        f"{runs} *) a=none; [ -S @sock@ ] && a=forbidden; [ -w @sock@ ] && a=open;"
        " echo abm 1 sock=@sock@ access=$a; uname -sm; cat /proc/loadavg; head -3 /proc/meminfo;"
        " df -Pk @root@ || df -Pk /;; esac"
    )
    return script.replace('"', '\\"')


def _cut(text: str) -> Iterator[Piece]:
    for number, part in enumerate(re.split(r"@(sock|docker|root)@", text)):
        if part:
            yield Piece(place=part) if number % 2 else Piece(text=part)
