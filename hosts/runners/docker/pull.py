"""Pulling an image: Docker's stream as progress, an end that can be had at any moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import humanize
from docker import auth as logins
from docker.errors import DockerException
from docker.errors import ImageNotFound as NoSuchImage

from hosts.oci.reference import ImageReference
from hosts.runners.base import ImageNotFound, InstallFailed, Progress, RunnerError
from hosts.runners.docker.errors import FOREIGN, explain, mapped, translated
from hosts.runners.docker.layers import PullLedger
from hosts.runners.docker.stream import DaemonStream, Line
from jobs.outcome import CancelToken

FRAME_SECONDS = 0.25
"""Between two pieces of progress that tell of bytes only."""
HEARTBEAT_SECONDS = 0.5
STALL_NOTICE_SECONDS = 60.0
THIS_MACHINE = "this machine"

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
    sizes: Mapping[str, int | None] | None = None,
    cached: Collection[str] = (),
    host_name: str = THIS_MACHINE,
    step: str = "pull",
    stall_notice: float = STALL_NOTICE_SECONDS,
) -> Generator[Progress, None, PulledImage]:
    """Pull an image and look whether it is there; a word at least once a second, also of silence.

    `auth` holds `username` and `password`; without it a `docker login` of abm's own user counts.
    `sizes` and `cached` (see PullLedger) come from the registry. `platform` is such as
    `linux/arm64`, empty for the host's own. Raises RunnerError with the registry's reason, and
    Cancelled at most moments after `cancel`. Pulling what is there is quick and ends at 1.
    """
    cancel.check()
    ledger = PullLedger(sizes, cached, at=time.monotonic())
    params = {"fromImage": reference.name, "tag": reference.version}
    if platform:
        params["platform"] = platform
    headers = _login(client, reference, auth)
    try:
        with DaemonStream(client, "/images/create", params=params, headers=headers) as stream:
            cancel.on_cancel(stream.hang_up)
            yield from _follow(stream, ledger, step, reference, stall_notice)
    except FOREIGN as error:
        cancel.check()
        failure = translated(error, host_name=host_name, otherwise=InstallFailed)
        raise _named(reference, failure) from error
    except _Said as said:
        cancel.check()
        failure = explain(str(said), host_name=host_name, otherwise=InstallFailed)
        raise _named(reference, failure) from None
    cancel.check()
    image = _inspected(client, reference, ledger, platform=platform, host_name=host_name)
    ledger.finish()
    size = humanize.naturalsize(image.size)
    yield _progress(ledger, step, f"{reference} is on {host_name}: {size} unpacked.")
    return image


class _Said(Exception):
    """Docker wrote an error into its stream; the text is Docker's."""


def _follow(
    stream: DaemonStream,
    ledger: PullLedger,
    step: str,
    reference: ImageReference,
    stall_notice: float,
) -> Iterator[Progress]:
    """The stream as progress: each line worth it at once, bytes a few times a second."""
    shown_at, is_noticed = 0.0, False
    for line in stream.lines(every=HEARTBEAT_SECONDS):
        now, words = time.monotonic(), ""
        if line is None:
            ledger.tick(now)
        elif said := _error_in(line):
            raise _Said(said)
        else:
            words = ledger.feed(line, now)
        is_stalled = ledger.stalled_for >= stall_notice
        if is_stalled and not is_noticed:
            words = (
                f"Nothing has come for {stall_notice:.0f} seconds. The registry "
                f"{reference.registry} or the network may hang: wait, or cancel and try again."
            )
        is_noticed = is_stalled
        if words or line is None or now - shown_at >= FRAME_SECONDS:
            shown_at = now
            yield _progress(ledger, step, words)


def _error_in(line: Line) -> str:
    """A failure stands within the stream: `{"errorDetail": {"message": ...}, "error": ...}`."""
    detail = line.get("errorDetail")
    message = detail.get("message") if isinstance(detail, Mapping) else None
    return str(message or line.get("error") or "")


def _progress(ledger: PullLedger, step: str, words: str) -> Progress:
    return Progress(
        step,
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


def _login(
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


def _named(reference: ImageReference, failure: RunnerError) -> RunnerError:
    """The same failure, saying of which image."""
    return type(failure)(f"{reference} was not pulled. {failure.message}", detail=failure.detail)


def _inspected(
    client: docker.APIClient,
    reference: ImageReference,
    ledger: PullLedger,
    *,
    platform: str,
    host_name: str,
) -> PulledImage:
    """What the host has under this name now. Docker's word that it pulled is not taken for it."""
    name = f"{reference.name}@{reference.digest}" if reference.digest else reference.canonical
    try:
        with mapped(host_name, otherwise=InstallFailed):
            found = _inspect(client, name)
    except RunnerError as failure:
        raise _named(reference, failure) from failure
    if found is None:
        raise InstallFailed(
            f"Docker on {host_name} pulled {reference}, but does not have it now. Somebody may "
            "have removed it meanwhile: try again."
        )
    image = PulledImage(
        id=str(found.get("Id", "")),
        digests=tuple(found.get("RepoDigests") or ()),
        size=int(found.get("Size") or 0),
        platform="/".join(
            filter(None, (found.get("Os"), found.get("Architecture"), found.get("Variant")))
        ),
        was_here="up to date" in ledger.closing,
    )
    if platform and platform.split("/")[:2] != image.platform.split("/")[:2]:
        raise ImageNotFound(
            f"{reference} is made for {image.platform}, not for {platform}. Choose another "
            "variant or platform."
        )
    return image


def _inspect(client: docker.APIClient, name: str) -> dict[str, Any] | None:
    try:
        return dict(client.inspect_image(name))  # type: ignore[no-untyped-call]
    except NoSuchImage:
        return None
