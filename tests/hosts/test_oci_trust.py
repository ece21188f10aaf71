"""A login is shown to nobody else, and nothing leads from a safe place to an unsafe one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosts.oci.auth import Credentials
from hosts.oci.errors import (
    NotARegistry,
    RegistryError,
    RegistryTlsFailed,
)
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry
from tests.hosts.oci_played import (
    DIGEST,
    GOOD,
    MANIFEST,
    SECONDS,
    failure_of,
    image_at,
    registry_that,
)
from tests.hosts.oci_registry import digest
from tests.hosts.oci_server import Asked, Told, certificate, small_server


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
