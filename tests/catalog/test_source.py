"""Fetching a catalog: what is fetched, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from catalog import source
from catalog.source import Fetched, FetchFailed, fetch
from tests.catalog.conftest import CatalogServer

PUBLIC = "93.184.215.14"


def name_server(monkeypatch: pytest.MonkeyPatch, name: str, *answers: list[str]) -> None:
    """Let the look-ups of `name` give these addresses, one answer after the other."""
    real, left = socket.getaddrinfo, list(answers)

    def look_up(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host != name:
            return list(real(host, port, *args, **options))
        addresses = left.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in addresses]

    monkeypatch.setattr(source.socket, "getaddrinfo", look_up)


def refusal(url: str, **options: Any) -> str:
    with pytest.raises(FetchFailed) as refused:
        fetch(url, **options)
    return str(refused.value)


def test_a_catalog_comes_with_the_marks_to_ask_again(web: CatalogServer) -> None:
    web.gives(b"engines: []", ETag='"abc"', Last_Modified="Sat, 21 Nov 2026 00:00:00 GMT")

    fetched = fetch(web.url(), allows_private=True)

    assert fetched == Fetched(b"engines: []", '"abc"', "Sat, 21 Nov 2026 00:00:00 GMT")


def test_the_marks_are_sent_and_304_means_unchanged(web: CatalogServer) -> None:
    web.says(304)

    fetched = fetch(web.url(), etag='"abc"', last_modified="yesterday", allows_private=True)

    assert fetched.content is None
    _, headers = web.asked[0]
    assert headers["If-None-Match"] == '"abc"'
    assert headers["If-Modified-Since"] == "yesterday"


def test_a_redirect_is_followed(web: CatalogServer) -> None:
    web.redirects("/catalog.yaml", "/newer.yaml?v=1")
    web.gives(b"here", path="/newer.yaml?v=1")

    assert fetch(web.url(), allows_private=True).content == b"here"


def test_three_redirects_are_the_most(web: CatalogServer) -> None:
    web.redirects("/catalog.yaml", "/catalog.yaml")

    assert "redirects more than 3 times" in refusal(web.url(), allows_private=True)
    assert len(web.asked) == 4


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.0.0.1",
        "192.168.1.7",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::a00:1]",
        "2130706433",
        "0x7f.1",
    ],
)
def test_addresses_of_private_networks_are_refused(host: str) -> None:
    assert "private network or of this machine" in refusal(f"http://{host}:9/catalog.yaml")


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name_server(monkeypatch, "both.example", [PUBLIC, "10.0.0.1"])

    assert "10.0.0.1" in refusal("http://both.example/catalog.yaml")


def test_a_redirect_into_loopback_is_refused(
    web: CatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server(monkeypatch, "public.example", ["127.0.0.1"])
    # The first server stands for a public one: its own address alone is taken as such.
    first = [True, False]
    monkeypatch.setattr(source, "_is_public", lambda text: first.pop(0))
    web.redirects("/catalog.yaml", web.url("/inside"))

    said = refusal(web.url(host="public.example"))

    assert "127.0.0.1, an address of a private network" in said
    assert [path for path, _ in web.asked] == ["/catalog.yaml"]


def test_a_name_that_changes_its_mind_gains_nothing(
    web: CatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server(monkeypatch, "rebinding.example", [PUBLIC], ["127.0.0.1"])
    reached: list[str] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        reached.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(source.socket, "create_connection", connect)

    assert "cannot be reached" in refusal(web.url(host="rebinding.example"))
    assert reached == [PUBLIC]


def test_the_second_address_is_tried_when_the_first_is_silent(
    web: CatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.gives(b"here")
    name_server(monkeypatch, "two.example", ["127.0.0.99", "127.0.0.1"])

    assert fetch(web.url(host="two.example"), allows_private=True).content == b"here"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "begins with http"),
        ("ftp://example.org/c.yaml", "begins with http"),
        ("//example.org/c.yaml", "begins with http"),
        ("http:///c.yaml", "begins with http"),
        ("http://[::1/c.yaml", "not a valid address"),
        ("http://example.org:port/c.yaml", "not a valid address"),
        ("http://olga:secret@example.org/c.yaml", "name and password"),
        ("http://a..example/c.yaml", "is not known here"),
        ("http://no-such-name.invalid/c.yaml", "is not known here"),
    ],
)
def test_what_is_no_address_is_refused_in_words(url: str, words: str) -> None:
    said = refusal(url)

    assert words in said
    assert "secret" not in said


def test_a_redirect_to_a_file_is_refused(web: CatalogServer) -> None:
    web.redirects("/catalog.yaml", "file:///etc/passwd")

    assert "begins with http" in refusal(web.url(), allows_private=True)


def test_50_mb_are_refused_before_they_are_read(web: CatalogServer) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "50000000")
        request.end_headers()

    web.answers["/catalog.yaml"] = answer

    assert refusal(web.url(), allows_private=True) == "It is larger than 2 MB."


def test_50_mb_in_chunks_are_left_after_two(web: CatalogServer) -> None:
    sent: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(50):
                request.wfile.write(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n")
                sent.append(1_000_000)
            request.wfile.write(b"0\r\n\r\n")

    web.answers["/catalog.yaml"] = answer

    assert refusal(web.url(), allows_private=True) == "It is larger than 2 MB."
    assert sum(sent) < 20_000_000


def test_bytes_that_drip_in_end_at_the_deadline(web: CatalogServer) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(200):
                request.wfile.write(b"X-%d: a\r\n" % number)
                time.sleep(0.05)

    web.answers["/catalog.yaml"] = answer
    began = time.monotonic()

    said = refusal(web.url(), allows_private=True, seconds=0.3)

    assert said == "127.0.0.1 did not answer in 0.3 s."
    assert time.monotonic() - began < 2


def test_an_answer_that_breaks_off_is_not_taken_for_whole(web: CatalogServer) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"engines: []")

    web.answers["/catalog.yaml"] = answer

    assert "broke off" in refusal(web.url(), allows_private=True)


def test_a_status_is_named(web: CatalogServer) -> None:
    web.says(404)

    assert refusal(web.url(), allows_private=True) == "127.0.0.1 answered with status 404."


def test_a_closed_port_is_named_without_an_error_number() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        said = refusal(f"http://127.0.0.1:{held.getsockname()[1]}/", allows_private=True)

    assert said == "127.0.0.1 cannot be reached: Connection refused."


def test_something_that_is_no_web_server_is_named(web: CatalogServer) -> None:
    web.answers["/catalog.yaml"] = lambda request: request.wfile.write(b"220 ready\r\n")  # type: ignore[assignment, return-value]

    assert "does not speak HTTP" in refusal(web.url(), allows_private=True)


def test_letters_beyond_ascii_in_a_redirect_are_followed(web: CatalogServer) -> None:
    web.redirects("/catalog.yaml", "/caf\xe9.yaml")
    web.gives(b"here", path="/caf%C3%A9.yaml")

    assert fetch(web.url(), allows_private=True).content == b"here"
