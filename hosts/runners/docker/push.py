"""Pushing an image to a registry under a name of its own, with a bar that never goes back."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker

from hosts.oci.reference import ImageReference
from hosts.runners.base import (
    ImageNotFound,
    InstallFailed,
    LayerProgress,
    Progress,
    RunnerError,
)
from hosts.runners.docker.errors import explain, mapped
from hosts.runners.docker.images import inspect_image
from hosts.runners.docker.pull import THIS_MACHINE, error_in, login_header
from hosts.runners.docker.rate import Rate
from hosts.runners.docker.sending import conversation
from hosts.runners.docker.stream import DaemonStream, Line
from jobs.outcome import CancelToken

PUSH_STEPS: Mapping[str, tuple[str, float]] = {"push": ("Push the image", 1.0)}
"""Step key -> (title, share of the whole)."""
STEP = "push"
HEARTBEAT_SECONDS = 0.5
FRAME_SECONDS = 0.25
NOT_YET = 0.99
GUESSED_SIZE = 2**20
"""Bytes of a layer whose size Docker has not told yet, where no other is known either."""
HERE = "Layer already exists"
WORTH_A_LINE = frozenset({HERE, "Pushed", "Pushing"})
SAYINGS = (
    (
        r"no basic auth credentials|unauthorized|authentication required|incorrect username",
        "{registry} wants a login, or does not accept the one that is stored. Store a login that "
        "may push for it in the settings of abm.",
    ),
    (
        r"denied|403 Forbidden|insufficient[_ ]scope|access forbidden",
        "{registry} does not let this login push to {repository}. Check the name, or store a login "
        "that may push there.",
    ),
    (
        r"immutable|cannot be overwritten|already exists and cannot",
        "{registry} does not let the tag {tag} be given anew. Choose another tag.",
    ),
    (
        r"name unknown|repository .*(?:not found|does not exist)|name invalid",
        "{registry} has no repository {repository}, and makes none by itself. Make it there first.",
    ),
    (
        r"413 Request Entity|request entity too large",
        "{registry}, or a proxy in front of it, does not take a layer as large as one of these. "
        "Raise the limit there.",
    ),
    (
        r"no space left on device|quota",
        "There is no room left in {registry}. Free some space there and try again.",
    ),
    (
        r"\b40[45]\b|unsupported|method not allowed",
        "{registry} takes no images: it may be a mirror, or read only. Choose another registry.",
    ),
)


@dataclass(frozen=True, slots=True)
class PushedImage:
    """An image that is in a registry now."""

    reference: ImageReference
    digest: str
    """`sha256:...` of its manifest there."""


def push(
    client: docker.APIClient,
    image: str,
    reference: ImageReference,
    *,
    cancel: CancelToken,
    auth: Mapping[str, str] | None = None,
    host_name: str = THIS_MACHINE,
) -> Generator[Progress, None, PushedImage]:
    """Give `image` (a name or an id) the name `reference` on the host and push it.

    `auth` holds `username` and `password`; without it a `docker login` of abm's own user counts.
    Raises RunnerError with the registry's reason, and Cancelled moments after `cancel`; layers that
    arrived are kept there, so another try goes on from them.
    """
    cancel.check()
    if not reference.tag:
        raise InstallFailed("An image is pushed under a tag. Name it as repository:tag.")
    size = _tagged(client, image, reference, host_name)
    ledger = PushLedger(size, at=time.monotonic())
    yield ledger.progress(f"{image} is called {reference} on {host_name} now.")
    # The daemon refuses a push without any login header, also where none is needed.
    headers = login_header(client, reference, auth) or login_header(client, reference, {})
    request = DaemonStream(
        client, f"/images/{reference.name}/push", params={"tag": reference.tag}, headers=headers
    )
    with conversation(
        request,
        cancel=cancel,
        refused=lambda said: _refused(reference, said, host_name),
        host_name=host_name,
    ):
        yield from _followed(request, ledger, reference, host_name)
    if not ledger.digest:
        raise InstallFailed(f"{reference} was not pushed: Docker ended without a digest.")
    ledger.finish()
    yield ledger.progress(f"{reference} is in {reference.registry}: {ledger.digest}.")
    return PushedImage(reference, ledger.digest)


def _tagged(client: docker.APIClient, image: str, reference: ImageReference, host_name: str) -> int:
    """Give the image its new name; its size, unpacked."""
    with mapped(host_name, otherwise=InstallFailed):
        found = inspect_image(client, image)
        if found is not None:
            client.tag(str(found["Id"]), reference.name, reference.tag)
            return int(found.get("Size") or 0)
    raise ImageNotFound(f"{image} is not on {host_name}. Build, load or pull it first.")


def _followed(
    stream: DaemonStream, ledger: PushLedger, reference: ImageReference, host_name: str
) -> Iterator[Progress]:
    shown_at = 0.0
    for line in stream.lines(every=HEARTBEAT_SECONDS):
        now, words = time.monotonic(), ""
        if line is not None:
            if said := error_in(line):
                raise _refused(reference, said, host_name)
            words = ledger.feed(line, now)
        else:
            ledger.tick(now)
        if words or line is None or now - shown_at >= FRAME_SECONDS:
            shown_at = now
            yield ledger.progress(words)


@dataclass(slots=True)
class _Layer:
    id: str
    state: str = "waiting"
    done: int = 0
    size: int | None = None
    is_ended: bool = False


class PushLedger:
    """What one push has done so far. Pure; `at` is seconds of a clock that does not go back.

    Docker names all layers first, and tells the size of one (unpacked) when sending begins, five
    at a time. Until then each layer stands for an equal part of the image.
    """

    def __init__(self, image_size: int, *, at: float) -> None:
        self.digest = ""
        self._layers: dict[str, _Layer] = {}
        self._image_size = image_size
        self._bar = 0.0
        self._at = self._active_at = at
        self._rate = Rate(at)
        self._sent = 0
        self._is_finished = False

    def feed(self, line: Line, at: float) -> str:
        """Take one line; what is worth a line of the log."""
        self.tick(at)
        self._active_at = at
        aux: Any = line.get("aux")
        if isinstance(aux, Mapping) and aux.get("Digest"):
            self.digest = str(aux["Digest"])
        status, name = str(line.get("status") or ""), str(line.get("id") or "")
        if not name or " " in name:
            return status
        layer = self._layers.setdefault(name, _Layer(name))
        before, own = self._left, self._left_of(layer)
        has_changed = layer.state != status
        self._move(layer, status, line.get("progressDetail"))
        gained = own - self._left_of(layer)
        if before > 0 and gained > 0:
            self._bar = min(self._bar + (1 - self._bar) * gained / before, 1.0)
        return f"{name}: {status}" if has_changed and status in WORTH_A_LINE else ""

    def tick(self, at: float) -> None:
        """Let time pass."""
        self._at = max(at, self._at)
        self._rate.sample(self._sent, self._at)

    def finish(self) -> None:
        """All of it is there."""
        self._is_finished = True

    def progress(self, words: str = "") -> Progress:
        return Progress(
            STEP,
            line=words,
            fraction=1.0 if self._is_finished else self._bar * NOT_YET,
            bytes_done=self._sent,
            bytes_per_second=None if self._is_finished else self._rate.value,
            stalled_for=0.0 if self._is_finished else self._at - self._active_at,
            layers=tuple(
                LayerProgress(layer.id, layer.state.lower(), layer.done, layer.size)
                for layer in self._layers.values()
            ),
        )

    def _move(self, layer: _Layer, status: str, detail: Any) -> None:
        layer.state = status
        told = detail if isinstance(detail, Mapping) else {}
        current, total = told.get("current"), told.get("total")
        if isinstance(total, int) and total > 0:
            layer.size = total
        if isinstance(current, int):  # may go above the size: headers of the tar count as well
            reached = min(current, layer.size) if layer.size else current
            self._sent += max(reached - layer.done, 0)
            layer.done = max(layer.done, reached)
        if status in ("Pushed", HERE) or status.startswith("Mounted from"):
            layer.is_ended = True
            if status == "Pushed" and layer.size:
                self._sent += layer.size - layer.done
                layer.done = layer.size

    @property
    def _left(self) -> int:
        return sum(self._left_of(layer) for layer in self._layers.values())

    def _left_of(self, layer: _Layer) -> int:
        if layer.is_ended:
            return 0
        guess = self._image_size // max(len(self._layers), 1) or GUESSED_SIZE
        return max((layer.size or guess) - layer.done, 0)


def _refused(reference: ImageReference, said: str, host_name: str) -> RunnerError:
    """The registry's reason in words."""
    names = {
        "registry": reference.registry,
        "repository": reference.repository,
        "tag": reference.tag,
    }
    for pattern, sentence in SAYINGS:
        if re.search(pattern, said, re.IGNORECASE):
            words = sentence.format_map(names)
            return InstallFailed(f"{reference} was not pushed. {words}", detail=said)
    failure = explain(said, host_name=host_name, otherwise=InstallFailed)
    return type(failure)(f"{reference} was not pushed. {failure.message}", detail=failure.detail)
