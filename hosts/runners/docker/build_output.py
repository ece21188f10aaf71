"""What the classic builder writes: steps, output, the image's id; and its failures in words.

The texts were read from Docker 20.10 and from moby's builder/dockerfile.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hosts.runners.base import DiskFull, ImageNotFound, InstallFailed, RunnerError
from hosts.runners.docker.errors import explain

KEPT_LINES = 60
SHOWN_COMMAND = 160
LONGEST_LINE = 2000
STEP = re.compile(r"^Step (?P<number>\d+)/(?P<count>\d+) : (?P<command>.*)$")
BUILT = re.compile(r"^Successfully built (?P<id>[0-9a-f]{12,64})$")
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CACHED = "---> Using cache"
ENDED = re.compile(r"The command '.*' returned a non-zero code: (?P<code>\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Saying:
    """A text of the builder or of what it ran; the sentence may name its groups and the step."""

    pattern: str
    sentence: str
    kind: type[RunnerError] = InstallFailed


SAID_BY_BUILDER = (
    Saying(
        r"(?:COPY|ADD) failed: (?:file not found in build context[^:]*: )?(?:stat |lstat )?"
        r"(?P<path>\S+?):? (?:file does not exist|no such file or directory)",
        "{step} copies {path}, which is not in the build's context. Check that its path is seen "
        "from the context's folder, and that .dockerignore does not leave it out.",
    ),
    Saying(
        r"(?:COPY|ADD) failed: (?:no source files were specified|forbidden path outside)",
        "{step} copies files that are not in the build's context. Check their paths and "
        ".dockerignore; nothing outside of the context can be copied.",
    ),
    Saying(
        r"the --(?P<flag>[\w-]+) option requires BuildKit|Unknown flag: (?P<other>[\w-]+)|"
        r"(?P<here>unknown instruction: (?:EOF|EOT|<<))|"
        r"(?P<mount>failed to parse platform)",
        "The Dockerfile uses what only BuildKit knows ({flag}), and abm builds without it. Build "
        "the image elsewhere and load it from a file, or write that step differently.",
    ),
    Saying(
        r"parse error(?: on)? line (?P<line>\d+): (?P<why>[^\n]+)",
        "Line {line} of the Dockerfile is wrong: {why}. Correct it and build again.",
    ),
    Saying(
        r"dockerfile parse error|failed to process|unknown instruction: |"
        r"requires (?:at least|exactly) \w+ argument|no build stage in current context|"
        r"the Dockerfile .* cannot be empty|file with no instructions",
        "The Dockerfile cannot be read. What Docker said of it stands below; correct it and build "
        "again.",
    ),
    Saying(
        r"failed to reach build target (?P<stage>\S+)|target stage (?P<other>\S+) could not",
        "The Dockerfile has no stage of the name that was asked for. Check the stage.",
    ),
    Saying(
        r"invalid from flag value (?P<name>\S+?):|"
        r"invalid reference format",
        "{step} names an image in a way that Docker does not know: check the build arguments that "
        "its name is made of.",
        ImageNotFound,
    ),
)
SAID_BY_STEP = (
    Saying(
        r"no space left on device|disk quota exceeded",
        "The disk of {host} became full in {small_step}. Free some space there and build again.",
        DiskFull,
    ),
    Saying(
        r"exec format error",
        "{step} runs a program of another architecture, which {host} cannot. Choose the host's own "
        "platform, or install emulation (binfmt) there.",
    ),
    Saying(
        r"temporary failure (?:in name resolution|resolving)|could not resolve|name or service not "
        r"known|failed to establish a new connection|network is unreachable|connection timed out|"
        r"unable to connect|could not connect|no route to host|read timed out|\bEAI_AGAIN\b|"
        r"\bENOTFOUND\b|bad address '|connection refused",
        "{step} could not reach the network from inside the build. Check the internet connection "
        "and DNS of {host}, give a proxy as build argument, or build with the network `host`.",
    ),
    Saying(
        r"cannot allocate memory|out of memory|MemoryError|signal: killed|\bKilled\b",
        "{step} ran out of memory on {host}. Stop other engines there, or give its Docker more "
        "memory.",
    ),
)


class BuildOutput:
    """The builder's lines so far. Pure: no clock, no Docker."""

    def __init__(self) -> None:
        self.image_id = ""
        self.number = self.count = 0
        """The step under way and how many there are; 0 before the first."""
        self.command = ""
        self.cached_steps = 0
        self.recent = deque[str](maxlen=KEPT_LINES)
        """What the step under way wrote last."""
        self._rest = ""

    def feed(self, line: Mapping[str, Any]) -> Iterator[str]:
        """Take one object of the stream; each whole line of words that it brings."""
        aux = line.get("aux")
        if isinstance(aux, Mapping) and aux.get("ID"):
            self.image_id = str(aux["ID"])
        if status := line.get("status"):
            if not line.get("progressDetail"):
                yield f"{line['id']}: {status}" if line.get("id") else str(status)
            return
        *whole, self._rest = (self._rest + str(line.get("stream") or "")).split("\n")
        for raw in whole:
            yield from self._take(raw)

    def finish(self) -> Iterator[str]:
        """What came last, without an end of line."""
        raw, self._rest = self._rest, ""
        yield from self._take(raw)

    @property
    def fraction(self) -> float:
        """Steps that are done, of all."""
        return (self.number - 1) / self.count if self.count else 0.0

    @property
    def step(self) -> str:
        """Such as `Step 3 of 9 (RUN pip install x)`."""
        command = self.command[:SHOWN_COMMAND] + ("..." if self.command[SHOWN_COMMAND:] else "")
        return f"Step {self.number} of {self.count} ({command})" if self.count else "The build"

    def _take(self, raw: str) -> Iterator[str]:
        # What a program overwrites by \r is a bar of its own; its last state is enough.
        line = COLOUR.sub("", raw.rstrip().rpartition("\r")[2]).rstrip()[:LONGEST_LINE]
        if not line.strip():
            return
        if found := STEP.match(line):
            self.number, self.count = int(found["number"]), int(found["count"])
            self.command = found["command"].strip()
            self.recent.clear()
        elif built := BUILT.match(line):
            self.image_id = self.image_id or built["id"]
        elif CACHED in line:
            self.cached_steps += 1
        else:
            self.recent.append(line)
        yield line


def explained(text: str, output: BuildOutput, *, host_name: str) -> RunnerError:
    """What a failure of the builder means; what the step wrote last stands below."""
    recent = "\n".join(output.recent)
    detail = f"{recent}\n{text}".strip()
    ended = ENDED.search(text)
    code = ended["code"] if ended else ""
    if code == "137":
        return InstallFailed(
            f"{output.step} was killed, most likely because the memory of {host_name} ran out. "
            "Stop other engines there, give its Docker more memory, or build elsewhere.",
            detail=detail,
        )
    sayings = SAID_BY_STEP if ended else (*SAID_BY_BUILDER, *SAID_BY_STEP[:2])
    for saying in sayings:
        if found := re.search(saying.pattern, detail if ended else text, re.IGNORECASE):
            return saying.kind(_sentence(saying, found, output, host_name), detail=detail)
    if ended:
        return InstallFailed(
            f"{output.step} ended with code {code}. What it said last stands below; correct the "
            "Dockerfile or its files and build again.",
            detail=detail,
        )
    failure = explain(text, host_name=host_name, otherwise=InstallFailed)
    where = f" in {_small(output.step)}" if output.count else ""
    return type(failure)(
        f"The image was not built: Docker failed{where}. {failure.message}", detail=detail
    )


def _sentence(saying: Saying, found: re.Match[str], output: BuildOutput, host_name: str) -> str:
    said = {key: value.strip("\"'.,") for key, value in found.groupdict().items() if value}
    flag = said.get("flag") or said.get("other") or ("a platform" if "mount" in said else "<<EOF")
    named = {"path": "", "line": "", "why": "", **said, "flag": flag}
    small = _small(output.step)
    return saying.sentence.format_map(
        {**named, "step": output.step, "small_step": small, "host": host_name}
    )


def _small(step: str) -> str:
    """The step within a sentence."""
    return step[0].lower() + step[1:]
