"""Pages, live changes and Try it."""

from __future__ import annotations

import gzip
import re
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import httpx
from playwright.sync_api import sync_playwright

from bench.abm import NAME, PASSWORD, Bench
from bench.figures import Row, at_least, at_most, quantile
from bench.many import with_engines
from tests.browser.conftest import CHROMIUM

CLIENTS, SECONDS = 8, 5.0


def measure_first_page(bench: Bench) -> list[Row]:
    """bytes of the first page with everything that it loads"""
    page = bench.http.get("/")
    links = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    total = len(gzip.compress(page.content, 6))
    for link in dict.fromkeys(link.partition("#")[0] for link in links):
        answer = bench.http.get(urljoin(bench.served.url, link))
        answer.raise_for_status()
        total += len(gzip.compress(answer.content, 6))
    return [at_most("First page, compressed", [total / 1000], "kB", 100, "limit")]


def _hammer(bench: Bench, path: str) -> tuple[float, float]:
    """Requests a second and the 99th percentile in ms, from 8 clients for 5 s."""
    cookies = dict(bench.http.cookies)
    spent: list[float] = []
    until = time.monotonic() + SECONDS

    def one() -> None:
        with httpx.Client(base_url=bench.served.url, cookies=cookies, timeout=30) as client:
            while time.monotonic() < until:
                began = time.perf_counter()
                client.get(path).raise_for_status()
                spent.append(time.perf_counter() - began)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for waiting in [pool.submit(one) for _ in range(CLIENTS)]:
            waiting.result()
    return len(spent) / SECONDS, quantile(spent, 0.99) * 1000


def measure_requests(bench: Bench) -> list[Row]:
    """requests a second of signed-in pages and of /healthz"""
    rows = []
    for path, peer, name in [
        ("/healthz", 1_078, "GPUStack 2.3.0 /healthz"),
        ("/", 368, "GPUStack 2.3.0 /"),
        ("/engines/", 175, "DockMon 2.4.5 /api/containers"),
        ("/hosts/", 481, "DockMon 2.4.5 /api/hosts"),
        ("/catalog/", 368, "GPUStack 2.3.0 /"),
        ("/jobs/", 368, "GPUStack 2.3.0 /"),
    ]:
        rate, slowest = _hammer(bench, path)
        row = at_least(f"{path}, {CLIENTS} clients", rate, "req/s", peer, name)
        rows.append(Row(row.what, f"{row.measured}, p99 {slowest:.0f} ms", row.beside, row.verdict))
    return rows


def measure_many(bench: Bench) -> list[Row]:
    """the engines page with 1, 200 and 2,000 engines"""
    rows, first = [], 0.0
    for count in (1, 200, 2_000):
        queries, seconds = with_engines(count)
        first = first or seconds
        rows.append(
            Row(
                f"Engines page, {count:,} engines",
                f"{seconds * 1000:.1f} ms, {queries} queries",
                "limit: twice the time of 1 full page, equal queries" if count > 1 else "",
                f"{seconds / first:.2f} times one engine",
            )
        )
    return rows


def _install(bench: Bench, name: str) -> str:
    """Install and start a bundled engine; its page's path."""
    page = bench.http.get("/catalog/", params={"q": name})
    entry = re.search(r"/engines/choose/(\d+)/", page.text)
    assert entry is not None, "the catalog offers no such engine"
    dialog = bench.http.get(entry[0]).text
    values = {
        key: re.search(rf'name="{key}"[^>]* value="(\d+)"', dialog)[1]  # type: ignore[index]
        for key in ("variant", "host")
    }
    bench.post("/engines/install/", **values, starts="on")
    _until(lambda: "state-running" in bench.http.get("/engines/").text)
    found = re.search(r'href="(/engines/\d+/)"', bench.http.get("/engines/").text)
    assert found is not None
    return found[1]


def _until(holds: Callable[[], bool], *, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.2)


def measure_live(bench: Bench) -> list[Row]:
    """from a change of an engine to the page of a browser"""
    assert CHROMIUM is not None, "the bench needs Chromium"
    path = _install(bench, "espeak")
    events: list[tuple[str, float]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(base_url=bench.served.url)
        page.goto("/accounts/login/")
        page.fill("[name=username]", NAME)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/login" not in url)
        page.expose_function("abmSeen", lambda word: events.append((word, time.time())))
        page.goto("/engines/")
        page.wait_for_timeout(1000)
        page.evaluate(
            """() => new MutationObserver(() => {
                 const row = document.querySelector('tr[id^=engine-]');
                 if (row) window.abmSeen(row.innerText.includes('kept running') ? 'on' : 'off');
               }).observe(document.body, {childList: true, subtree: true})"""
        )
        delays = [_toggle(bench, path, keeps, events, page) for keeps in (True, False) * 50]
        browser.close()
    return [
        at_most("Change of an engine to DOM, p50", [statistics.median(delays)], "ms", 50, "limit"),
        at_most("Change of an engine to DOM, p99", [quantile(delays, 0.99)], "ms", 200, "limit"),
        at_most(
            "Change of an engine to DOM, p50",
            [statistics.median(delays)],
            "ms",
            1750,
            "glances 4.5.8, the quickest peer",
        ),
    ]


def _toggle(
    bench: Bench, path: str, keeps: bool, events: list[tuple[str, float]], page: object
) -> float:
    """Change the row by a request from outside and time how long the open page takes, in ms."""
    word = "on" if keeps else "off"
    events.clear()
    began: list[float] = []

    def change() -> None:
        began.append(time.time())
        bench.post(f"{path}keep-running/", **({"keeps": "on"} if keeps else {}))

    thread = threading.Thread(target=change)
    thread.start()
    end = time.monotonic() + 10
    while not any(seen == word for seen, _ in events):
        assert time.monotonic() < end, "the page never showed the change"
        page.wait_for_timeout(5)  # type: ignore[attr-defined]
    thread.join()
    return (next(at for seen, at in events if seen == word) - began[0]) * 1000


def measure_try(bench: Bench) -> list[Row]:
    """Try it against a call of the engine itself"""
    listing = bench.http.get("/engines/").text
    found = re.search(r'href="(/engines/\d+/)"', listing)
    assert found is not None
    details = bench.http.get(f"{found[1]}?tab=details").text
    engine = re.search(r"http://127\.0\.0\.1:\d+", details)
    assert engine is not None
    direct, through = [], []
    body = {"text": "Hello there.", "language": "en", "ttsSpeakerWav": "", "parameters": {}}
    with httpx.Client(timeout=30) as client:
        for _ in range(60):
            began = time.perf_counter()
            client.post(f"{engine[0]}/generate", json=body).raise_for_status()
            direct.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            token = bench.http.cookies["csrftoken"]
            bench.http.post(
                f"{found[1]}try/",
                data={"text": body["text"], "language": "en"},
                headers={"X-CSRFToken": token, "HX-Request": "true"},
            ).raise_for_status()
            through.append((time.perf_counter() - began) * 1000)
    middle, base = statistics.median(through), statistics.median(direct)
    return [
        Row(
            "Try it, whole answer",
            f"{middle:.1f} ms",
            f"the engine itself: {base:.1f} ms",
            f"{middle / base:.2f} times",
        ),
        at_most("Try it, added by abm", [middle - base], "ms", 5, "limit"),
    ]


MEASURES = (
    measure_first_page,
    measure_requests,
    measure_many,
    measure_live,
    measure_try,
)
