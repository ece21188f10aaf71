"""Mail by STARTTLS and TLS, by a mail server that speaks both (aiosmtpd) and wants a password."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from accounts.sign_in.mail import send
from tests.browser.server import free_port

NAME, PASSWORD = "abm", "p@ss word:1"
Serve = Callable[..., "Inbox"]
pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not:UserWarning"),
]


class Inbox:
    """What came, and whether it came over TLS."""

    def __init__(self) -> None:
        self.mails: list[tuple[bytes, bool]] = []
        self.port = 0

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.content, session.ssl is not None or server.is_tls))
        return "250 kept"


def _let_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    is_ours = (data.login, data.password) == (NAME.encode(), PASSWORD.encode())
    return AuthResult(success=is_ours, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail of a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("mail") / "mail.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
def serve(certificate: Path, settings: Settings) -> Iterator[Serve]:
    """Starts a server: `starttls`, `tls` from the first byte on, or neither."""
    running: list[Controller] = []
    settings.MAIL_FROM, settings.MAIL_PASSWORD = "abm@home.example", ""

    def begin(kind: str) -> Inbox:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        inbox = Inbox()
        inbox.port = free_port()
        options: dict[str, Any] = {"hostname": "127.0.0.1", "port": inbox.port}
        if kind == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if kind == "tls":
            options |= {"ssl_context": context}
        controller = Controller(
            inbox,
            **options,
            authenticator=_let_in,
            auth_required=True,
            auth_require_tls=kind == "starttls",
        )
        controller.factory = _marked(controller.factory, is_tls=kind == "tls")
        controller.start()
        running.append(controller)
        return inbox

    yield begin
    for controller in running:
        controller.stop()


def _marked(factory: Callable[[], Any], *, is_tls: bool) -> Callable[[], Any]:
    def made() -> Any:
        server = factory()
        server.is_tls = is_tls
        return server

    return made


def url(inbox: Inbox, scheme: str) -> str:
    return f"{scheme}://{NAME}:p%40ss%20word%3A1@127.0.0.1:{inbox.port}"


def told() -> bool:
    return send("bob@home.example", subject="A link", text="It works once.")


@pytest.mark.parametrize(("kind", "scheme"), [("starttls", "smtp"), ("tls", "smtps")])
def test_a_mail_goes_over_tls_with_the_password(
    serve: Serve,
    kind: str,
    scheme: str,
    certificate: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    inbox = serve(kind)
    settings.MAIL_URL = url(inbox, scheme)

    assert told()

    content, was_tls = inbox.mails[0]
    assert was_tls
    assert b"Subject: A link" in content
    assert b"From: abm@home.example" in content


@pytest.mark.parametrize(("kind", "scheme"), [("starttls", "smtp"), ("tls", "smtps")])
def test_a_server_that_nobody_vouches_for_gets_neither_mail_nor_password(
    serve: Serve, kind: str, scheme: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = serve(kind)
    settings.MAIL_URL = url(inbox, scheme)

    assert not told()
    assert not inbox.mails
    assert "certificate" in caplog.text
    assert PASSWORD not in caplog.text


def test_starttls_that_is_not_offered_is_no_reason_to_send_in_the_clear(
    serve: Serve, settings: Settings
) -> None:
    inbox = serve("plain")
    settings.MAIL_URL = url(inbox, "smtp")

    assert not told()
    assert not inbox.mails


def test_a_wrong_password_is_told_and_nothing_is_sent(
    serve: Serve,
    certificate: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    inbox = serve("starttls")
    settings.MAIL_URL = f"smtp://{NAME}:wrong@127.0.0.1:{inbox.port}"

    assert not told()
    assert not inbox.mails
    assert "did not take a mail" in caplog.text
