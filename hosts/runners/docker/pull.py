"""Pulling an image: Docker's stream as progress, an end that can be had at any moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import humanize
from docker import auth as logins
from docker.errors import DockerException
from docker.errors import ImageNotFound as NoSuchImage

from hosts.oci.reference import ImageReference
from hosts.oci.sizes import ImageSizes
from hosts.runners.base import DiskFull, ImageNotFound, InstallFailed, Progress, RunnerError
from hosts.runners.docker.errors import FOREIGN, explain, translated
from hosts.runners.docker.kept_layers import LayerKeeper
from hosts.runners.docker.layers import PullLedger
from hosts.runners.docker.stream import DaemonStream, Line
from jobs.outcome import CancelToken

FRAME_SECONDS = 0.25
"""Between two pieces of progress that tell of bytes only."""
HEARTBEAT_SECONDS = 0.5
STALL_NOTICE_SECONDS = 60.0
THIS_MACHINE = "this machine"
KEPT = "Finished layers are kept from here on: if this ends early, another try goes on from them."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image that is on the host now."""

    id: str
    """Docker's own id of it: of its configuration, or of its manifest in a containerd store."""
    digests: tuple[str, ...]
    """`repository@sha256:...` for each name under which it came from a registry."""
    size: int
    """Bytes unpacked."""
    platform: str
    """Such as `linux/amd64` or `linux/arm64/v8`."""
    was_here: bool
    """Nothing had to be pulled."""


def pull(
    client: docker.APIClient,
    reference: ImageReference,
    *,
    cancel: CancelToken,
    platform: str = "",
    auth: Mapping[str, str] | None = None,
    sizes: ImageSizes | None = None,
    cached: Collection[str] = (),
    host_name: str = THIS_MACHINE,
    step: str = "pull",
    stall_notice: float = STALL_NOTICE_SECONDS,
) -> Generator[Progress, None, PulledImage]:
    """Pull an image and look whether it is there; a word at least once a second, also of silence.

    `auth` holds `username` and `password`; without it a `docker login` of abm's own user counts.
    With `sizes` the bar knows its end from the start, and finished layers outlive a pull that ends
    early (see kept_layers). `cached` names layers known to be on the host. `platform` is such as
    `linux/arm64`, empty for the host's own. Raises RunnerError with the registry's reason, and
    Cancelled moments after `cancel`. Pulling what is there is quick and ends at 1.
    """
    cancel.check()
    began = time.monotonic()
    known = {layer.digest: layer.size for layer in sizes.layers} if sizes else None
    pulling = _Pull(
        client=client,
        reference=reference,
        platform=platform,
        host_name=host_name,
        step=step,
        cancel=cancel,
        ledger=PullLedger(known, cached, at=began),
        keeper=LayerKeeper(client, reference, sizes, at=began) if sizes else None,
    )
    headers = login_header(client, reference, auth)
    return (yield from pulling.run(headers, stall_notice=stall_notice))


class _Said(Exception):
    """Docker wrote an error into its stream; the text is Docker's."""


@dataclass(frozen=True, kw_only=True)
class _Pull:
    """One pull on its way."""

    client: docker.APIClient
    reference: ImageReference
    platform: str
    host_name: str
    step: str
    cancel: CancelToken
    ledger: PullLedger
    keeper: LayerKeeper | None

    def run(
        self, headers: Mapping[str, str], *, stall_notice: float
    ) -> Generator[Progress, None, PulledImage]:
        params = {"fromImage": self.reference.name, "tag": self.reference.version}
        if self.platform:
            params["platform"] = self.platform
        request = DaemonStream(self.client, "/images/create", params=params, headers=headers)
        try:
            with self._explained(), request as stream:
                self.cancel.on_cancel(stream.hang_up)
                yield from self._follow(stream, stall_notice)
        except DiskFull:
            self._forget()
            raise
        finally:
            if self.keeper:
                self.keeper.settle()
        self.cancel.check()
        image = self._inspected()
        self._forget()
        self.ledger.finish()
        size = humanize.naturalsize(image.size)
        yield self._progress(f"{self.reference} is on {self.host_name}: {size} unpacked.")
        return image

    def _follow(self, stream: DaemonStream, stall_notice: float) -> Iterator[Progress]:
        """The stream as progress: each line worth it at once, bytes a few times a second."""
        ledger, shown_at, is_noticed = self.ledger, 0.0, False
        for line in stream.lines(every=HEARTBEAT_SECONDS):
            now, words = time.monotonic(), ""
            if line is None:
                ledger.tick(now)
            elif said := error_in(line):
                raise _Said(said)
            else:
                words = ledger.feed(line, now)
            is_stalled = ledger.stalled_for >= stall_notice
            if is_stalled and not is_noticed:
                words = self._notice(stall_notice)
            is_noticed = is_stalled
            if words or line is None or now - shown_at >= FRAME_SECONDS:
                shown_at = now
                yield self._progress(words)
            if self.keeper and self.keeper.keep(ledger.finished_layers, at=now):
                yield self._progress(KEPT)

    def _notice(self, seconds: float) -> str:
        return (
            f"Nothing has come for {seconds:.0f} seconds. The registry "
            f"{self.reference.registry} or the network may hang: wait, or cancel and try again."
        )

    def _progress(self, words: str) -> Progress:
        ledger = self.ledger
        return Progress(
            self.step,
            line=words,
            fraction=ledger.fraction,
            bytes_done=ledger.bytes_done,
            bytes_total=ledger.bytes_total,
            bytes_cached=ledger.bytes_cached,
            bytes_unpacked=ledger.bytes_unpacked,
            bytes_per_second=ledger.bytes_per_second,
            seconds_left=ledger.seconds_left,
            stalled_for=ledger.stalled_for,
            layers=ledger.layers,
        )

    def _forget(self) -> None:
        if self.keeper:
            self.keeper.forget()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise what goes wrong as a sentence about this image, or Cancelled where that is why."""
        try:
            yield
        except FOREIGN as error:
            self.cancel.check()
            failure = translated(error, host_name=self.host_name, otherwise=InstallFailed)
            raise self._named(failure) from error
        except _Said as said:
            self.cancel.check()
            failure = explain(str(said), host_name=self.host_name, otherwise=InstallFailed)
            raise self._named(failure) from None

    def _named(self, failure: RunnerError) -> RunnerError:
        """The same failure, saying of which image."""
        message = f"{self.reference} was not pulled. {failure.message}"
        return type(failure)(message, detail=failure.detail)

    def _inspected(self) -> PulledImage:
        """What the host has under this name now: Docker's word that it pulled does not do."""
        wanted = self.reference
        name = f"{wanted.name}@{wanted.digest}" if wanted.digest else wanted.canonical
        with self._explained():
            found = _inspect(self.client, name)
        if found is None:
            raise InstallFailed(
                f"Docker on {self.host_name} pulled {wanted}, but does not have it now. Somebody "
                "may have removed it meanwhile: try again."
            )
        parts = (found.get("Os"), found.get("Architecture"), found.get("Variant"))
        image = PulledImage(
            id=str(found.get("Id", "")),
            digests=tuple(found.get("RepoDigests") or ()),
            size=int(found.get("Size") or 0),
            platform="/".join(filter(None, parts)),
            was_here="up to date" in self.ledger.closing,
        )
        if self.platform and self.platform.split("/")[:2] != image.platform.split("/")[:2]:
            raise ImageNotFound(
                f"{wanted} is made for {image.platform}, not for {self.platform}. Choose another "
                "variant or platform."
            )
        return image


def error_in(line: Line) -> str:
    """A failure stands within the stream: `{"errorDetail": {"message": ...}, "error": ...}`."""
    detail = line.get("errorDetail")
    message = detail.get("message") if isinstance(detail, Mapping) else None
    return str(message or line.get("error") or "")


def login_header(
    client: docker.APIClient, reference: ImageReference, auth: Mapping[str, str] | None
) -> dict[str, str]:
    """The header that carries credentials: those given, or those of `docker login`, or none."""
    if auth is not None:
        return {"X-Registry-Auth": logins.encode_header(dict(auth)).decode()}
    try:
        header = logins.get_config_header(client, reference.registry)
    except DockerException as error:
        log.warning("The stored login for %s cannot be read: %s", reference.registry, error)
        return {}
    return {"X-Registry-Auth": header.decode()} if header else {}


def _inspect(client: docker.APIClient, name: str) -> dict[str, Any] | None:
    try:
        return dict(client.inspect_image(name))  # type: ignore[no-untyped-call]
    except NoSuchImage:
        return None
