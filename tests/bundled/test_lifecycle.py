"""What the engines' shared server says and does while its one thread is held by a model."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from engines.conform import examine
from tests.bundled.running import running_slow, wait_for_status

pytestmark = pytest.mark.engine
WORDS = {"text": "hello", "language": "en", "ttsSpeakerWav": ""}


def health(url: str) -> dict[str, object]:
    said: dict[str, object] = httpx.get(f"{url}/health", timeout=1).json()
    return said


@contextmanager
def posted(url: str, path: str, body: dict[str, str]) -> Iterator[Future[httpx.Response]]:
    """The answer to a call that is under way."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(httpx.post, f"{url}{path}", json=body, timeout=30)


def load(url: str, folder: Path) -> None:
    (folder / "loaded").touch()
    body = {"engineModelName": "first"}
    httpx.post(f"{url}/load", json=body, timeout=10).raise_for_status()


def test_health_answers_at_once_during_a_load_and_is_not_ready(tmp_path: Path) -> None:
    with (
        running_slow(tmp_path) as (url, _),
        posted(url, "/load", {"engineModelName": "first"}) as loading,
    ):
        wait_for_status(url, "loading")
        said = health(url)
        (tmp_path / "loaded").touch()

        assert loading.result().json()["status"] == "loaded"
        assert (said["engineModelLoaded"], said["currentEngineModel"]) == (False, None)
        assert health(url)["engineModelLoaded"] is True


def test_a_call_during_a_load_is_put_off_and_the_load_goes_on(tmp_path: Path) -> None:
    with (
        running_slow(tmp_path) as (url, _),
        posted(url, "/load", {"engineModelName": "first"}) as loading,
    ):
        wait_for_status(url, "loading")
        answers = [
            httpx.post(f"{url}/generate", json=WORDS),
            httpx.post(f"{url}/load", json={"engineModelName": "first"}),
        ]
        said = health(url)
        (tmp_path / "loaded").touch()
        loading.result().raise_for_status()

        assert [answer.status_code for answer in answers] == [503, 503]
        assert "Model loading in progress" in answers[0].json()["detail"]
        assert said["status"] == "loading"
        assert httpx.post(f"{url}/generate", json=WORDS).status_code == 200


def test_the_examination_sees_a_slow_load_and_the_end(tmp_path: Path) -> None:
    with running_slow(tmp_path) as (url, process):
        findings = []
        for finding in examine(url, shut_down=True):
            findings.append(finding)
            if finding.rule == "it does not disturb the load":
                (tmp_path / "loaded").touch()

        assert [f"{row.rule}: {row.text}" for row in findings if not row.holds] == []
        assert [row.rule for row in findings if row.is_skipped] == []
        assert process.wait(5) == 0


def test_health_says_processing_while_it_speaks(tmp_path: Path) -> None:
    with running_slow(tmp_path) as (url, _):
        load(url, tmp_path)
        with posted(url, "/generate", {**WORDS, "text": "wait"}) as speaking:
            wait_for_status(url, "processing")
            (tmp_path / "spoken").touch()

            assert speaking.result().status_code == 200
        assert health(url)["status"] == "ready"


def test_a_failure_is_told_until_the_next_success(tmp_path: Path) -> None:
    with running_slow(tmp_path) as (url, _):
        load(url, tmp_path)

        answer = httpx.post(f"{url}/generate", json={**WORDS, "text": "break"})
        failed = health(url)
        httpx.post(f"{url}/generate", json=WORDS).raise_for_status()

        assert (answer.status_code, answer.json()["detail"]) == (
            500,
            "RuntimeError: the model fell over",
        )
        assert (failed["status"], failed["error"]) == ("error", answer.json()["detail"])
        assert (health(url)["status"], health(url)["error"]) == ("ready", None)


def test_a_model_that_cannot_be_loaded_leaves_none_loaded(tmp_path: Path) -> None:
    with running_slow(tmp_path) as (url, _):
        load(url, tmp_path)

        answer = httpx.post(f"{url}/load", json={"engineModelName": "broken"})

        assert answer.status_code == 500
        assert "the weights are damaged" in answer.json()["detail"]
        said = health(url)
        assert (said["status"], said["engineModelLoaded"]) == ("error", False)


def test_shutdown_waits_for_no_load(tmp_path: Path) -> None:
    with running_slow(tmp_path) as (url, process), ThreadPoolExecutor(1) as pool:
        loading = pool.submit(httpx.post, f"{url}/load", json={"engineModelName": "first"})
        wait_for_status(url, "loading")

        started = time.monotonic()
        answer = httpx.post(f"{url}/shutdown")

        assert answer.json() == {"status": "shutting_down"}
        assert process.wait(5) == 0
        assert time.monotonic() - started < 4
        assert isinstance(loading.exception(10), httpx.HTTPError)


def test_sigterm_ends_it_also_during_a_load(tmp_path: Path) -> None:
    with running_slow(tmp_path) as (url, process), ThreadPoolExecutor(1) as pool:
        loading = pool.submit(httpx.post, f"{url}/load", json={"engineModelName": "first"})
        wait_for_status(url, "loading")

        process.send_signal(signal.SIGTERM)

        assert process.wait(6) in (0, -signal.SIGTERM)
        assert loading.exception(10) is not None or loading.result().is_error
