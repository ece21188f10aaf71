"""What docker-py raises, put in words once: every call of it stands in `mapped`.

The raw text stays below the sentence, as `detail`.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import requests
from docker.errors import APIError, DockerException, StreamParseError, TLSParameterError
from urllib3.exceptions import HTTPError as WireError
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as WireTimeout

from hosts.runners.base import DiskFull, HostNotReady, HostUnreachable, RunnerError
from hosts.runners.docker.sayings import SAYINGS, UNNAMED

FOREIGN = (DockerException, requests.RequestException, WireError, HTTPException, OSError)
"""What docker-py lets through: its own errors, and those of the three layers below it."""

BROKEN = (ConnectionError, WireError, HTTPException, requests.RequestException)
"""What says that a connection ended, also where the system gave no number for it."""

UNREADABLE = (StreamParseError, ValueError, KeyError, TypeError, AttributeError)
"""What comes of an answer that is not in the shape of Docker's."""


def explain(
    text: str, *, host_name: str, otherwise: type[RunnerError] = RunnerError
) -> RunnerError:
    """What a text of the daemon means; of the kind `otherwise` where abm does not know it."""
    for saying in SAYINGS:
        found = re.search(saying.pattern, text, re.IGNORECASE)
        if found:
            said = {key: value.strip("\"'.,:") for key, value in found.groupdict().items() if value}
            said["port"] = said.get("port") or said.get("other", "")
            words = saying.sentence.format_map(UNNAMED | said | {"host": host_name})
            return saying.kind(_begun(words), detail=text)
    return otherwise(
        f"Docker on {host_name} could not do this. What it said stands below.", detail=text
    )


def _begun(words: str) -> str:
    """A sentence begins large, but not with the name of a host or image."""
    return "T" + words[1:] if words.startswith("this ") else words


@contextmanager
def mapped(host_name: str, *, otherwise: type[RunnerError] = RunnerError) -> Iterator[None]:
    """Raise what docker-py and the layers below it raise as a RunnerError with a sentence."""
    try:
        yield
    except FOREIGN as error:
        raise translated(error, host_name=host_name, otherwise=otherwise) from error


def translated(
    error: BaseException, *, host_name: str, otherwise: type[RunnerError] = RunnerError
) -> RunnerError:
    """The RunnerError for what docker-py raised."""
    if isinstance(error, APIError):
        text = str(error.explanation or error)
        return explain(text, host_name=host_name, otherwise=otherwise)
    detail = str(error)
    if isinstance(error, TLSParameterError):
        return HostNotReady(
            f"The TLS files for Docker on {host_name} cannot be used. Check DOCKER_CERT_PATH.",
            detail=detail,
        )
    if isinstance(error, UNREADABLE):
        return HostUnreachable(
            f"What answers on {host_name} is not Docker. Check its address.", detail=detail
        )
    return _of_connection(error, host_name)


def _of_connection(error: BaseException, host_name: str) -> RunnerError:
    """What a broken connection to the daemon itself means."""
    detail, number = str(error), errno_of(error)
    if number in {errno.EACCES, errno.EPERM}:
        return HostNotReady(
            f"abm may not use Docker on {host_name}. Give its user the right to Docker's socket.",
            detail=detail,
        )
    if number == errno.ENOSPC:
        return DiskFull(f"The disk of {host_name} is full. Free some space.", detail=detail)
    if number in {errno.ENOENT, errno.ECONNREFUSED}:
        words = f"Docker on {host_name} is not running. Start it and try again."
    elif is_timeout(error):
        words = f"Docker on {host_name} did not answer in time. It may be busy or hang."
    elif is_name_unknown(error):
        words = f"The name of {host_name} is not known in the network. Check its address."
    elif any(isinstance(inner, ssl.SSLError) for inner in _layers(error)):
        words = f"Docker on {host_name} and abm do not trust each other's TLS certificates."
        return HostNotReady(f"{words} Check the files in DOCKER_CERT_PATH.", detail=detail)
    elif number or isinstance(error, BROKEN):
        words = (
            f"The connection to Docker on {host_name} broke. It was stopped or restarted, or the "
            "network failed. Try again when it runs."
        )
    else:
        words = f"Docker on {host_name} cannot be reached. Check its address."
    return HostUnreachable(words, detail=detail)


def errno_of(error: BaseException) -> int | None:
    """The number of the system's error below all that was wrapped around it.

    TLS and name look-up count in numbers of their own, which mean something else here.
    """
    for inner in _layers(error):
        if isinstance(inner, ssl.SSLError | socket.gaierror):
            return None
        if isinstance(inner, OSError) and inner.errno:
            return inner.errno
    return None


def is_name_unknown(error: BaseException) -> bool:
    """Whether the machine's name was looked up in vain."""
    return any(isinstance(inner, socket.gaierror) for inner in _layers(error))


def is_timeout(error: BaseException) -> bool:
    """Whether somebody was waited for in vain."""
    kinds = (TimeoutError, WireTimeout, requests.Timeout)
    return any(
        # urllib3 derives every failure to connect from its timeout.
        isinstance(inner, kinds) and not isinstance(inner, NewConnectionError)
        for inner in _layers(error)
    )


def _layers(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made of: docker-py, requests, urllib3, http, socket."""
    waiting, seen = [error], set[int]()
    while waiting:
        inner = waiting.pop(0)
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        yield inner
        below = (*inner.args, inner.__cause__, inner.__context__, getattr(inner, "reason", None))
        waiting += [item for item in below if isinstance(item, BaseException)]
