"""What a network does wrong on the way to a registry, in sentences with a way out."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator

import httpx

from hosts.oci.errors import NotARegistry, RegistryTlsFailed, RegistryUnreachable, Subject


@contextlib.contextmanager
def in_words(host: str, about: Subject, seconds: float) -> Iterator[None]:
    """Turn what httpx raises into RegistryUnreachable or NotARegistry; `host` was spoken to."""
    where = host if host == about.registry else f"{host}, which {about.registry} needs,"
    try:
        yield
    except httpx.TimeoutException as error:
        raise RegistryUnreachable(
            f"{where} did not answer in {seconds:g} s{about.purpose}. Check whether it is up, and "
            "the network and firewall between.",
            about=about,
            detail=str(error),
        ) from error
    except httpx.TransportError as error:
        raise _transport_failure(error, where, about) from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise NotARegistry(
            f"{where} does not speak HTTP as a registry does{about.purpose}. Check its address.",
            about=about,
            detail=str(error),
        ) from error


def _transport_failure(
    error: httpx.TransportError, where: str, about: Subject
) -> RegistryUnreachable | NotARegistry:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(cause, where, about)
    if isinstance(error, httpx.ProtocolError):
        return NotARegistry(
            f"{where} does not speak HTTP as a registry does{about.purpose}. Check its address "
            "and port.",
            about=about,
            detail=str(error),
        )
    why, way_out = "the connection broke off", "Try again; check the network between."
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            why = "its name is not known here"
            way_out = "Check the spelling, and whether this machine is online and its DNS works."
        elif isinstance(cause, ConnectionRefusedError):
            why, way_out = "nothing listens there", "Check whether it is up, and its port."
        elif isinstance(cause, OSError) and cause.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
            why, way_out = "there is no way to it", "Check the network of this machine."
    return RegistryUnreachable(
        f"{where} cannot be reached{about.purpose}: {why}. {way_out}",
        about=about,
        detail=str(error),
    )


def _tls_failure(cause: ssl.SSLError, where: str, about: Subject) -> RegistryTlsFailed:
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = f"its certificate is not valid here: {cause.verify_message}"
        way_out = (
            "Add the certificate of its issuer to this machine, or check the name and the clock."
        )
    else:
        why = "it does not speak TLS"
        way_out = "If it is a registry of your own without https, name it as insecure."
    return RegistryTlsFailed(
        f"There is no safe connection to {where.rstrip(',')}{about.purpose}: {why}. {way_out}",
        about=about,
        detail=str(cause),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
