"""Building an image on a host: from a folder or repository to an image, as progress.

The classic builder of Docker's API does it (`POST /build`, version 1), which every daemon has. What
it would do unseen is done before: base images are pulled with a bar of their own, and where an
image of the same content is on the host already, it is taken instead.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import docker
import humanize
from docker import auth as logins_of_docker

from hosts.oci.reference import DOCKER_HUB, BadReference, ImageReference
from hosts.runners.base import InstallFailed, Progress, RunnerError
from hosts.runners.docker.build_context import (
    MOST_BYTES,
    BuildContext,
    read_context,
)
from hosts.runners.docker.build_output import BuildOutput, explained
from hosts.runners.docker.build_source import BuildSource, dockerfile_of, folder_below
from hosts.runners.docker.dockerfile import base_images
from hosts.runners.docker.errors import mapped
from hosts.runners.docker.git_source import PROTOCOLS, fetch
from hosts.runners.docker.images import inspect_image, platform_of
from hosts.runners.docker.pull import THIS_MACHINE, error_in, pull
from hosts.runners.docker.sending import Sending, conversation
from hosts.runners.docker.stream import DaemonStream
from jobs.outcome import CancelToken

BUILD_STEPS: Mapping[str, tuple[str, float]] = {
    "fetch": ("Fetch the repository", 0.1),
    "context": ("Read and send the files", 0.1),
    "base": ("Pull the base image", 0.2),
    "build": ("Build the image", 0.6),
}
"""Step key -> (title, share of the whole); a folder has no first, and a base may be there."""
HASH_LABEL = "abm.build.hash"
COMMIT_LABEL = "abm.build.commit"
HEARTBEAT_SECONDS = 0.5
HUB_IN_LOGINS = "https://index.docker.io/v1/"

log = logging.getLogger(__name__)
Login = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """The image that a build ended with."""

    id: str
    digest: str
    """Of all that it was built from: see BuildContext.digest."""
    size: int
    """Bytes unpacked."""
    platform: str
    commit: str
    """Of the repository; empty for a folder."""
    was_here: bool
    """Nothing had changed, so nothing was built."""


def build(
    client: docker.APIClient,
    source: BuildSource,
    tag: ImageReference,
    *,
    cancel: CancelToken,
    workspace: Path,
    logins: Mapping[str, Login] | None = None,
    protocols: Collection[str] = PROTOCOLS,
    most_bytes: int = MOST_BYTES,
    host_name: str = THIS_MACHINE,
) -> Generator[Progress, None, BuiltImage]:
    """Build `source` and call it `tag`; steps are those of BUILD_STEPS.

    Repositories are fetched to `workspace` and removed again. `logins` holds `username` and
    `password` by registry, for base images. Raises RunnerError with the step that failed and the
    way out, and Cancelled moments after `cancel`: then nothing runs on, and the next build goes on
    from the steps that were finished.
    """
    cancel.check()
    if tag.digest:
        raise InstallFailed("A new image cannot be given a digest. Name it as repository:tag.")
    work = _Build(client, source, tag, cancel, logins or {}, host_name)
    if isinstance(source.root, Path):
        return (yield from work.run(source.root, most_bytes=most_bytes))
    checkout = yield from fetch(source.root, workspace, cancel=cancel, protocols=protocols)
    try:
        work = replace(work, commit=checkout.commit)
        return (yield from work.run(checkout.folder, most_bytes=most_bytes))
    finally:
        shutil.rmtree(checkout.folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Build:
    """One build on its way."""

    client: docker.APIClient
    source: BuildSource
    tag: ImageReference
    cancel: CancelToken
    logins: Mapping[str, Login]
    host_name: str
    commit: str = ""
    output: BuildOutput = field(default_factory=BuildOutput)

    def run(self, root: Path, *, most_bytes: int) -> Generator[Progress, None, BuiltImage]:
        folder = folder_below(root, self.source.sub_folder)
        dockerfile = dockerfile_of(root, folder, self.source.dockerfile)
        yield Progress("context", fraction=0.0)
        look = self.cancel.check
        context = read_context(folder, dockerfile, most_bytes=most_bytes, look=look)
        words = f"{context.files:,} files, {humanize.naturalsize(context.size)}"
        yield Progress("context", line=f"The build's context has {words}.")
        bases = yield from self._bases(context)
        digest = context.digest(self.source, bases=bases, look=look)
        if not self.source.is_fresh and (image := self._built_before(digest)):
            yield Progress("build", line=self._unchanged(), fraction=1.0)
            return replace(image, digest=digest, commit=self.commit, was_here=True)
        yield from self._built(context, digest)
        image = self._inspected(self.output.image_id)
        size = humanize.naturalsize(image.size)
        yield Progress("build", line=f"{self.tag} is built: {size} unpacked.", fraction=1.0)
        return replace(image, digest=digest, commit=self.commit)

    def _bases(self, context: BuildContext) -> Generator[Progress, None, dict[str, str]]:
        """Pull the base images that are not there; name -> id of all whose name is known."""
        names = base_images(context.dockerfile_text, self.source.build_args)
        found = dict[str, str]()
        for number, name in enumerate(names):
            try:
                reference = ImageReference.parse(name)
            except BadReference:
                continue  # the builder says so better: it knows the line
            image = None if self.source.renews_base else self._base_here(reference)
            if image is None:
                yield from self._pulled(reference, done=number / len(names), part=1 / len(names))
                image = self._base_here(reference)
            found[name] = image or ""
        yield Progress("base", fraction=1.0)
        return found

    def _base_here(self, reference: ImageReference) -> str | None:
        """The id of a base image that is on the host and of the wanted platform."""
        with mapped(self.host_name, otherwise=InstallFailed):
            image = inspect_image(self.client, reference.canonical)
        wanted = self.source.platform.split("/")[:2]
        if image is None or (wanted != [""] and platform_of(image).split("/")[:2] != wanted):
            return None
        return str(image["Id"])

    def _pulled(self, reference: ImageReference, *, done: float, part: float) -> Iterator[Progress]:
        steps = pull(
            self.client,
            reference,
            cancel=self.cancel,
            platform=self.source.platform,
            auth=self.logins.get(reference.registry),
            host_name=self.host_name,
            step="base",
        )
        try:
            for progress in steps:
                yield replace(progress, fraction=done + part * (progress.fraction or 0))
        except RunnerError as failure:
            words = f"The base image {failure.message}"
            raise type(failure)(words, detail=failure.detail) from failure

    def _built_before(self, digest: str) -> BuiltImage | None:
        """An image of the same content, which is given the tag."""
        with mapped(self.host_name, otherwise=InstallFailed):
            label = f"{HASH_LABEL}={digest}"
            rows = self.client.images(filters={"label": label})
            if not rows:
                return None
            image = str(rows[0]["Id"])
            self.client.tag(image, self.tag.name, self.tag.tag)
        return self._inspected(image)

    def _unchanged(self) -> str:
        return (
            f"Nothing has changed since this image was built, so it is taken as {self.tag}. Build "
            "without cache to build it all the same."
        )

    def _built(self, context: BuildContext, digest: str) -> Iterator[Progress]:
        sending = Sending(context.tar())
        request = DaemonStream(
            self.client,
            "/build",
            params=self._params(context, digest),
            headers={"Content-Type": "application/x-tar", **self._login_headers()},
            body=sending,
        )
        with conversation(
            request,
            cancel=self.cancel,
            refused=lambda said: explained(said, self.output, host_name=self.host_name),
            host_name=self.host_name,
            sending=sending,
        ):
            yield from self._follow(request, sending, context.tar_size)

    def _follow(self, stream: DaemonStream, sending: Sending, total: int) -> Iterator[Progress]:
        heard_at = time.monotonic()
        for line in stream.lines(every=HEARTBEAT_SECONDS):
            if line is None:
                yield self._silence(sending, total, since=heard_at)
                continue
            heard_at = time.monotonic()
            if said := error_in(line):
                raise explained(said, self.output, host_name=self.host_name)
            for words in self.output.feed(line):
                yield Progress("build", line=words, fraction=self.output.fraction)
        for words in self.output.finish():
            yield Progress("build", line=words, fraction=self.output.fraction)

    def _silence(self, sending: Sending, total: int, *, since: float) -> Progress:
        """What there is to tell when the builder says nothing."""
        if self.output.count == 0 and sending.sent < total:
            done = min(sending.sent, total)
            return Progress("context", fraction=done / total, bytes_done=done, bytes_total=total)
        silent = time.monotonic() - since
        return Progress("build", fraction=self.output.fraction, stalled_for=silent)

    def _params(self, context: BuildContext, digest: str) -> dict[str, str]:
        labels = {**self.source.labels, HASH_LABEL: digest}
        if self.commit:
            labels[COMMIT_LABEL] = self.commit
        chosen = {
            "platform": self.source.platform,
            "target": self.source.stage,
            "networkmode": self.source.network,
            "nocache": "1" if self.source.is_fresh else "",
        }
        return {
            "version": "1",
            "t": self.tag.canonical,
            "dockerfile": context.dockerfile,
            "rm": "1",
            "forcerm": "1",
            "labels": json.dumps(labels),
            "buildargs": json.dumps(dict(self.source.build_args)),
            **{name: value for name, value in chosen.items() if value},
        }

    def _login_headers(self) -> dict[str, str]:
        """For images that only the builder can name."""
        if not self.logins:
            return {}
        named = {
            HUB_IN_LOGINS if registry == DOCKER_HUB else registry: dict(login)
            for registry, login in self.logins.items()
        }
        return {"X-Registry-Config": logins_of_docker.encode_header(named).decode()}

    def _inspected(self, name: str) -> BuiltImage:
        with mapped(self.host_name, otherwise=InstallFailed):
            image = inspect_image(self.client, name) if name else None
        if image is None:
            raise InstallFailed(
                f"Docker on {self.host_name} built {self.tag}, but does not have it now. Somebody "
                "may have removed it meanwhile: build again."
            )
        size = int(image.get("Size") or 0)
        return BuiltImage(str(image["Id"]), "", size, platform_of(image), "", was_here=False)
