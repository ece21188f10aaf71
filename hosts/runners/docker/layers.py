"""The arithmetic of an image pull: Docker's own lines in, one bar that never goes back out.

Pure: no clock, no Docker, no thread. The lines are those of `POST /images/create`, one JSON object
each: `{"id": "<12 hex digits of the layer>", "status": "Downloading", "progressDetail":
{"current": bytes, "total": bytes}}`. Bytes are those of the compressed layer in both phases.

Three habits of Docker that this must stand:
- A layer's size is told only when its download begins, three at a time: sizes come from the
  manifest where the caller has it, and an unknown one is guessed until Docker tells it.
- A download that is resumed counts from zero again, against what was still missing.
- With the containerd image store unpacking has no bytes (`{"current": 3, "units": "s"}`), and a
  layer may begin without "Pulling fs layer".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hosts.runners.base import LayerProgress
from hosts.runners.docker.layer import (
    ALL_FETCHED,
    ENDED,
    STATES,
    WORTH_A_LINE,
    Layer,
    LayerState,
    short_id,
)
from hosts.runners.docker.rate import Rate, measured

GUESSED_SIZE = 32 * 2**20
"""Bytes of a layer of which nothing is known yet, where no other layer's size is known either."""
UNPACK_SHARE = 0.35
"""Share of a layer's work that is unpacking, until it is measured."""
UNPACK_BOUNDS = (0.05, 0.8)
NOT_YET = 0.99
"""The bar's end until the image is there: the last hundredth is Docker's own last words."""
SILENT = 3.0
"""Seconds without a byte after which a speed no longer foretells an end."""


class PullLedger:
    """What one pull has done so far. Times are seconds of any clock that does not go back.

    `sizes` maps layers (short id or digest) to compressed bytes, None where unknown; `cached` names
    those known to be on the host. Both may be empty: then Docker's lines have to tell.
    """

    def __init__(
        self,
        sizes: Mapping[str, int | None] | None = None,
        cached: Collection[str] = (),
        *,
        at: float = 0.0,
    ) -> None:
        self._layers = {
            key: Layer(key, size if size is None or size >= 0 else None)
            for key, size in ((short_id(name), size) for name, size in (sizes or {}).items())
        }
        self._is_listed = bool(self._layers)
        self._may_grow = False
        """Layers come without being announced, so those known may not be all."""
        for name in cached:
            if layer := self._layers.get(short_id(name)):
                layer.state, layer.is_claimed_cached = LayerState.CACHED, True
        self._bar = 0.0
        self._at = self._active_at = at
        self._rate = Rate(at)
        self._received = self._unpacked = 0
        self._download_seconds = self._unpack_seconds = 0.0
        self.is_finished = False
        self.digest = ""
        """Of the manifest or index, as Docker told it."""
        self.closing = ""
        """Docker's last words, such as `Image is up to date for ...`."""

    def feed(self, line: Mapping[str, Any], at: float) -> str:
        """Take one line; return what is worth a line of the log, empty where only bytes moved."""
        self.tick(at)
        status, name = str(line.get("status") or ""), str(line.get("id") or "")
        if status.startswith("Digest: "):
            self.digest = status.removeprefix("Digest: ")
        elif status.startswith("Status: "):
            self.closing = status.removeprefix("Status: ")
        state = STATES.get(status)
        if status.startswith("Retrying in"):
            state = LayerState.RETRYING
        if state is None or not name:
            self._active_at = self._at
            return f"{name}: {status}" if name else status
        layer = self._layers.get(name) or self._appear(name, state, status)
        if layer is None or (layer.state in ENDED and not layer.is_claimed_cached):
            return ""
        detail = line.get("progressDetail")
        has_changed = self._move(layer, state, detail if isinstance(detail, Mapping) else {})
        return f"{name}: {status}" if has_changed and state in WORTH_A_LINE else ""

    def tick(self, at: float) -> None:
        """Let time pass: speed fades and silence grows also when Docker says nothing."""
        passed, self._at = max(at - self._at, 0.0), max(at, self._at)
        states = {layer.state for layer in self._layers.values()}
        if LayerState.DOWNLOADING in states:
            self._download_seconds += passed
        if LayerState.EXTRACTING in states:
            self._unpack_seconds += passed
        self._rate.sample(self._received, self._at)

    def finish(self) -> None:
        """The image is there: layers that Docker never spoke of were there before."""
        for layer in self._layers.values():
            if layer.is_counted and not layer.has_begun:
                layer.state = LayerState.CACHED
            elif layer.is_counted:
                self._complete(layer)
                layer.state = LayerState.DONE
        self.is_finished = True

    @property
    def fraction(self) -> float:
        """How much of the whole pull is done; never goes back, 1 only when it is finished."""
        return 1.0 if self.is_finished else self._bar * NOT_YET

    @property
    def bytes_done(self) -> int:
        return sum(layer.download_mark for layer in self._counted)

    @property
    def bytes_total(self) -> int | None:
        """Bytes to download, without the layers that are here; None while a size is unknown."""
        sizes = [layer.size for layer in self._counted if layer.size is not None]
        is_known = bool(self._layers) or self.is_finished
        return sum(sizes) if is_known and len(sizes) == len(self._counted) else None

    @property
    def bytes_unpacked(self) -> int:
        unpacked = sum(layer.unpacked for layer in self._counted)
        # A size that was told too small must not make more of it than there is.
        return unpacked if self.bytes_total is None else min(unpacked, self.bytes_total)

    @property
    def bytes_cached(self) -> int:
        """Bytes that need no download because their layers are on the host."""
        return sum(layer.size or 0 for layer in self._layers.values() if not layer.is_counted)

    @property
    def bytes_per_second(self) -> float | None:
        """Speed of the download; None when nothing is left to download, or it just began."""
        return self._rate.value if self._missing and not self.is_finished else None

    @property
    def seconds_left(self) -> float | None:
        """None until the speed is steady, when it is silent, and while a size is unknown."""
        if self.is_finished:
            return 0.0
        if self.bytes_total is None or not self._rate.is_steady or self.stalled_for > SILENT:
            return None
        speed = self._rate.value or 0.0
        if self._missing and speed < 1:
            return None
        download = self._missing / speed if self._missing else 0.0
        unpacking = measured(self._unpacked, self._unpack_seconds)
        if unpacking is None:
            return download / (1 - UNPACK_SHARE) if download else None
        unpack = sum(layer.left(layer.size or 0)[1] for layer in self._counted)
        return max(download, unpack / unpacking)

    @property
    def stalled_for(self) -> float:
        """Seconds since the last byte or the last step of a layer."""
        return 0.0 if self.is_finished else self._at - self._active_at

    @property
    def layers(self) -> tuple[LayerProgress, ...]:
        return tuple(layer.shown() for layer in self._layers.values())

    @property
    def finished_layers(self) -> frozenset[str]:
        """Short ids of the layers that are on the host, by Docker's own word."""
        ended = (layer for layer in self._layers.values() if layer.state in ENDED)
        return frozenset(layer.id for layer in ended if not layer.is_claimed_cached)

    @property
    def _counted(self) -> list[Layer]:
        return [layer for layer in self._layers.values() if layer.is_counted]

    def _appear(self, name: str, state: LayerState, status: str) -> Layer | None:
        is_announced = status in ("Pulling fs layer", "Waiting", "Already exists")
        if self._is_listed and not is_announced and state is not LayerState.EXTRACTING:
            return None  # the image's configuration, which the containerd store shows as a layer
        self._may_grow = self._may_grow or not is_announced
        layer = self._layers[name] = Layer(name, None)
        return layer

    def _move(self, layer: Layer, state: LayerState, detail: Mapping[str, Any]) -> bool:
        """Bring a layer to `state`, the bar by what this took off the work left."""
        current, total = _count(detail, "current"), _count(detail, "total")
        if "units" in detail:
            current = total = 0
            self._active_at = self._at
        if layer.is_claimed_cached:
            layer.state = state if state is LayerState.CACHED else LayerState.WAITING
        elif state is LayerState.CACHED and layer.has_begun:
            state = LayerState.DONE
        layer.is_claimed_cached = False
        if layer.size is None and total:
            layer.size = max(total, layer.download_mark, layer.unpacked)
        before, share = self._work_left, self._unpack_share
        span = self._span(layer)
        own_before = layer.work(span, share)
        has_changed = layer.state is not state
        layer.state = state
        self._count_bytes(layer, current, total)
        if state is LayerState.CACHED:
            own_before = 0.0  # no work done, only less to do
        gained = own_before - layer.work(span, share)
        if before > 0 and gained > 0:
            self._bar = min(1.0, self._bar + (1 - self._bar) * gained / before)
        if has_changed:
            self._active_at = self._at
        return has_changed

    def _count_bytes(self, layer: Layer, current: int, total: int) -> None:
        if layer.state is LayerState.DOWNLOADING:
            if total and current >= total:
                return  # also said of a download that broke off; the next state tells
            resumed_at = (layer.size or total) - total if total else 0
            reached = _within(max(resumed_at, 0) + current, layer.size)
            self._receive(layer, reached)
        elif layer.state is LayerState.EXTRACTING:
            self._complete_download(layer)
            reached = _within(current, layer.size)
            if reached > layer.unpacked:
                self._unpacked += reached - layer.unpacked
                layer.unpacked, self._active_at = reached, self._at
        elif layer.state is LayerState.DONE:
            self._complete(layer)
        elif layer.state in ALL_FETCHED:
            self._complete_download(layer)

    def _complete(self, layer: Layer) -> None:
        if layer.size is None:
            layer.size = max(layer.downloaded, layer.unpacked)
        self._complete_download(layer)
        self._unpacked += layer.size - layer.unpacked
        layer.unpacked = layer.size

    def _complete_download(self, layer: Layer) -> None:
        if layer.size is not None:
            self._receive(layer, layer.size)

    def _receive(self, layer: Layer, reached: int) -> None:
        moved = reached - layer.downloaded if reached >= layer.downloaded else reached
        if moved:
            self._received, self._active_at = self._received + moved, self._at
        layer.downloaded = reached
        layer.download_mark = max(layer.download_mark, reached)

    def _span(self, layer: Layer) -> int:
        """The size of a layer, or a guess at it: the mean of those that are known."""
        if layer.size is not None:
            return layer.size
        return max(self._guess, layer.download_mark)

    @property
    def _guess(self) -> int:
        known = [layer.size for layer in self._counted if layer.size is not None]
        return sum(known) // len(known) if known else GUESSED_SIZE

    @property
    def _missing(self) -> int:
        return sum(layer.missing(self._span(layer)) for layer in self._counted)

    @property
    def _work_left(self) -> float:
        """All that is left, downloading and unpacking weighed by what they cost."""
        share = self._unpack_share
        left = sum(layer.work(self._span(layer), share) for layer in self._counted)
        return left + (self._guess if self._may_grow and not self._is_listed else 0)

    @property
    def _unpack_share(self) -> float:
        down = measured(self._received, self._download_seconds)
        unpack = measured(self._unpacked, self._unpack_seconds)
        if down is None or unpack is None:
            return UNPACK_SHARE
        lowest, highest = UNPACK_BOUNDS
        return min(max(down / (down + unpack), lowest), highest)


def _count(detail: Mapping[str, Any], key: str) -> int:
    value = detail.get(key)
    return max(int(value), 0) if isinstance(value, int | float) else 0


def _within(reached: int, size: int | None) -> int:
    return reached if size is None else min(reached, size)
