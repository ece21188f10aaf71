"""Tokens for registries: asked for once, kept as long as they are good, shown to nobody else.

The dance is tried with a real registry that checks real signed tokens, and with a small server
for what a real one will not do on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hosts.oci.auth import Authorizer, Challenge, Credentials, challenge_in
from hosts.oci.errors import LoginNeeded, LoginRefused, RegistryBroken, RegistryError, Subject
from hosts.oci.reference import ImageReference
from hosts.oci.registry import Registry, check_login
from hosts.oci.web import Web
from tests.hosts.oci_registry import NO_REGISTRY, PROGRAM, RealRegistry, real_registry
from tests.hosts.oci_server import Asked, SmallServer, Told, small_server
from tests.hosts.oci_tokens import DIGEST, Dance, Issuer, dancing

LOGIN = Credentials("ada", "right horse")


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
            'scope="repository:a/b:pull,push"',
            Challenge(
                "bearer",
                "https://auth.docker.io/token",
                "registry.docker.io",
                "repository:a/b:pull,push",
            ),
        ),
        ("bearer realm=https://a/t , service = x", Challenge("bearer", "https://a/t", "x")),
        ('Basic realm="lab"', Challenge("basic", "lab")),
        ('Basic realm="a, Bearer b", Bearer realm="https://t"', Challenge("bearer", "https://t")),
        (r'Basic realm="a \" Bearer b"', Challenge("basic", 'a " Bearer b')),
        ("Basic", Challenge("basic")),
        ('Negotiate, Digest realm="x"', None),
        ("", None),
    ],
)
def test_what_a_registry_asks_for_is_read(header: str, challenge: Challenge | None) -> None:
    assert challenge_in(header) == challenge


def test_five_questions_take_one_token_and_one_manifest_request_each() -> None:
    dance = Dance()
    with dancing(dance) as server, Registry(server.address) as client:
        for number in range(5):
            client.head(dance.image(f"lab/x:{number}"))

        assert (server.count("GET", "/token"), server.count("HEAD", "/manifests/")) == (1, 5)


def test_each_repository_has_a_token_of_its_own() -> None:
    dance = Dance()
    with dancing(dance) as server, Registry(server.address) as client:
        for name in ("lab/a:1", "lab/b:1", "lab/a:2"):
            client.head(dance.image(name))

        assert dance.given == ["0:repository:lab/a:pull", "1:repository:lab/b:pull"]
        assert server.count("HEAD", "/manifests/") == 3


def test_many_threads_wait_for_one_token() -> None:
    dance = Dance()
    with dancing(dance) as server, Registry(server.address) as client:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: client.head(dance.image(f"lab/x:{n}")), range(12)))

        assert (server.count("GET", "/token"), server.count("GET", "/v2/")) == (1, 1)


def test_a_token_is_used_until_shortly_before_its_end() -> None:
    dance, now = Dance(life=100), [0.0]
    about = Subject("lab", "lab/x")
    with dancing(dance) as server:
        web = Web()
        authorizer = Authorizer(web, credentials=None, is_plain=True, clock=lambda: now[0])
        authorizer.learn(f'Bearer realm="http://{server.address}/token",service="lab"', about=about)
        for now[0] in (0.0, 89.0, 91.0):
            authorizer.header("repository:lab/x:pull", about=about)
        web.close()

    assert len(dance.given) == 2


@pytest.mark.parametrize(("life", "second"), [(None, 55), (10**9, 3500)])
def test_a_token_without_a_sane_end_is_not_kept_for_ever(life: float | None, second: int) -> None:
    dance, now = Dance(life=life), [0.0]
    about = Subject("lab", "lab/x")
    with dancing(dance) as server:
        web = Web()
        authorizer = Authorizer(web, credentials=None, is_plain=True, clock=lambda: now[0])
        authorizer.learn(f'Bearer realm="http://{server.address}/token",service="lab"', about=about)
        for now[0] in (0.0, second):
            authorizer.header("repository:lab/x:pull", about=about)
        web.close()

    assert len(dance.given) == 2


def test_a_token_that_was_withdrawn_is_asked_for_anew() -> None:
    dance = Dance()
    with dancing(dance) as server, Registry(server.address) as client:
        client.head(dance.image("lab/x:1"))
        dance.revoked.update(dance.given)

        assert client.head(dance.image("lab/x:1")).digest == DIGEST


def test_a_private_image_needs_a_login_and_is_seen_with_one() -> None:
    dance = Dance(private=frozenset({"repository:lab/x:pull"}))
    with dancing(dance) as server:
        image = dance.image("lab/x:1")
        with Registry(server.address) as client, pytest.raises(LoginNeeded) as caught:
            client.head(image)
        with Registry(server.address, credentials=LOGIN) as client:
            assert client.head(image).digest == DIGEST
        shown = {one.path for one in server.asked if one.login == "ada:right horse"}

    assert not isinstance(caught.value, LoginRefused)
    assert "or has no such image" in caught.value.message
    assert shown == {"/token"}


def test_a_wrong_password_is_refused_where_tokens_are_given() -> None:
    with dancing(Dance()) as server:
        assert check_login(server.address, "ada", "right horse") is True
        with pytest.raises(LoginRefused):
            check_login(server.address, "ada", "wrong")


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("a:b", "x"), ("a", "x\r\nHost: y")])
def test_a_login_that_cannot_be_sent_is_refused_unsent(user: str, password: str) -> None:
    with dancing(Dance()) as server:
        with pytest.raises(LoginRefused):
            check_login(server.address, user, password)
        assert server.asked == []


@pytest.mark.parametrize(
    "body", [b"{}", b"no json", b'{"token": "a\\r\\nb"}', b'{"token": 5}', b'{"expires_in": 1}']
)
def test_a_token_service_that_gives_none_is_told_so(body: bytes) -> None:
    def script(asked: Asked) -> Told:
        if asked.path == "/token":
            return Told(200, body)
        realm = f'Bearer realm="http://{asked.headers["Host"]}/token"'
        return Told(401, b"", {"WWW-Authenticate": realm})

    with (
        small_server(script) as server,
        Registry(server.address) as client,
        pytest.raises(RegistryBroken) as caught,
    ):
        client.head(ImageReference.parse(f"{server.address}/lab/x:1"))

    assert "gave no usable token for lab/x:1" in caught.value.message


def test_a_gateway_leads_to_a_registry_that_wants_tokens() -> None:
    dance = Dance()
    with dancing(dance) as behind:

        def script(asked: Asked) -> Told:
            if asked.path == "/v2/":
                realm = f'Bearer realm="http://{behind.address}/token",service="lab"'
                return Told(401, b"", {"WWW-Authenticate": realm})
            return Told(307, b"", {"Location": f"http://{behind.address}{asked.path}"})

        with small_server(script) as gateway, Registry(gateway.address) as client:
            image = ImageReference.parse(f"{gateway.address}/lab/x:1")
            assert client.head(image).digest == DIGEST

        with (
            small_server(script) as gateway,
            Registry(gateway.address, credentials=LOGIN) as client,
            pytest.raises(LoginNeeded),
        ):
            client.head(ImageReference.parse(f"{gateway.address}/lab/x:1"))

    to_manifests = [one.login for one in behind.asked if "manifests" in one.path]
    assert to_manifests == ["", "Bearer 0:repository:lab/x:pull", ""]


def test_a_registry_that_never_has_enough_is_asked_twice_only() -> None:
    dance = Dance()
    with dancing(dance) as server, Registry(server.address) as client:
        client.ping()
        dance.revoked = EVERYTHING
        with pytest.raises(RegistryError):
            client.head(dance.image("lab/x:1"))

        assert server.count("HEAD", "/manifests/") == 2


class _Everything(set[str]):
    def __contains__(self, item: object) -> bool:
        return True


EVERYTHING = _Everything()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[RealRegistry, SmallServer]]:
    """A real registry that believes signed tokens only, and who signs them."""
    issuer = Issuer(tmp_path)
    with small_server(issuer) as service:
        auth = {
            "token": {
                "realm": f"http://{service.address}/token",
                "service": "lab",
                "issuer": "lab",
                "rootcertbundle": str(tmp_path / "server.pem"),
            }
        }
        with real_registry(tmp_path, auth=auth) as started:
            yield started, service


@pytest.mark.servers
@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_real_registry_believes_the_tokens_that_are_fetched(
    strict: tuple[RealRegistry, SmallServer],
) -> None:
    real, service = strict
    with Registry(real.address) as client:
        # An empty repository: past the login the registry says that it is not there.
        errors = []
        for name in ("lab/x:1", "lab/x:2", "private/x:1"):
            with pytest.raises(RegistryError) as caught:
                client.document(real.reference(name))
            errors.append(caught.value.code)

    assert errors == ["TAG_NOT_FOUND", "TAG_NOT_FOUND", "REGISTRY_LOGIN_NEEDED"]
    assert service.count("GET", "/token") == 3


@pytest.mark.servers
@pytest.mark.skipif(PROGRAM is None, reason=NO_REGISTRY)
def test_a_real_registry_shows_what_is_private_to_who_logs_in(
    strict: tuple[RealRegistry, SmallServer],
) -> None:
    real, _ = strict
    with (
        Registry(real.address, credentials=LOGIN) as client,
        pytest.raises(RegistryError) as caught,
    ):
        client.document(real.reference("private/x:1"))

    assert caught.value.code == "TAG_NOT_FOUND"
    assert all("right horse" not in line for line in real.requests(""))
