"""What registries and what stands before them do wrong, each told in a sentence with a way out.

A small web server plays them; it really stalls, drips, redirects and speaks TLS.
"""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from hosts.oci import registry as registry_module
from hosts.oci.auth import Credentials
from hosts.oci.errors import (
    AccessDenied,
    ImageMissing,
    LoginNeeded,
    NotARegistry,
    RateLimited,
    RegistryBroken,
    RegistryError,
    RegistryUnreachable,
    TagMissing,
    WrongDigest,
)
from hosts.oci.limits import RateLimit, rate_limit, retry_after
from hosts.oci.manifests import OCI_MANIFEST
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from tests.bundled.running import free_port
from tests.hosts.oci_played import (
    DIGEST,
    GOOD,
    MANIFEST,
    OF_MANIFEST,
    PAGE,
    SECONDS,
    failure_of,
    image_at,
    registry_that,
)
from tests.hosts.oci_registry import digest
from tests.hosts.oci_server import Asked, Told, small_server

LATE = 2.0
"""A question of 0.6 s must be over by then, on a busy machine too."""


def faults(code: str, message: str = "as it says") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        (Told(404, faults("MANIFEST_UNKNOWN")), TagMissing, "no version 1"),
        (Told(404, faults("NAME_UNKNOWN")), ImageMissing, "no image named lab/x"),
        (Told(404), ImageMissing, "has no lab/x:1"),
        (Told(403, faults("DENIED")), LoginNeeded, "log in"),
        (Told(429, faults("TOOMANYREQUESTS")), RateLimited, "enough requests"),
        (Told(500, b"oops"), RegistryBroken, "status 500"),
        (Told(503), RegistryBroken, "status 503"),
        (Told(418), RegistryBroken, "status 418"),
        (PAGE, NotARegistry, "not an image registry"),
        (Told(200, b"{}"), RegistryBroken, "cannot read"),
        (Told(200, b"[" * 100_000), RegistryBroken, "cannot read"),
        (Told(200, b'{"schemaVersion": 1}'), RegistryBroken, "old format"),
        (Told(200, b'{"manifests": [{"digest": "../x", "size": 1}]}'), RegistryBroken, "read"),
        (Told(200, MANIFEST.replace(b"20", b"-20")), RegistryBroken, "cannot read"),
        (Told(200, b" " * 4_100_000), RegistryBroken, "more than 4000 kB"),
        (Told(200, MANIFEST, {"Docker-Content-Digest": DIGEST}), WrongDigest, "something else"),
        (Told(304), RegistryBroken, "without having been asked"),
        (Told(200, MANIFEST, length=9999), RegistryUnreachable, "did not answer"),
    ],
)
def test_each_wrong_answer_has_its_own_sentence(
    told: Told, kind: type[RegistryError], words: str
) -> None:
    error = failure_of(told)

    assert type(error) is kind or isinstance(error, kind)
    assert words in error.message


@pytest.mark.engine  # it waits
@pytest.mark.parametrize(
    "told",
    [
        Told(is_silent=True),
        Told(200, MANIFEST, OF_MANIFEST, drip=True),
        Told(drip_headers=True),
    ],
    ids=["says nothing", "drips its content", "drips its headers"],
)
def test_a_registry_that_stalls_is_left_in_time(told: Told) -> None:
    begun = time.monotonic()

    error = failure_of(told)

    assert isinstance(error, RegistryUnreachable)
    assert "did not answer in 0.6 s" in error.message
    assert time.monotonic() - begun < LATE


def test_nothing_listens_there() -> None:
    port = free_port()
    reference = ImageReference.parse(f"127.0.0.1:{port}/lab/x:1")
    with (
        Registry(reference.registry, seconds=SECONDS) as client,
        pytest.raises(RegistryUnreachable) as caught,
    ):
        client.head(reference)

    assert f"127.0.0.1:{port} cannot be reached for lab/x:1: nothing listens there" in (
        caught.value.message
    )


def test_a_login_page_in_place_of_the_registry_is_not_a_registry() -> None:
    with small_server(lambda asked: PAGE) as server, Registry(server.address) as client:
        with pytest.raises(NotARegistry):
            client.ping()
        with pytest.raises(NotARegistry):
            client.head(image_at(server))


def test_something_else_on_that_port_is_not_a_registry() -> None:
    with (
        small_server(lambda asked: Told(404)) as server,
        Registry(server.address) as client,
        pytest.raises(NotARegistry),
    ):
        client.ping()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({"Retry-After": "2100"}, 2100), ({"Retry-After": "soon"}, None), ({}, None)],
)
def test_a_limit_says_how_long_to_wait(header: dict[str, str], seconds: float | None) -> None:
    error = failure_of(Told(429, b"", header), method="head")

    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds
    assert ("35 minutes" if seconds else "a while") in error.message


def test_a_wait_may_be_given_as_a_date_and_is_at_most_a_day() -> None:
    assert retry_after({"retry-after": formatdate(1060, usegmt=True)}, now=1000) == 60
    assert retry_after({"retry-after": formatdate(900, usegmt=True)}, now=1000) == 0
    assert retry_after({"retry-after": "9" * 30}, now=1000) == 24 * 3600


def test_what_is_left_of_a_limit_is_read() -> None:
    hub = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}

    assert rate_limit(hub) == RateLimit(76, 100, 21600)
    assert rate_limit({"ratelimit-remaining": "many"}) is None
    with registry_that(Told(200, b"", {**OF_MANIFEST, **hub})) as (client, server):
        assert client.head(image_at(server)).limit == RateLimit(76, 100, 21600)


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_registry_without_head_or_digest_is_asked_for_the_content(status: int) -> None:
    def tells(asked: Asked) -> Told:
        if asked.method == "HEAD":
            return Told(status)
        return Told(200, MANIFEST, {"Content-Type": OCI_MANIFEST})

    with registry_that(tells) as (client, server):
        assert client.head(image_at(server)).digest == digest(MANIFEST)


def test_all_four_formats_are_accepted_each_time() -> None:
    with registry_that(GOOD) as (client, server):
        client.head(image_at(server))
        client.document(image_at(server))

        accepted = [one.headers["Accept"] for one in server.asked if "manifests" in one.path]

    assert len(accepted) == 2
    assert all(len(text.split(", ")) == 4 for text in accepted)


def test_tags_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "TAGS_PER_PAGE", 2)
    pages = {"": (b'{"tags": ["a", "b"]}', "b"), "b": (b'{"tags": ["c"]}', "")}

    def tells(asked: Asked) -> Told:
        body, last = pages[asked.query.get("last", [""])[0]]
        link = f'</v2/lab/x/tags/list?n=2&last={last}>; rel="next"'
        return Told(200, body, {"Link": link} if last else {})

    with registry_that(tells) as (client, server):
        assert client.tags("lab/x") == ("a", "b", "c")
        assert server.count("GET", "/tags/list") == 2


def test_a_list_of_tags_that_leads_elsewhere_or_nowhere_ends() -> None:
    with registry_that(GOOD) as (_, other):
        away = {"Link": f'<http://{other.address}/v2/lab/x/tags/list?last=b>; rel="next"'}
        with registry_that(Told(200, b'{"tags": ["a"]}', away)) as (client, _server):
            assert client.tags("lab/x") == ("a",)
        assert other.asked == []
    circle = {"Link": '</v2/lab/x/tags/list?last=a>; rel="next"'}
    with registry_that(Told(200, b'{"tags": null}', circle)) as (client, server):
        assert client.tags("lab/x") == ()
        assert server.count("GET", "/tags/list") == 1


def test_a_login_that_may_not_read_this_is_told_so() -> None:
    login = Credentials("ada", "right horse")

    def tells(asked: Asked) -> Told:
        if not asked.login:
            return Told(401, b"", {"WWW-Authenticate": 'Basic realm="lab"'})
        return Told(403, faults("DENIED", "requested access is denied"))

    with (
        registry_that(tells, credentials=login) as (client, server),
        pytest.raises(AccessDenied) as caught,
    ):
        client.document(image_at(server))

    assert "does not let ada read lab/x:1" in caught.value.message
    assert "requested access is denied" in caught.value.detail


def test_a_login_of_an_unknown_kind_is_told_so() -> None:
    error = failure_of(Told(401, b"", {"WWW-Authenticate": "Negotiate"}))

    assert isinstance(error, NotARegistry)
    assert "a login of a kind that abm does not know" in error.message


def test_the_raw_words_of_a_registry_come_short_and_printable() -> None:
    error = failure_of(Told(500, b"\x1b[31m" + "ä\n".encode() * 1000))

    assert error.detail.isprintable()
    assert len(error.detail) < 600
