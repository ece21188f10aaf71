"""Asking an image registry: which digest a tag has, how large an image is, for which machines.

Source: the OCI distribution spec (github.com/opencontainers/distribution-spec/blob/main/spec.md).
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from hosts.oci.answers import is_page, login_refused, not_a_registry, refusal
from hosts.oci.auth import Authorizer, Credentials
from hosts.oci.errors import RegistryBroken, Subject
from hosts.oci.limits import RateLimit, rate_limit
from hosts.oci.manifests import (
    ACCEPT,
    Configuration,
    Index,
    Manifest,
    check_digest,
    read_configuration,
    read_document,
)
from hosts.oci.reference import DOCKER_HUB, ImageReference, is_digest
from hosts.oci.web import SECONDS, Reply, Web, is_loopback, joined

HUB_ADDRESS = "registry-1.docker.io"
DOCUMENT_LIMIT = 4_000_000
MOST_TAGS = 10_000
TAGS_PER_PAGE = 500
HEADLESS = frozenset({400, 404, 405, 501})
"""What a registry answers that does not know HEAD; some say 404 to it, so it is asked again."""
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*rel="?next"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Head:
    """What a tag stands for now; `is_unchanged` if it is still what the etag was sent for."""

    digest: str
    media_type: str = ""
    etag: str = ""
    is_unchanged: bool = False
    limit: RateLimit | None = None


class _TagsJson(BaseModel):
    tags: list[str] | None = Field(default=None, max_length=MOST_TAGS)


class Registry:
    """A client of one registry, such as `ghcr.io`; a context manager, safe in several threads.

    http is spoken with this machine itself and with a registry that is `is_insecure`, https with
    all others. `address` is asked in place of `name`: a mirror, as a host or as a URL. Every
    method raises RegistryError.
    """

    def __init__(
        self,
        name: str,
        *,
        credentials: Credentials | None = None,
        is_insecure: bool = False,
        address: str = "",
        seconds: float = SECONDS,
        connections: int = 4,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        root = _root_of(address or (HUB_ADDRESS if name == DOCKER_HUB else name), is_insecure)
        is_plain = root.startswith("http://")
        self._root = root
        self._web = Web(seconds=seconds, connections=connections, tls=tls)
        self._authorizer = Authorizer(self._web, credentials=credentials, is_plain=is_plain)
        self._lock = threading.Lock()
        self._is_known = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def ping(self, *, about: Subject | None = None) -> None:
        """Ask whether a registry is there, and what it wants of those who ask it things."""
        subject = about or Subject(self.name)
        reply = self._web.ask("GET", self._root, about=subject, headers={}, limit=DOCUMENT_LIMIT)
        if reply.status == 401:
            self._learn(reply, subject)
        elif reply.status == 404 or (reply.status == 200 and is_page(reply)):
            raise not_a_registry(subject)
        elif reply.status != 200:
            raise refusal(reply, about=subject, user=self._authorizer.user)
        self._is_known = True

    def check_login(self) -> bool:
        """Show the credentials; False if the registry asks for none, so that they stay unproved.

        Raises LoginRefused for wrong ones.
        """
        about = Subject(self.name)
        self.ping()
        headers = self._authorizer.header("", about=about)
        if not headers:
            return False
        reply = self._web.ask("GET", self._root, about=about, headers=headers, limit=DOCUMENT_LIMIT)
        if reply.status != 200:
            raise refusal(reply, about=about, user=self._authorizer.user)
        return True

    def head(self, reference: ImageReference, *, etag: str = "") -> Head:
        """Which digest the reference has now: one request that does not count as a pull.

        `etag` is that of an earlier answer.
        """
        about = Subject.of(reference)
        reply = self._ask("HEAD", _manifest_path(reference), about, _conditions(etag))
        digest = reply.headers.get("docker-content-digest", "")
        limit = rate_limit(reply.headers)
        if reply.status == 304:
            return Head(digest or etag.strip('W/"'), "", etag, True, limit)
        if reply.status in HEADLESS or (reply.status == 200 and not is_digest(digest)):
            document = self.document(reference)
            return Head(document.digest, document.media_type, document.etag)
        if reply.status != 200:
            raise refusal(reply, about=about, user=self._authorizer.user)
        return Head(digest, reply.media_type, _etag(reply), False, limit)

    def document(self, reference: ImageReference) -> Manifest | Index:
        """The manifest or index that the reference names."""
        found = self.changed_document(reference)
        if found is None:  # a status that nothing was sent for
            raise RegistryBroken(
                f"{self.name} says that {reference.repository} is unchanged without having been "
                "asked. A proxy in between may answer for it; check its settings.",
                about=Subject.of(reference),
            )
        return found

    def changed_document(
        self, reference: ImageReference, *, etag: str = ""
    ) -> Manifest | Index | None:
        """The manifest or index, or None if it is the one of this etag."""
        about = Subject.of(reference)
        reply = self._ask("GET", _manifest_path(reference), about, _conditions(etag))
        if reply.status == 304:
            return None
        if reply.status != 200:
            raise refusal(reply, about=about, user=self._authorizer.user)
        if is_page(reply):
            raise not_a_registry(about)
        stated = reply.headers.get("docker-content-digest", "")
        for expected in (reference.digest, stated):
            check_digest(reply.content, expected, about=about)
        return read_document(
            reply.content, media_type=reply.media_type, etag=_etag(reply), about=about
        )

    def configuration(self, reference: ImageReference, digest: str) -> Configuration:
        """What the image says of itself; `digest` is that of its configuration."""
        about = Subject.of(reference)
        reply = self._ask("GET", f"{reference.repository}/blobs/{digest}", about, {})
        if reply.status == 404:
            raise RegistryBroken(
                f"{self.name} has {about.image} only in part: its description is missing. "
                "Ask its maker to publish it again.",
                about=about,
            )
        if reply.status != 200:
            raise refusal(reply, about=about, user=self._authorizer.user)
        check_digest(reply.content, digest, about=about)
        return read_configuration(reply.content, about=about)

    def tail(self, reference: ImageReference, digest: str, *, count: int) -> bytes | None:
        """The last `count` bytes of a blob; None if the registry does not give parts."""
        path = f"{reference.repository}/blobs/{digest}"
        reply = self._ask("GET", path, Subject.of(reference), {"Range": f"bytes=-{count}"})
        return reply.content if reply.status == 206 and len(reply.content) == count else None

    def tags(self, repository: str) -> tuple[str, ...]:
        """The names of all versions, as the registry orders them; at most MOST_TAGS."""
        about = Subject(self.name, repository)
        url = f"{self._root}{repository}/tags/list?n={TAGS_PER_PAGE}"
        found: dict[str, None] = {}
        for _ in range(MOST_TAGS // TAGS_PER_PAGE):
            reply = self._ask_at("GET", url, about, {})
            if reply.status != 200:
                raise refusal(reply, about=about, user=self._authorizer.user)
            known = len(found)
            found.update(dict.fromkeys(_read_tags(reply, about)))
            following = _NEXT.search(reply.headers.get("link", ""))
            if not following or len(found) == known:
                break
            url = joined(reply.url, following[1])
            if not url.startswith(self._root):
                break
        return tuple(found)[:MOST_TAGS]

    def _ask(self, method: str, path: str, about: Subject, headers: Mapping[str, str]) -> Reply:
        return self._ask_at(method, f"{self._root}{path}", about, headers)

    def _ask_at(self, method: str, url: str, about: Subject, headers: Mapping[str, str]) -> Reply:
        """Ask with what the registry wants to see; once more if it wants something else."""
        with self._lock:
            if not self._is_known:
                self.ping(about=about)
        scope = f"repository:{about.repository}:pull"
        reply = self._send(method, url, about, headers, scope)
        if reply.status != 401:
            return reply
        if reply.url.startswith(self._root):
            self._learn(reply, about)
            self._authorizer.forget(scope)
        elif self._authorizer.user:
            return reply
        else:  # a gateway such as lscr.io: the token that anybody gets is good where it leads
            url = reply.url
        return self._send(method, url, about, headers, scope)

    def _send(
        self, method: str, url: str, about: Subject, headers: Mapping[str, str], scope: str
    ) -> Reply:
        login = self._authorizer.header(scope, about=about)
        return self._web.ask(
            method, url, about=about, headers={**headers, **login}, limit=DOCUMENT_LIMIT
        )

    def _learn(self, reply: Reply, about: Subject) -> None:
        if not reply.url.startswith(self._root):
            # Only the registry itself may say where its logins are shown.
            raise refusal(reply, about=about)
        header = reply.headers.get("www-authenticate", "")
        if not header and is_page(reply):
            raise not_a_registry(about)
        self._authorizer.learn(header, about=about)


def check_login(name: str, user: str, password: str, *, is_insecure: bool = False) -> bool:
    """Whether a registry accepts a user name and password. Raises RegistryError where not.

    False means that it lets anybody in and has not looked at them.
    """
    about = Subject(name)
    if not user or ":" in user or not (user + password).isprintable():
        raise login_refused(about, user or "(none)", "a user name has no colon")
    credentials = Credentials(user, password)
    with Registry(name, credentials=credentials, is_insecure=is_insecure) as registry:
        return registry.check_login()


def _root_of(address: str, is_insecure: bool) -> str:
    if "://" not in address:
        host = urlsplit(f"//{address}").hostname or ""
        address = f"{'http' if is_insecure or is_loopback(host) else 'https'}://{address}"
    return f"{address.rstrip('/')}/v2/"


def _manifest_path(reference: ImageReference) -> str:
    return f"{reference.repository}/manifests/{reference.version}"


def _conditions(etag: str) -> dict[str, str]:
    return {"Accept": ACCEPT, **({"If-None-Match": etag} if etag else {})}


def _etag(reply: Reply) -> str:
    return reply.headers.get("etag", "")[:300]


def _read_tags(reply: Reply, about: Subject) -> list[str]:
    try:
        return _TagsJson.model_validate_json(reply.content).tags or []
    except ValidationError as error:
        raise RegistryBroken(
            f"{about.registry} lists the versions of {about.repository} in a way that abm cannot "
            "read. Check the address of the registry.",
            about=about,
        ) from error
