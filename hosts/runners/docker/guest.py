"""A container that is there to be asked what it is: waiting for it, asking it, removing it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import docker
import httpx
from docker.errors import APIError

from hosts.oci.reference import ImageReference
from hosts.runners.base import EngineFailed, Progress, RunnerError, StartFailed
from hosts.runners.docker.errors import FOREIGN, mapped
from hosts.runners.docker.exits import Ending, explain_exit
from jobs.outcome import CancelToken

LOOK_SECONDS = 0.25
ANSWER_SECONDS = 3.0
WHOLE_SECONDS = 10.0
"""Between two pieces of an answer, and for all of it."""
INFO_BYTES = 1_000_000
LOG_LINES = 30
ANSWERING = frozenset({"ready", "loading", "processing", "error"})
"""What `/health` says when there is an engine that can be asked, well or not."""
BY_FORM = "Register it by the form instead."

log = logging.getLogger(__name__)


class Guest:
    """The container that is asked."""

    def __init__(
        self, client: docker.APIClient, container: str, image: ImageReference, host_name: str
    ) -> None:
        self.container = container
        self._client, self._image, self._host_name = client, image, host_name
        # A proxy of this machine does not lead to a container.
        self._web = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)

    def close(self) -> None:
        """Remove it with its anonymous volumes, at once: it has nothing to lose."""
        self._web.close()
        self._remove()

    def asked(
        self, port: int, network: str, engine_host: str, *, seconds: float, cancel: CancelToken
    ) -> Generator[Progress, None, Any]:
        """Start it and wait for its `/info`. Raises StartFailed, EngineFailed and Cancelled."""
        # Gone, it also ends an answer that is waited for; whoever cancels does not wait for that.
        cancel.on_cancel(threading.Thread(target=self._remove, name="guest", daemon=True).start)
        try:
            with mapped(self._host_name, otherwise=StartFailed):
                self._client.start(self.container)
            yield Progress("start", fraction=1.0)
            url = self.url(port, network, engine_host)
            yield from self.wait(url, seconds, cancel)
            yield Progress("ask", line="It answers, and is asked for /info.", fraction=0.0)
            return self.info(url)
        except RunnerError:
            cancel.check()
            raise

    def url(self, port: int, network: str, engine_host: str) -> str:
        """Where it answers. Raises EngineFailed if it ended already."""
        settings = self._inspected().get("NetworkSettings", {})
        if network:
            address = settings.get("Networks", {}).get(network, {}).get("IPAddress", "")
            if address:
                return f"http://{address}:{port}"
        bound = (settings.get("Ports") or {}).get(f"{port}/tcp") or []
        if bound:
            return f"http://{engine_host}:{bound[0]['HostPort']}"
        self._check_alive()
        raise StartFailed(
            f"{self._image} was started, but Docker on {self._host_name} gave it no address. "
            f"Check the network {network or 'bridge'} there."
        )

    def wait(self, url: str, seconds: float, cancel: CancelToken) -> Iterator[Progress]:
        """Until `/health` tells of an engine. Raises EngineFailed, StartFailed, Cancelled."""
        began, said = time.monotonic(), ""
        while (passed := time.monotonic() - began) < seconds:
            cancel.check()
            status, said = self._health(url)
            if status in ANSWERING:
                line = f"It answers after {passed:.1f} s and is {status}."
                yield Progress("wait", line=line, fraction=1.0)
                return
            self._check_alive()
            yield Progress("wait", fraction=passed / seconds)
            cancel.wait(LOOK_SECONDS)
        cancel.check()
        raise StartFailed(
            f"{self._image} did not answer /health within {seconds:g} seconds{said}. If it needs "
            "longer, or a variable or another port, say so and try again; if it is no engine made "
            f"for abm, there is no /info to read. {BY_FORM}",
            detail=self._last_words(),
        )

    def info(self, url: str) -> Any:
        """What `/info` says. Raises EngineFailed for an image that has none."""
        try:
            with self._web.stream("GET", f"{url}/info") as answer:
                if answer.status_code == 200:
                    return _json(answer, until=time.monotonic() + WHOLE_SECONDS)
                said = f"it answered with status {answer.status_code}"
        except httpx.HTTPError as error:
            self._check_alive()
            said = f"the answer broke off ({type(error).__name__})"
        except ValueError:
            said = "its answer is no JSON"
        raise EngineFailed(
            f"{self._image} runs, but does not tell by /info what it is: {said}. {BY_FORM}",
            detail=self._last_words(),
        )

    def _health(self, url: str) -> tuple[str, str]:
        """The status that it tells, and what else was answered, in words."""
        try:
            with self._web.stream("GET", f"{url}/health") as answer:
                if answer.status_code != 200:
                    return "", f"; it answers with status {answer.status_code}"
                told = _json(answer, until=time.monotonic() + WHOLE_SECONDS)
        except httpx.HTTPError:
            return "", ""
        except ValueError:
            return "", "; what it answers is no JSON"
        status = told.get("status") if isinstance(told, dict) else None
        return str(status or ""), f"; it says it is {status}"

    def _check_alive(self) -> None:
        """Raise EngineFailed when it has ended."""
        found = self._inspected()
        state = found.get("State", {})
        if state.get("Status") not in ("exited", "dead"):
            return
        said = self._last_words()
        ending = Ending(
            name=self._image.familiar,
            code=int(state.get("ExitCode") or 0),
            is_oom=bool(state.get("OOMKilled")),
            error=str(state.get("Error") or ""),
            lines=said.splitlines(),
            image=self._image.familiar,
            user=str(found.get("Config", {}).get("User", "")),
            host_name=self._host_name,
        )
        raise EngineFailed(
            f"{self._image} ended before it answered. {explain_exit(ending)}", detail=said
        )

    def _inspected(self) -> dict[str, Any]:
        try:
            with mapped(self._host_name):
                return dict(self._client.inspect_container(self.container))
        except RunnerError as error:
            raise EngineFailed(
                f"{self._image} was started, but its container is gone from {self._host_name}.",
                detail=error.detail,
            ) from error

    def _remove(self) -> None:
        remove(self._client, self.container)

    def _last_words(self) -> str:
        try:
            said = self._client.logs(self.container, tail=LOG_LINES)
        except FOREIGN as error:
            return str(error)
        return bytes(said).decode("utf-8", "replace").strip()


def _json(answer: httpx.Response, *, until: float) -> Any:
    """The body as JSON. Raises ValueError for another, or for one that is too long."""
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > INFO_BYTES:
            raise ValueError("too long")
        if time.monotonic() > until:
            raise httpx.ReadTimeout("It drips.")
    return json.loads(body)


def remove(client: docker.APIClient, container: str) -> None:
    """Remove a container with its anonymous volumes, running or not; quiet where it is gone."""
    try:
        client.remove_container(container, force=True, v=True)
    except FOREIGN as error:
        status = error.status_code if isinstance(error, APIError) else None
        if status not in (404, 409):  # gone, or somebody removes it already
            log.warning("The container %s could not be removed: %s", container[:12], error)
