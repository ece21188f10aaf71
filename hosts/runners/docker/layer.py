"""One layer of an image that is being pulled."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hosts.runners.base import LayerProgress

SHORT_ID = 12


class LayerState(StrEnum):
    """waiting -> downloading -> verifying -> downloaded -> extracting -> done, or cached at once.

    `retrying` stands between two attempts to download.
    """

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    RETRYING = "retrying"
    VERIFYING = "verifying"
    DOWNLOADED = "downloaded"
    EXTRACTING = "extracting"
    DONE = "done"
    CACHED = "cached"


STATES = {
    "Pulling fs layer": LayerState.WAITING,
    "Waiting": LayerState.WAITING,
    "Downloading": LayerState.DOWNLOADING,
    "Verifying Checksum": LayerState.VERIFYING,
    "Download complete": LayerState.DOWNLOADED,
    "Extracting": LayerState.EXTRACTING,
    "Pull complete": LayerState.DONE,
    "Already exists": LayerState.CACHED,
}
ALL_FETCHED = {
    LayerState.VERIFYING,
    LayerState.DOWNLOADED,
    LayerState.EXTRACTING,
    LayerState.DONE,
}
ENDED = {LayerState.DONE, LayerState.CACHED}
WORTH_A_LINE = ENDED | {LayerState.DOWNLOADED, LayerState.RETRYING}


@dataclass(slots=True)
class Layer:
    """How far it is; bytes are those of the compressed layer, also while it is unpacked."""

    id: str
    size: int | None
    state: LayerState = LayerState.WAITING
    is_claimed_cached: bool = False
    """The caller said that it is here; Docker did not speak of it yet."""
    downloaded: int = 0
    unpacked: int = 0
    download_mark: int = 0
    """The furthest that the download was: a restart does not take it back."""

    @property
    def is_counted(self) -> bool:
        return self.state is not LayerState.CACHED

    @property
    def has_begun(self) -> bool:
        """Something of it was done in this pull."""
        return self.state is not LayerState.WAITING or self.download_mark > 0

    def left(self, span: int) -> tuple[int, int]:
        """Bytes of `span` that still have to be downloaded, and to be unpacked.

        `span` is the size, or a guess at it. A restart takes nothing back here.
        """
        if not self.is_counted or self.state is LayerState.DONE:
            return 0, 0
        fetched = self.state in ALL_FETCHED
        return (0 if fetched else max(span - self.download_mark, 0)), max(span - self.unpacked, 0)

    def work(self, span: int, unpack_share: float) -> float:
        """What is left of it, downloading and unpacking weighed by what they cost."""
        download, unpack = self.left(span)
        return download * (1 - unpack_share) + unpack * unpack_share

    def missing(self, span: int) -> int:
        """Bytes of `span` that really still have to come, also after a restart."""
        left, _ = self.left(span)
        return max(span - self.downloaded, 0) if left else 0

    def shown(self) -> LayerProgress:
        is_unpacking = self.state is LayerState.EXTRACTING
        done = self.unpacked if is_unpacking else self.downloaded
        return LayerProgress(self.id, self.state.value, done, self.size)


def short_id(name: str) -> str:
    """Docker's name of a layer in a pull: the first 12 digits of its digest."""
    return name.rpartition(":")[2][:SHORT_ID]
