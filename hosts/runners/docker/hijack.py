"""A connection to the daemon that stops being HTTP: what `exec` makes of it.

docker-py reads the head of the answer through a buffer that may swallow the first bytes behind it,
and hands out another kind of object for each transport; here the head is read by hand, and the
socket is given out with whatever came after it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from email.parser import BytesParser
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError
from urllib3.connection import HTTPConnection

from hosts.runners.base import HostNotReady

CONNECT_SECONDS = 10.0
CHUNK_BYTES = HEAD_BYTES = 2**16


def hijacked(client: docker.APIClient, path: str, body: Mapping[str, object]) -> tuple[Any, bytes]:
    """POST `path` (without the API's version): a socket that does not block, and its first bytes.

    Raises APIError for a no, HostNotReady over a pipe of Windows, and what the layers below raise.
    """
    target = f"/v{client.api_version}{path}"
    url = f"{client.base_url}{target}"
    connection = _new_connection(client, url)
    connection.connect()
    wire: Any = connection.sock
    if not hasattr(wire, "fileno"):
        wire.close()
        raise HostNotReady(
            "Programs in containers cannot be spoken to over a pipe of Windows yet. Let Docker "
            "Desktop listen on tcp://localhost:2375 too (Settings, General) and set DOCKER_HOST to "
            "that."
        )
    content = json.dumps(body).encode()
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {urlsplit(url).netloc or 'docker'}\r\n"
        "User-Agent: abm\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with contextlib.ExitStack() as unless_it_works:
        unless_it_works.callback(wire.close)
        wire.sendall(head.encode() + content)
        begun = _after_head(wire)
        wire.setblocking(False)
        unless_it_works.pop_all()
    return wire, begun


def _new_connection(client: docker.APIClient, url: str) -> HTTPConnection:
    """A connection of its own, made as the client makes its own."""
    request = requests.Request("POST", url).prepare()
    adapter: Any = client.get_adapter(url)
    pool = adapter.get_connection_with_tls_context(request, verify=client.verify, cert=client.cert)
    connection: HTTPConnection = pool._new_conn()
    connection.timeout = CONNECT_SECONDS
    return connection


def _after_head(wire: Any) -> bytes:
    """What follows the head of the daemon's answer. Raises APIError with its words for a no."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        chunk = wire.recv(CHUNK_BYTES)
        if not chunk or len(answer) > HEAD_BYTES:
            raise ConnectionError("The daemon did not answer as Docker does.")
        answer += chunk
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, _, fields = head.partition(b"\r\n")
    status = first.split(b" ")[1:2]
    if status and status[0] in {b"101", b"200"}:
        return rest
    length = BytesParser().parsebytes(fields, headersonly=True).get("Content-Length", "0")
    while len(rest) < min(int(length), HEAD_BYTES) and (chunk := wire.recv(CHUNK_BYTES)):
        rest += chunk
    said = rest.decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError):
        said = str(json.loads(said).get("message") or said)
    raise APIError(said, explanation=said)
