"""What registries and what stands before them do wrong, each told in a sentence with a way out.

A small web server plays them; it really stalls, drips, redirects and speaks TLS.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

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
    RegistryTlsFailed,
    RegistryUnreachable,
    TagMissing,
    WrongDigest,
)
from hosts.oci.limits import RateLimit, rate_limit, retry_after
from hosts.oci.manifests import OCI_MANIFEST
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from tests.bundled.running import free_port
from tests.hosts.oci_registry import digest
from tests.hosts.oci_server import Asked, Script, SmallServer, Told, certificate, small_server

DIGEST = "sha256:" + "5" * 64
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"digest": DIGEST, "size": 10},
        "layers": [{"digest": DIGEST, "size": 20}],
    }
).encode()
OF_MANIFEST = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest(MANIFEST)}
GOOD = Told(200, MANIFEST, OF_MANIFEST)
PAGE = Told(200, b"<!DOCTYPE html><title>Sign in</title>", {"Content-Type": "text/html"})
SECONDS = 0.6
LATE = 2.0
"""A question of 0.6 s must be over by then, on a busy machine too."""


def faults(code: str, message: str = "as it says") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@contextmanager
def registry_that(
    tells: Script | Told, **options: object
) -> Iterator[tuple[Registry, SmallServer]]:
    """A client of a server that greets as a registry does and then answers by `tells`."""

    def script(asked: Asked) -> Told:
        if asked.path == "/v2/":
            return Told(200, b"{}")
        return tells if isinstance(tells, Told) else tells(asked)

    with (
        small_server(script) as server,
        Registry(server.address, seconds=SECONDS, **options) as client,  # type: ignore[arg-type]
    ):
        yield client, server


def image_at(server: SmallServer, name: str = "lab/x:1") -> ImageReference:
    return ImageReference.parse(f"{server.address}/{name}")


def failure_of(tells: Script | Told, *, method: str = "document") -> RegistryError:
    """How a question to a server that answers so ends."""
    with registry_that(tells) as (client, server), pytest.raises(RegistryError) as caught:
        getattr(client, method)(image_at(server))
    assert server.address in caught.value.message
    assert "lab/x" in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value


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


def test_a_redirect_is_followed_without_the_login() -> None:
    login = Credentials("ada", "right horse")
    with small_server(lambda asked: Told(200, b"1234")) as store:

        def tells(asked: Asked) -> Told:
            if not asked.login:
                return Told(401, b"", {"WWW-Authenticate": 'Basic realm="lab"'})
            return Told(307, b"", {"Location": f"http://{store.address}/blob?signed=1"})

        with registry_that(tells, credentials=login) as (client, server):
            client.tail(image_at(server), DIGEST, count=4)
            assert server.asked[-1].login == "ada:right horse"

        assert [one.path for one in store.asked] == ["/blob"]
        assert store.asked[0].login == ""


def test_who_we_are_redirected_to_cannot_ask_for_the_login() -> None:
    login = Credentials("ada", "right horse")
    with small_server(lambda asked: Told(200, b'{"token": "t"}')) as thief:
        realm = f'Bearer realm="http://{thief.address}/token"'
        with small_server(lambda asked: Told(401, b"", {"WWW-Authenticate": realm})) as store:
            away = Told(307, b"", {"Location": f"http://{store.address}/x"})
            with (
                registry_that(away, credentials=login) as (client, server),
                pytest.raises(RegistryError),
            ):
                client.document(image_at(server))
        assert thief.asked == []


def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with registry_that(GOOD) as (client, proxy):
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        with registry_that(GOOD) as (direct, server):
            direct.head(image_at(server))
        assert proxy.asked == []
        with Registry("r.example", is_insecure=True, seconds=SECONDS) as client:
            client.head(ImageReference.parse("r.example/lab/x:1"))

        assert {one.headers["Host"] for one in proxy.asked} == {"r.example"}


def test_a_circle_of_redirects_ends() -> None:
    error = failure_of(lambda asked: Told(307, b"", {"Location": asked.path}))

    assert isinstance(error, NotARegistry)
    assert "redirects more than 5 times" in error.message


@pytest.mark.parametrize(
    "target", ["ftp://x/y", "http://u:p@x/y", "http://[::1", "http://x:99999/"]
)
def test_a_redirect_to_no_address_is_not_followed(target: str) -> None:
    assert isinstance(failure_of(Told(302, b"", {"Location": target})), NotARegistry)


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)
    reference = ImageReference.parse("registry.example/lab/x:1")

    def script(asked: Asked) -> Told:
        return Told(200, b"{}") if asked.path == "/v2/" else GOOD

    with small_server(script, tls=serving) as server:
        address = f"https://{server.address}"
        with (
            Registry("registry.example", address=address, seconds=SECONDS) as client,
            pytest.raises(RegistryTlsFailed) as caught,
        ):
            client.head(reference)
        with Registry("registry.example", address=address, seconds=5, tls=trusting) as client:
            assert client.head(reference).digest == digest(MANIFEST)

    assert "its certificate is not valid here" in caught.value.message


def test_a_registry_without_tls_is_told_to_be_named_insecure() -> None:
    with (
        small_server(lambda asked: GOOD) as server,
        Registry("nas.example", address=f"https://{server.address}", seconds=SECONDS) as client,
        pytest.raises(RegistryTlsFailed) as caught,
    ):
        client.ping()

    assert "name it as insecure" in caught.value.message


def test_a_safe_registry_cannot_lead_to_an_unsafe_place(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)
    login = Credentials("ada", "right horse")
    with small_server(lambda asked: Told(200, b'{"token": "t"}')) as plain:

        def script(asked: Asked) -> Told:
            realm = f'Bearer realm="http://{plain.address}/token"'
            if asked.path == "/v2/":
                return Told(401, b"", {"WWW-Authenticate": realm})
            return Told(307, b"", {"Location": f"http://{plain.address}/x"})

        with (
            small_server(script, tls=serving) as server,
            Registry(
                "r.example", address=f"https://{server.address}", tls=trusting, credentials=login
            ) as client,
            pytest.raises(NotARegistry) as caught,
        ):
            client.check_login()

        assert plain.asked == []
    assert "unprotected" in caught.value.message


def test_a_safe_answer_does_not_redirect_to_an_unsafe_one(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path)
    with small_server(lambda asked: GOOD) as plain:

        def script(asked: Asked) -> Told:
            away = {"Location": f"http://{plain.address}/x"}
            return Told(200, b"{}") if asked.path == "/v2/" else Told(307, b"", away)

        with (
            small_server(script, tls=serving) as server,
            Registry("r.example", address=f"https://{server.address}", tls=trusting) as client,
            pytest.raises(NotARegistry) as caught,
        ):
            client.document(ImageReference.parse("r.example/lab/x:1"))

        assert plain.asked == []
    assert "from https to an unprotected address" in caught.value.message


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
