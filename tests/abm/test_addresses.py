"""Numeric addresses are answered where abm listens everywhere; names must be known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abm.test_serve import ask
from tests.browser.server import Served

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("everywhere"), HOST="0.0.0.0")
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("host", ["192.168.7.9:8765", "10.0.0.4", "[2001:db8::7]:8765"])
def test_an_address_of_the_machine_outside_is_answered(everywhere: Served, host: str) -> None:
    assert ask(everywhere, path="/accounts/login/", Host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "1.2.3.4.evil.example:80", "0x7f000001", "[::1"])
def test_a_name_must_be_known(everywhere: Served, host: str) -> None:
    assert ask(everywhere, path="/accounts/login/", Host=host)[0] == 400


def test_on_one_address_no_other_is_answered(tmp_path: Path) -> None:
    server = Served(tmp_path)
    server.start()
    try:
        assert ask(server, path="/accounts/login/", Host="192.168.7.9")[0] == 400
    finally:
        server.kill()


def upgrade(server: Served, *, host: str, origin: str) -> int:
    head = {
        "Host": host,
        "Origin": origin,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return ask(server, path="/ws/nothing-of-ours/", **head)[0]


def test_a_socket_needs_the_page_to_be_of_the_same_address(everywhere: Served) -> None:
    ours, port = "192.168.7.9:8765", everywhere.port

    # Without a login both are refused; which refusal it is shows who let it through.
    assert upgrade(everywhere, host=ours, origin="http://6.6.6.6") == 403
    assert upgrade(everywhere, host=f"127.0.0.1:{port}", origin="http://evil.example") == 403
    assert upgrade(everywhere, host=ours, origin=f"http://{ours}") != 403
