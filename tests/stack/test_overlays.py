"""What is laid over docker-compose.yml, Caddy and a card; and nginx as docs/deploy.md has it."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Playwright, Response, expect

from lab.own import OwnDaemon
from tests.abm.apart import wait_until
from tests.browser.conftest import CHROMIUM
from tests.browser.server import ROOT
from tests.stack.conftest import NO_CHROMIUM
from tests.stack.stack import Stack
from tests.stack.steps import ADMIN, PASSWORD, sign_in

pytestmark = pytest.mark.fleet

HOST = "abm.test"
PROBES = ("scheme", "host", "address", "socket", "stream")
FORGED = "203.0.113.9"
TRIES = 3
PAPERS = ROOT / "docs" / "deploy.md"


class Way:
    """One proxy before abm: where it listens and whose certificates it has."""

    def __init__(self, address: str, authority: Path, client: str) -> None:
        self.address = address
        self.client = client
        """The address that abm has to see."""
        self.trust = ssl.create_default_context(cafile=str(authority))

    def ask(self, path: str, **headers: str) -> httpx.Response:
        with httpx.Client(verify=self.trust, timeout=10) as http:
            return http.get(
                f"https://{self.address}{path}",
                headers={"Host": HOST, **headers},
                extensions={"sni_hostname": HOST},
            )

    def answers(self) -> bool:
        try:
            return self.ask("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    @contextlib.contextmanager
    def page(self, playwright: Playwright) -> Iterator[Page]:
        """Somebody who has signed in through the proxy."""
        if CHROMIUM is None:
            pytest.skip(NO_CHROMIUM)
        rules = f"--host-resolver-rules=MAP {HOST} {self.address}"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
        # The certificates are looked at by `ask`.
        context = browser.new_context(base_url=f"https://{HOST}", ignore_https_errors=True)
        try:
            page = context.new_page()
            sign_in(page)
            yield page
        finally:
            browser.close()


@pytest.fixture(scope="module")
def fronted(built: OwnDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """abm on a machine with a simulated card, with Caddy before it and room for another proxy."""
    address = built.daemon.address
    made = Stack(
        built,
        tmp_path_factory.mktemp("fronted"),
        project="fronted",
        files=("docker-compose.yml", "compose.caddy.yml", "compose.gpu.yml"),
        PUBLIC_URL=f"https://{HOST}",
        TRUSTED_PROXIES=built.daemon.networks,
        CADDY_OPTION="local_certs",
        HTTP_PORT=f"{address}:80",
        HTTPS_PORT=f"{address}:443",
        ENGINE_NETWORK="fronted-engines",
        ADMIN_USERNAME=ADMIN,
        ADMIN_PASSWORD=PASSWORD,
        CATALOG_URL="",
    )
    with contextlib.closing(made):
        made.up()
        yield made


@pytest.fixture(scope="module")
def caddy(fronted: Stack, built: OwnDaemon) -> Way:
    authority = fronted.folder / "caddy.crt"
    authority.write_text(
        fronted.said_in("caddy", "cat", "/data/caddy/pki/authorities/local/root.crt")
    )
    network = fronted.containers()["caddy"]["NetworkSettings"]["Networks"]["fronted-engines"]
    # Docker's own proxy carries from the published port into the network.
    return Way(built.daemon.address, authority, network["Gateway"])


@pytest.fixture(scope="module")
def nginx(fronted: Stack, built: OwnDaemon) -> Iterator[Way]:
    """nginx on the machine itself, with the lines that the papers give."""
    address = f"127.77.{built.daemon.subnet_number}.1"
    folder = fronted.folder / "nginx"
    folder.mkdir()
    make_certificate(folder)
    text = block_of_the_papers(
        "nginx",
        {
            "listen 443 ssl;": f"listen {address}:443 ssl;",
            "server_name abm.example.com;": f"server_name {HOST};",
            "/etc/ssl/abm.example.com.crt;": "/etc/nginx/own/own.crt;",
            "/etc/ssl/abm.example.com.key;": "/etc/nginx/own/own.key;",
            "http://127.0.0.1:8765;": f"http://127.0.0.1:{fronted.port};",
        },
    )
    (folder / "nginx.conf").write_text(f"events {{}}\nhttp {{\n{text}\n}}\n")
    with contextlib.closing(built.client()) as client:
        server = client.containers.run(
            "nginx:stable-alpine",
            detach=True,
            network_mode="host",
            volumes=[
                f"{folder}:/etc/nginx/own:ro",
                f"{folder}/nginx.conf:/etc/nginx/nginx.conf:ro",
            ],
        )
        try:
            way = Way(address, folder / "own.crt", "127.0.0.1")
            wait_until(way.answers, f"nginx answers: {server.logs().decode()}")
            yield way
        finally:
            server.remove(force=True)


@pytest.fixture(params=["caddy", "nginx"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.getfixturevalue(request.param)
    return found


def test_its_certificate_is_good_and_the_browser_is_told_to_stay_with_https(way: Way) -> None:
    answer = way.ask("/accounts/login/")

    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=604800")


def test_cookies_go_by_https_alone(way: Way) -> None:
    (cookie,) = [
        line
        for line in way.ask("/accounts/login/").headers.get_list("Set-Cookie")
        if "csrf" in line
    ]

    assert "; Secure" in cookie


def test_the_system_page_finds_nothing_wrong_on_the_way(way: Way, playwright: Playwright) -> None:
    with way.page(playwright) as page:
        encodings: list[str] = []
        page.on("response", lambda answer: encodings.extend(encoding_of_stream(answer)))
        found, heard = probes_of(page)
        session = {cookie["name"]: cookie for cookie in page.context.cookies()}["abm_session"]

    assert {key: state for key, (state, _) in found.items()} == dict.fromkeys(
        PROBES, "state state-available"
    ), (found, heard)
    # What compresses keeps pieces back, if not each time.
    assert set(encodings) == {""}
    assert found["address"][1] == f"abm sees you at {way.client}."
    assert session["secure"] and session["httpOnly"]


def test_nobody_can_pretend_to_be_somewhere_else(way: Way, playwright: Playwright) -> None:
    with way.page(playwright) as page:
        page.context.set_extra_http_headers({"X-Forwarded-For": FORGED})
        answer = page.goto("/system/seen/")
        assert answer is not None
        seen = answer.json()

    assert seen["address"] == way.client


def test_pages_come_compressed(caddy: Way) -> None:
    assert caddy.ask("/accounts/login/").headers["Content-Encoding"] in {"gzip", "zstd"}


def test_who_comes_by_http_is_sent_to_https(caddy: Way) -> None:
    answer = httpx.get(f"http://{caddy.address}/hosts/", headers={"Host": HOST})

    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://{HOST}/hosts/"


def test_worker_and_link_have_the_card_and_abm_reads_it_without_a_container_for_it(
    fronted: Stack, built: OwnDaemon, caddy: Way, playwright: Playwright
) -> None:
    for name in ("worker", "link"):
        assert "RTX 3090 (simulated)" in fronted.said_in(name, "nvidia-smi", "-L"), name

    with caddy.page(playwright) as page:
        page.goto("/hosts/")
        page.get_by_role("link", name="Docker on this machine", exact=True).click()
        expect(page.locator(".gpus .gpu")).to_have_count(2, timeout=40_000)
    deployment = fronted.said_in("link", "cat", "/app/data/deployment").strip()
    with contextlib.closing(built.client()) as client:
        assert client.containers.list(filters={"label": f"abm.cards={deployment}"}) == []


def probes_of(page: Page) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """State and words of each probe on the system page, and what failed on the way.

    Chromium gives up what is under way when a network of this machine changes, which each container
    that comes or goes does; that is no proxy's fault and is asked again.
    """
    found: dict[str, tuple[str, str]] = {}
    heard: list[str] = []
    page.on("requestfailed", lambda asked: heard.append(f"{asked.url} {asked.failure}"))
    for _ in range(TRIES):
        heard.clear()
        page.goto("/system/")
        for key in PROBES:
            row = page.locator(f"[data-probe={key}]")
            tried = row.locator(".state:not(.state-starting, .state-stopped)")
            with contextlib.suppress(AssertionError):
                expect(tried).to_be_visible(timeout=10_000)
            state = str(row.locator(".state").get_attribute("class"))
            found[key] = (state, row.locator("[data-probe-text]").inner_text())
        if not any("ERR_NETWORK_CHANGED" in line for line in heard):
            break
    return found, heard


def encoding_of_stream(answer: Response) -> list[str]:
    is_stream = answer.url.endswith("/system/stream/")
    return [answer.headers.get("content-encoding", "")] if is_stream else []


def block_of_the_papers(name: str, changes: dict[str, str]) -> str:
    """The indented lines below **name** in docs/deploy.md; every change must have its place."""
    after = PAPERS.read_text().split(f"**{name}**", 1)[1]
    lines = after.splitlines()[1:]
    block = itertools.takewhile(lambda line: not line or line.startswith("    "), lines)
    text = textwrap.dedent("\n".join(block)).strip()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def make_certificate(folder: Path) -> None:
    """A key and a certificate that vouches for itself: own.key, own.crt."""
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-keyout", str(folder / "own.key"), "-out", str(folder / "own.crt")]
    subprocess.run(
        ["openssl", "req", "-x509", *made, *names, *files], check=True, capture_output=True
    )
