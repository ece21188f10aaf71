"""Speaking to an engine: the HTTP contract of `engine.yaml` v2 engines, from the caller's side."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from engines.contract import Health, ModelList
from hosts.runners.base import EngineFailed
from hosts.tls import tls

CONNECT_SECONDS = 3.0
MAX_ANSWER_BYTES = 200_000_000
"""Of what an engine makes."""
MAX_WORDS_BYTES = 10_000_000
"""Of what it says of itself."""
MAX_REFUSAL_BYTES = 100_000
MAX_PROBE_CHARACTERS = 100_000

Shape = TypeVar("Shape", Health, ModelList)


class EngineUnreachable(EngineFailed):
    """Nothing answers at the engine's address, or not in time."""

    code = "ENGINE_UNREACHABLE"


class EngineRefused(EngineFailed):
    """The engine answered with an error status; `status` is that status."""

    code = "ENGINE_REFUSED"

    def __init__(self, message: str, *, status: int, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.status = status


class AnswerTooLong(EngineFailed):
    """The engine's answer was longer than abm reads."""

    code = "ENGINE_ANSWER_TOO_LONG"

    def __init__(self, path: str, most: int) -> None:
        super().__init__(
            f"It answered {path} with more than {most / 1e6:g} MB. What listens there may be "
            "something else than an engine."
        )


class Body:
    """An answer's body as far as it has come."""

    def __init__(self, response: httpx.Response, *, most: int) -> None:
        self._response, self._most = response, most
        self._content = bytearray()

    def take(self, piece: bytes) -> None:
        """One more piece. Raises AnswerTooLong."""
        self._content += piece
        if len(self._content) > self._most:
            raise AnswerTooLong(self._response.url.path, self._most)

    def whole(self) -> httpx.Response:
        """The answer with its body read."""
        kind = {"content-type": self._response.headers.get("content-type", "")}
        return httpx.Response(
            self._response.status_code, headers=kind, content=bytes(self._content)
        )


def ask(
    http: httpx.Client, method: str, path: str, *, seconds: float, most: int, **values: Any
) -> httpx.Response:
    """The whole answer, within `seconds`. Raises httpx.HTTPError and AnswerTooLong."""
    until = time.monotonic() + seconds
    limits = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
    with http.stream(method, path, timeout=limits, **values) as response:
        body = Body(response, most=most)
        for piece in response.iter_bytes():
            body.take(piece)
            if time.monotonic() > until:
                raise httpx.ReadTimeout("The answer comes too slowly.", request=response.request)
        return body.whole()


async def whole_answer(response: httpx.Response, *, most: int) -> httpx.Response:
    """The answer with its body read. Raises httpx.HTTPError and AnswerTooLong."""
    body = Body(response, most=most)
    async for piece in response.aiter_bytes():
        body.take(piece)
    return body.whole()


@cache
def shared_transport() -> httpx.AsyncClient:
    """The web process's one client to engines; it lives on the server's event loop."""
    return httpx.AsyncClient(verify=tls(), trust_env=False)


def read_refusal(response: httpx.Response) -> EngineRefused:
    """The engine's own words (`detail`), shortened; its HTML or traceback goes to the detail."""
    text = response.text[:2_000]
    said: Any = None
    if "json" in response.headers.get("content-type", ""):
        try:
            said = response.json().get("detail")
        except (ValueError, AttributeError):
            said = None
    if isinstance(said, list):
        said = "; ".join(str(item.get("msg", item)) for item in said if isinstance(item, dict))
    words = str(said)[:500] if said else f"It answered with status {response.status_code}."
    return EngineRefused(words, status=response.status_code, detail=text)


@dataclass(frozen=True, slots=True)
class Probe:
    """How readiness is asked for where an engine does not speak the contract."""

    path: str = "/health"
    expect: str = ""


class EngineClient:
    """Sync calls for the worker. `timeout` is in seconds; errors are EngineFailed.

    With a `probe` the engine is taken for ready as soon as that is answered well.
    """

    def __init__(self, url: str, *, probe: Probe | None = None) -> None:
        self._http = httpx.Client(base_url=url, verify=tls(), trust_env=False)
        self._probe = probe

    @property
    def speaks_contract(self) -> bool:
        return self._probe is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def health(self, *, timeout: float) -> Health:
        """What `/health` says now."""
        if self._probe is not None:
            return self._probed(self._probe, timeout)
        return self._parsed(Health, self._ask("GET", "/health", timeout=timeout))

    def _probed(self, probe: Probe, timeout: float) -> Health:
        try:
            answer = self._ask("GET", probe.path, timeout=timeout)
        except EngineRefused as error:
            raise EngineUnreachable(f"{probe.path} answers with {error.status}.") from error
        if probe.expect not in answer.text[:MAX_PROBE_CHARACTERS]:
            raise EngineUnreachable(f"{probe.path} answers without “{probe.expect}”.")
        return Health(status="ready", engine_model_loaded=True)

    def models(self, *, timeout: float = 30) -> ModelList:
        """The models that it has."""
        return self._parsed(ModelList, self._ask("GET", "/models", timeout=timeout))

    def info(self, *, timeout: float = 10) -> dict[str, Any]:
        """Its engine.yaml as `/info` tells it, camelCase keys."""
        answer = self._ask("GET", "/info", timeout=timeout).json()
        return answer if isinstance(answer, dict) else {}

    def load(self, model: str, *, timeout: float) -> None:
        """Load `model` and return when it is loaded."""
        self._ask("POST", "/load", timeout=timeout, json={"engineModelName": model})

    def post(self, path: str, *, timeout: float, **body: Any) -> httpx.Response:
        """Any other call of the contract."""
        return self._ask("POST", path, timeout=timeout, most=MAX_ANSWER_BYTES, **body)

    def _ask(
        self, method: str, path: str, *, timeout: float, most: int | None = None, **body: Any
    ) -> httpx.Response:
        most = most or MAX_WORDS_BYTES
        try:
            response = ask(self._http, method, path, seconds=timeout, most=most, **body)
        except httpx.TimeoutException as error:
            raise EngineUnreachable(f"It did not answer {path} within {timeout:g} s.") from error
        except httpx.HTTPError as error:
            raise EngineUnreachable(
                f"It does not answer at {self._http.base_url}.", detail=str(error)
            ) from error
        if response.is_error:
            raise read_refusal(response)
        return response

    def _parsed(self, shape: type[Shape], response: httpx.Response) -> Shape:
        try:
            return shape.model_validate_json(response.content)
        except ValidationError as error:
            raise EngineFailed(
                "Something answers on the engine's port, but not as an engine does.",
                detail=str(error)[:2_000],
            ) from error
