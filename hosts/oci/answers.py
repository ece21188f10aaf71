"""What a registry's refusals mean. Codes: the OCI distribution spec, "Error Codes"."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from hosts.oci.errors import (
    AccessDenied,
    ImageMissing,
    LoginNeeded,
    LoginRefused,
    NotARegistry,
    RateLimited,
    RegistryBroken,
    RegistryError,
    RepositoryMissing,
    Subject,
    TagMissing,
)
from hosts.oci.limits import retry_after, waiting_words
from hosts.oci.web import Reply

LONGEST_DETAIL = 500


class _Fault(BaseModel):
    code: str = ""
    message: str = ""


class _Faults(BaseModel):
    errors: list[_Fault] = []


def refusal(reply: Reply, *, about: Subject, user: str = "") -> RegistryError:
    """What an answer other than a success means; `user` is who was logged in."""
    codes, detail = _codes(reply), _detail(reply)
    if reply.status == 429 or "TOOMANYREQUESTS" in codes:
        return _rate_limited(reply, about, user, detail)
    if reply.status == 401:
        return login_refused(about, user, detail) if user else login_needed(about, detail)
    if reply.status == 403:
        return _denied(about, user, detail)
    if reply.status == 404:
        return _missing(reply, codes, about, detail)
    if reply.status >= 500:
        return RegistryBroken(
            f"{about.registry} has a fault of its own (status {reply.status}){about.purpose}. "
            "Try again later; if it is yours, look at its log.",
            about=about,
            detail=detail,
        )
    if is_page(reply):
        return not_a_registry(about, detail)
    return RegistryBroken(
        f"{about.registry} answered with status {reply.status}{about.purpose}. "
        "Check the address of the registry and the name of the image.",
        about=about,
        detail=detail,
    )


def login_needed(about: Subject, detail: str = "") -> LoginNeeded:
    """Nobody is logged in, and that is not enough."""
    what = f"{about.registry} shows {about.image} only" if about.image else f"{about.registry} asks"
    rest = " to those who log in, or has no such image" if about.image else " for a login"
    return LoginNeeded(
        f"{what}{rest}. Check the name, or store a user name and password for {about.registry}.",
        about=about,
        detail=detail,
    )


def login_refused(about: Subject, user: str, detail: str = "") -> LoginRefused:
    """Somebody is logged in wrongly."""
    return LoginRefused(
        f"{about.registry} does not accept the user name {user} with this password"
        f"{about.purpose}. Check both; a password may have been changed or a token have expired.",
        about=about,
        detail=detail,
    )


def not_a_registry(about: Subject, detail: str = "") -> NotARegistry:
    """A page for people came instead of an answer for programs."""
    return NotARegistry(
        f"What answers as {about.registry} is not an image registry{about.purpose}. "
        "Check the address and the port; a login page of the network may be in between.",
        about=about,
        detail=detail,
    )


def is_page(reply: Reply) -> bool:
    """Whether this is a page for people."""
    return "html" in reply.media_type or reply.content[:200].lstrip().lower().startswith(
        (b"<!doctype", b"<html")
    )


def _rate_limited(reply: Reply, about: Subject, user: str, detail: str) -> RateLimited:
    wait = retry_after(reply.headers)
    way_out = "" if user else f", or store a login to {about.registry}, which may allow more"
    return RateLimited(
        f"{about.registry} has had enough requests from here{about.purpose}. "
        f"Wait {waiting_words(wait)}{way_out}.",
        about=about,
        retry_after=wait,
        detail=detail,
    )


def _denied(about: Subject, user: str, detail: str) -> RegistryError:
    if not user:
        return login_needed(about, detail)
    what = about.image or "anything"
    return AccessDenied(
        f"{about.registry} does not let {user} read {what}. Ask its owner for access, or store "
        "the login of another account.",
        about=about,
        detail=detail,
    )


def _missing(reply: Reply, codes: frozenset[str], about: Subject, detail: str) -> ImageMissing:
    repository, registry = about.repository, about.registry
    if "NAME_UNKNOWN" in codes or not about.version:
        return RepositoryMissing(
            f"{registry} has no image named {repository}. Check the spelling; a private one needs "
            f"a login to {registry}.",
            about=about,
            detail=detail,
        )
    if "MANIFEST_UNKNOWN" in codes:
        return TagMissing(
            f"{registry} has {repository}, but no version {about.version} of it. Check the tag; "
            "it may have been removed or never published.",
            about=about,
            detail=detail,
        )
    return ImageMissing(
        f"{registry} has no {about.image}. Check the name and the tag; a private image needs a "
        f"login to {registry}.",
        about=about,
        detail=detail,
    )


def _faults(reply: Reply) -> list[_Fault]:
    try:
        return _Faults.model_validate_json(reply.content).errors
    except ValidationError:
        return []


def _codes(reply: Reply) -> frozenset[str]:
    return frozenset(fault.code.upper() for fault in _faults(reply))


def _detail(reply: Reply) -> str:
    """The registry's own words, without signs that could disturb."""
    said = "; ".join(f"{fault.code}: {fault.message}" for fault in _faults(reply))
    if not said and not is_page(reply):
        said = reply.content[:LONGEST_DETAIL].decode(errors="replace")
    printable = "".join(sign if sign.isprintable() else " " for sign in said)
    return f"{reply.status} {printable[:LONGEST_DETAIL]}".strip()
