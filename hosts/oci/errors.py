"""How a question to a registry fails.

RegistryError
 +- RegistryUnreachable    no answer: no name, no route, refused, too slow
 |   +- RegistryTlsFailed  it answers, but not under a certificate that this machine trusts
 +- NotARegistry           something else answers there
 +- RegistryBroken         it is a registry, and it failed or sent what cannot be
 |   +- WrongDigest        the content is not what its digest says
 +- ImageMissing           it has no such image
 |   +- RepositoryMissing  the repository is not there, or not for this login
 |   +- TagMissing         the repository is there, this version of it is not
 |   +- PlatformMissing    the version is there, but not for this kind of machine
 +- LoginNeeded            nobody is logged in and it answers nobody
 |   +- LoginRefused       user name or password are wrong
 +- AccessDenied           the login is right but may not read this
 +- RateLimited            too many requests; `retry_after` says how long to wait
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hosts.oci.reference import ImageReference
from jobs.outcome import WorkFailed


@dataclass(frozen=True, slots=True)
class Subject:
    """What was asked for, for sentences: a registry, and an image of it if one is meant."""

    registry: str
    repository: str = ""
    version: str = ""

    @classmethod
    def of(cls, reference: ImageReference) -> Self:
        return cls(reference.registry, reference.repository, reference.version)

    @property
    def image(self) -> str:
        """The image without its registry, such as `owner/name:tag`; empty if none is meant."""
        if not self.version:
            return self.repository
        return f"{self.repository}{'@' if ':' in self.version else ':'}{self.version}"

    @property
    def purpose(self) -> str:
        """` for owner/name:tag`, or nothing."""
        return f" for {self.image}" if self.image else ""


class RegistryError(WorkFailed):
    """A registry did not give what it was asked for; the tree above says why."""

    code = "REGISTRY_FAILED"

    def __init__(self, message: str, *, about: Subject, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.about = about


class RegistryUnreachable(RegistryError):
    """Nothing answers in time under this name."""

    code = "REGISTRY_UNREACHABLE"


class RegistryTlsFailed(RegistryUnreachable):
    """There is no connection that this machine trusts."""

    code = "REGISTRY_TLS_FAILED"


class NotARegistry(RegistryError):
    """Something answers, but it does not speak as a registry does."""

    code = "NOT_A_REGISTRY"


class RegistryBroken(RegistryError):
    """The registry failed, or sent what makes no sense."""

    code = "REGISTRY_BROKEN"


class WrongDigest(RegistryBroken):
    """The content that came is not the content that its digest names."""

    code = "WRONG_DIGEST"


class ImageMissing(RegistryError):
    """The registry has no such image."""

    code = "IMAGE_NOT_FOUND"


class RepositoryMissing(ImageMissing):
    """The registry has no repository of this name, or hides it."""

    code = "REPOSITORY_NOT_FOUND"


class TagMissing(ImageMissing):
    """The repository has no such tag or digest."""

    code = "TAG_NOT_FOUND"


class PlatformMissing(ImageMissing):
    """The image is not made for this kind of machine."""

    code = "PLATFORM_NOT_FOUND"


class LoginNeeded(RegistryError):
    """The registry answers only to those who log in."""

    code = "REGISTRY_LOGIN_NEEDED"


class LoginRefused(LoginNeeded):
    """The registry does not accept this user name and password."""

    code = "REGISTRY_LOGIN_REFUSED"


class AccessDenied(RegistryError):
    """The registry knows who asks and says no."""

    code = "REGISTRY_ACCESS_DENIED"


class RateLimited(RegistryError):
    """The registry wants to be left alone for `retry_after` seconds; None if it did not say."""

    code = "REGISTRY_RATE_LIMITED"

    def __init__(
        self, message: str, *, about: Subject, retry_after: float | None, detail: str = ""
    ) -> None:
        super().__init__(message, about=about, detail=detail)
        self.retry_after = retry_after
