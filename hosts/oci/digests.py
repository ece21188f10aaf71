"""Whether an image on a host is the one that its name stands for in the registry now.

One tag has several digests: that of its index, that of the manifest for each kind of machine, and
that of each manifest's configuration. Which of them a daemon keeps depends on how the image
came and on its store, so all are compared, and each only with images of the same repository.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hosts.oci.manifests import Child
from hosts.oci.platforms import Platform, best
from hosts.oci.reference import BadReference, ImageReference


class Verdict(StrEnum):
    """Whether there is something newer."""

    CURRENT = "current"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """What a verdict stands on."""

    SAME_INDEX_OR_MANIFEST = "same_digest"
    SAME_CHILD = "same_child"
    SAME_CONTENT = "same_content"
    OTHER_DIGEST = "other_digest"
    NOT_PULLED = "not_pulled"
    OTHER_REPOSITORY = "other_repository"
    INDEX_NOT_READ = "index_not_read"
    PLATFORM_GONE = "platform_gone"
    NEVER_ASKED = "never_asked"


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image as a daemon has it: `RepoDigests`, `Id`, `Os`, `Architecture`, `Variant`."""

    repo_digests: tuple[str, ...] = ()
    id: str = ""
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """What a name stands for in the registry: an index or one manifest."""

    digest: str
    is_index: bool = False
    children: tuple[Child, ...] | None = None
    """What the index names; None if it was not read."""
    config_digest: str = ""
    """Of the one manifest, where it was read."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, in a sentence, what it stands on."""

    verdict: Verdict
    reason: Reason
    sentence: str


def judge(reference: ImageReference, local: LocalImage, remote: RemoteImage | None) -> Judgement:
    """Compare what a host has with what the registry has; None is a registry not asked yet."""
    if remote is None:
        return _unknown(
            Reason.NEVER_ASKED, f"{reference.registry} has not said yet which {reference} is new."
        )
    own = own_digests(reference, local.repo_digests)
    same = _sameness(local, own, remote)
    if same is not None:
        return Judgement(
            Verdict.CURRENT, same, f"This is what {reference} stands for in the registry."
        )
    if not own:
        return _not_comparable(reference, local)
    if remote.is_index and remote.children is None:
        return _unknown(
            Reason.INDEX_NOT_READ,
            f"{reference} stands for several kinds of machine now, and the one for this host was "
            "not compared yet. Check again.",
        )
    if remote.children and local.platform and not _child_for(local.platform, remote.children):
        return _unknown(
            Reason.PLATFORM_GONE,
            f"{reference} has changed, but is not made for {local.platform} any more. Keep what "
            "is here, or choose another variant.",
        )
    return Judgement(
        Verdict.OUTDATED, Reason.OTHER_DIGEST, f"There is a newer {reference} in the registry."
    )


def own_digests(reference: ImageReference, repo_digests: Iterable[str]) -> frozenset[str]:
    """The digests under which the image came from this repository, however it is spelled."""
    found = set()
    for text in repo_digests:
        try:
            one = ImageReference.parse(text)
        except BadReference:
            continue  # "<none>@<none>", as daemons write it
        if one.digest and one.name == reference.name:
            found.add(one.digest)
    return frozenset(found)


def _sameness(local: LocalImage, own: frozenset[str], remote: RemoteImage) -> Reason | None:
    """By which of its digests the image is the one in the registry; None if by none."""
    if remote.digest in own:
        return Reason.SAME_INDEX_OR_MANIFEST
    # The id is the configuration's digest in the classic store, the image's own in containerd's.
    if local.id and local.id in {remote.digest, remote.config_digest}:
        return Reason.SAME_CONTENT
    children = remote.children or ()
    if local.platform is None:
        candidates = {child.digest for child in children}
    else:
        child = _child_for(local.platform, children)
        candidates = {child.digest} if child else set()
    if candidates & own:
        return Reason.SAME_CHILD
    return Reason.SAME_CONTENT if local.id in candidates else None


def _child_for(platform: Platform, children: Iterable[Child]) -> Child | None:
    """The entry of an index that a pull for this platform would bring."""
    known = [child for child in children if child.platform is not None]
    chosen = best([child.platform for child in known if child.platform], platform)
    return next((child for child in known if child.platform == chosen), None)


def _not_comparable(reference: ImageReference, local: LocalImage) -> Judgement:
    others = sorted(_names(local.repo_digests))
    if others:
        return _unknown(
            Reason.OTHER_REPOSITORY,
            f"This image came from {others[0]}, not from {reference.name}, so the two cannot be "
            f"compared. Install {reference} to follow it.",
        )
    return _unknown(
        Reason.NOT_PULLED,
        "This image was built here or loaded from a file, so no registry can say whether it is "
        f"new. Install {reference} from its registry to follow it.",
    )


def _names(repo_digests: Iterable[str]) -> set[str]:
    found = set()
    for text in repo_digests:
        try:
            found.add(ImageReference.parse(text).name)
        except BadReference:
            continue
    return found


def _unknown(reason: Reason, sentence: str) -> Judgement:
    return Judgement(Verdict.UNKNOWN, reason, sentence)
