"""What it means that a container ended, and the way out. Pure: no Docker, no clock."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import humanize

from hosts.runners.base import RunnerError
from hosts.runners.container import Mount
from hosts.runners.docker.errors import explain
from hosts.runners.docker.last_words import RAISED, SAID

LAST_LINES = 40
"""So many of the last lines are looked at: what is further up has mostly another cause."""
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Ending:
    """All that is known of a container that ended."""

    name: str
    """The engine's."""
    code: int
    """As the daemon tells it: 128 + n where signal n ended it."""
    is_oom: bool = False
    """The kernel ended it, or a process of it, for want of memory."""
    error: str = ""
    """What the daemon said when it could not start it."""
    lines: Sequence[str] = ()
    """Its last lines, oldest first."""
    memory_limit: int | None = None
    """Bytes."""
    image: str = ""
    user: str = ""
    """Whom it ran as: a name, `uid` or `uid:gid`; empty is root."""
    port: int = 8766
    mounts: Sequence[Mount] = ()
    host_name: str = "this machine"
    made_for: str = ""
    """Such as `linux/arm64`, where the image is made for another machine than its host."""

    @property
    def signal(self) -> int | None:
        """The signal that ended it, as far as the code tells."""
        number = self.code - 128
        return number if number in {one.value for one in signal.Signals} else None


CODES: Mapping[int, str] = {
    125: "Docker could not run it (status 125).",
    126: "Its command cannot be run (status 126): it is no program, or not allowed to run. Check "
    "the entrypoint and command of the engine.",
    127: "Its command was not found in {image} (status 127). Check the entrypoint and command of "
    "the engine.",
}
FOREIGN = (
    "{image} is made for {made_for}, which {host} is not. Choose a variant for this machine, or "
    "install emulation there."
)
SIGNALS: Mapping[int, str] = {
    signal.SIGINT: "It was ended from outside (signal 2).",
    signal.SIGTERM: "It was ended from outside (signal 15).",
    signal.SIGKILL: "It was killed (signal 9): by a person, because it did not end when it was "
    "asked to, or because the memory of {host} ran out.",
    signal.SIGSEGV: "It crashed (signal 11, a fault in native code). Its image may not suit this "
    "processor or driver.",
    signal.SIGABRT: "It gave up (signal 6); its last lines may say why.",
    signal.SIGILL: "It uses instructions that this processor lacks (signal 4). Choose another "
    "variant.",
    signal.SIGBUS: "It crashed (signal 7): mostly its shared memory is too small. Raise the shm "
    "size in its settings.",
}


def explain_exit(ending: Ending) -> str:
    """One or two sentences: what happened and what to do."""
    if ending.error and ending.code != 0:
        return _not_started(ending)
    if ending.is_oom:
        return f"{ending.name} was ended because it took more memory than it may. {_memory(ending)}"
    if ending.code == 0:
        return "It ended by itself as if it were done (status 0)."
    facts = {
        "name": ending.name,
        "image": ending.image or "Its image",
        "host": ending.host_name,
        "port": str(ending.port),
        "memory": _memory(ending),
    }
    # Who was ended from outside may have spoken of anything before.
    is_killed = ending.signal in {signal.SIGTERM, signal.SIGKILL, signal.SIGINT}
    if ending.made_for and ending.code in CODES:
        return FOREIGN.format_map({**facts, "made_for": ending.made_for})
    found = "" if is_killed else _found(ending, facts)
    return found or _of_code(ending, facts)


class _Unknown(RunnerError):
    """Docker said something that abm does not know."""


def _not_started(ending: Ending) -> str:
    """Docker's own words of a start that failed."""
    told = explain(ending.error, host_name=ending.host_name, otherwise=_Unknown)
    if isinstance(told, _Unknown):
        return f"Docker could not start {ending.name}: {_short(ending.error)}"
    return told.message


def _found(ending: Ending, facts: Mapping[str, str]) -> str:
    """What the last known thing that it said means."""
    lines = [line.strip() for line in ending.lines[-LAST_LINES:]]
    text = "\n".join(lines)
    matches = [
        (match.end(), match, said.sentence)
        for said in SAID
        for match in re.finditer(said.pattern, text, re.MULTILINE)
    ]
    if not matches:
        return _raised(ending, lines)
    _, match, sentence = max(matches, key=lambda one: one[0])
    words = {key: value for key, value in match.groupdict().items() if value}
    permission = _permission(ending, words.get("path") or words.get("other", ""))
    return sentence.format_map({**facts, **words, "permission": permission})


def _raised(ending: Ending, lines: Iterable[str]) -> str:
    """A traceback's last line, the last one there is."""
    raised = [line for line in lines if RAISED.match(line)]
    return f"It ended with status {ending.code}: {_short(raised[-1])}" if raised else ""


def _of_code(ending: Ending, facts: Mapping[str, str]) -> str:
    if ending.code in CODES:
        return CODES[ending.code].format_map(facts)
    if ending.signal is not None:
        other = f"It was ended by signal {ending.signal}."
        return SIGNALS.get(ending.signal, other).format_map(facts)
    last = next((line.strip() for line in reversed(ending.lines) if line.strip()), "")
    if not last:
        return f"It ended with status {ending.code} and without a word."
    return f"It ended with status {ending.code}. Its last line: {_short(last)}"


def _memory(ending: Ending) -> str:
    """How much it might have, and what to do about that."""
    if ending.memory_limit:
        size = humanize.naturalsize(ending.memory_limit, format="%.3g")
        return f"Its limit is {size}: raise it in its settings, or choose a smaller model."
    return (
        f"It has no limit of its own, so {ending.host_name} itself had none left. Stop another "
        "engine, or choose a smaller model."
    )


def _permission(ending: Ending, path: str) -> str:
    """Who may not write where, and which folder of the host that is."""
    who = ending.user or "root"
    within = [mount for mount in ending.mounts if _is_below(path, mount.target)]
    if not within:
        return (
            f"{ending.name}, which runs as {who}, may not use {path} of its image. Let it run as "
            "another user, or mount a volume there."
        )
    mount = max(within, key=lambda one: len(one.target))
    owner = ending.user if ending.user.replace(":", "").isdigit() else ""
    if not mount.is_folder:
        return (
            f"{ending.name}, which runs as {who}, may not write {path} in its volume "
            f"{mount.source}. Let the volume belong to that user, or let it run as root."
        )
    way = f"sudo chown -R {owner} {mount.source}" if owner else f"chmod a+rwX {mount.source}"
    return (
        f"{ending.name}, which runs as {who}, may not use {path}, which is {mount.source} on "
        f"{ending.host_name}. Give it the right there: {way}"
    )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _short(text: str) -> str:
    """A foreign text as the end of a sentence."""
    shown = " ".join(text.split())
    return f"{shown[:LONGEST].rstrip(' .')}."
