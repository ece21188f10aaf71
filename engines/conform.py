"""Whether a running engine keeps the whole HTTP contract, asked from outside.

Source of the contract: Audiobook Maker's engine servers (engine.yaml, version 2), with
POST /transcribe as abm's own addition for speech to text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import httpx
from pydantic import ValidationError

from engines.client import MAX_WORDS_BYTES, ask
from engines.conform_asking import Asker, Finding, Said, missing
from engines.conform_types import BY_TYPE, smallest_call
from engines.contract import Health, ModelList
from hosts.tls import tls

STATES = ("ready", "loading", "processing", "error")
AT_ONCE_SECONDS = 1.0
END_SECONDS = 10.0
SETTLE_SECONDS = 0.5
UNKNOWN = "no-such-model-here"


class Examination:
    """Asks one engine everything, in the order of a life: described, loaded, used, ended."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._info: dict[str, Any] = {}
        self._models = ModelList()

    def run(self) -> Iterator[Finding]:
        """Finding by finding, as they are made."""
        yield from self._description()
        yield from self._before_load()
        yield from self._bad_loads()
        yield from self._load()
        if check := BY_TYPE.get(self._kind):
            yield from check(self._asker, self._info, self._language)
        yield from self._afterwards()

    @property
    def _kind(self) -> str:
        return str(self._info.get("engineType"))

    @property
    def _language(self) -> str:
        languages = self._info.get("supportedLanguages") or ["en"]
        return "en" if "en" in languages else str(languages[0])

    def _description(self) -> Iterator[Finding]:
        said = self._asker.ask("GET", "/health")
        yield _read("/health can be read", said, Health)
        lacks = missing(said.values, "status", "engineModelLoaded", "device")
        yield Finding("/health has its fields", not lacks, f"missing: {lacks}")
        state = said.values.get("status")
        yield Finding("its status is one of the four words", state in STATES, str(state))
        said = self._asker.ask("GET", "/info")
        self._info = said.values
        yield from self._info_rules()
        said = self._asker.ask("GET", "/models")
        found = _read("/models can be read", said, ModelList)
        yield found
        if found.holds:
            self._models = ModelList.model_validate_json(said.content)
        yield Finding("there is a model", bool(self._models.models), "the list is empty")
        names = [model.name for model in self._models.models]
        default = self._models.default_model
        is_known = default is None or default in names
        yield Finding("defaultModel is one of the models", is_known, str(default))

    def _info_rules(self) -> Iterator[Finding]:
        lacks = missing(self._info, "name", "displayName", "engineType", "models", "parameters")
        yield Finding("/info has its fields", not lacks, f"missing: {lacks}")
        yield Finding("engineType is a known one", self._kind in BY_TYPE, self._kind)
        snake = [name for name in self._info if "_" in name]
        yield Finding("its keys are camelCase", not snake, ", ".join(snake))
        objects = ("constraints", "capabilities", "parameters")
        wrong = [name for name in objects if not isinstance(self._info.get(name) or {}, dict)]
        if not isinstance(self._info.get("supportedLanguages") or [], list):
            wrong.append("supportedLanguages")
        for name in wrong:
            self._info[name] = None
        yield Finding("its values have the right types", not wrong, ", ".join(wrong))

    def _before_load(self) -> Iterator[Finding]:
        path, body = smallest_call(self._kind, self._language)
        rule = f"{path} before /load is 400"
        if self._asker.ask("GET", "/health").values.get("engineModelLoaded"):
            yield Finding(rule, True, "a model is loaded already", is_skipped=True)
            return
        yield self._asker.status(rule, path, body, 400)

    def _bad_loads(self) -> Iterator[Finding]:
        yield self._asker.status("/load without a name is 422", "/load", {}, 422)
        said = self._asker.post("/load", {"engineModelName": UNKNOWN})
        is_refused = said.status in (400, 404, 500) and "detail" in said.values
        yield Finding("an unknown model is refused", is_refused, str(said))
        health = self._asker.ask("GET", "/health").values
        is_named = health.get("currentEngineModel") == UNKNOWN
        yield Finding("it does not count as loaded", not is_named, str(health)[:200])

    def _load(self) -> Iterator[Finding]:
        names = [model.name for model in self._models.models]
        name = self._models.default_model or (names[0] if names else "default")
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(self._asker.post, "/load", {"engineModelName": name})
            yield from self._during_load(loading)
            said = loading.result()
        is_loaded = said.status == 200 and said.values.get("status") == "loaded"
        yield Finding("/load answers when it is loaded", is_loaded, str(said))
        health = self._asker.ask("GET", "/health").values
        is_ready = health.get("status") == "ready" and health.get("engineModelLoaded") is True
        yield Finding("afterwards it is ready", is_ready, str(health)[:200])
        current = health.get("currentEngineModel")
        yield Finding("/health names the model", current == name, str(current))
        yield self._asker.status(
            "loading it again is 200", "/load", {"engine_model_name": name}, 200
        )

    def _during_load(self, loading: Future[Said]) -> Iterator[Finding]:
        """What /health says while it loads, and that another call is put off without harm."""
        slowest, state, refused = 0.0, "", None
        while not loading.done() and refused is None:
            started = time.monotonic()
            state = str(self._asker.ask("GET", "/health").values.get("status"))
            slowest = max(slowest, time.monotonic() - started)
            if state == "loading":
                refused = self._asker.post(*smallest_call(self._kind, self._language))
        text = f"it took {slowest:.1f} s"
        yield Finding("/health answers at once during a load", slowest < AT_ONCE_SECONDS, text)
        health = self._asker.ask("GET", "/health").values
        is_loading = health.get("status") == "loading"
        if not is_loading:
            wait([loading], timeout=SETTLE_SECONDS)
        rule = "a call during a load is 503"
        if refused is None or (not is_loading and loading.done()):
            yield Finding(rule, True, "the load was over too soon to see", is_skipped=True)
            return
        yield Finding(rule, refused.status == 503, str(refused))
        yield Finding("it does not disturb the load", is_loading, str(health)[:200])

    def _afterwards(self) -> Iterator[Finding]:
        said = self._asker.ask("GET", "/no-such-path")
        yield Finding("an unknown path is 404", said.status == 404, str(said))
        health = self._asker.ask("GET", "/health").values
        is_ready = health.get("status") == "ready" and health.get("engineModelLoaded") is True
        yield Finding("bad calls leave it ready", is_ready, str(health)[:200])

    def end(self) -> Iterator[Finding]:
        """/shutdown, which ends the engine."""
        started = time.monotonic()
        said = self._asker.ask("POST", "/shutdown")
        is_told = said.values.get("status") == "shutting_down"
        yield Finding("/shutdown says that it shuts down", is_told, str(said))
        seconds = time.monotonic() - started
        yield Finding("it says so at once", seconds < AT_ONCE_SECONDS, f"after {seconds:.1f} s")
        while self._asker.ask("GET", "/health").status:
            if time.monotonic() - started > END_SECONDS:
                yield Finding("then it ends", False, f"it still answers after {END_SECONDS:g} s")
                return
            time.sleep(0.05)
        yield Finding("then it ends", True)


def examine(url: str, *, shut_down: bool = False) -> Iterator[Finding]:
    """Each finding for the engine at `url`.

    Raises httpx.HTTPError if nothing answers there at all, AnswerTooLong if that has no end.
    """
    with httpx.Client(base_url=url, verify=tls(), trust_env=False) as http:
        ask(http, "GET", "/health", seconds=END_SECONDS, most=MAX_WORDS_BYTES)
        examination = Examination(Asker(http))
        yield from examination.run()
        if shut_down:
            yield from examination.end()


def _read(rule: str, said: Said, shape: type[Health] | type[ModelList]) -> Finding:
    if said.status != 200:
        return Finding(rule, False, str(said))
    try:
        shape.model_validate_json(said.content)
    except ValidationError as error:
        return Finding(rule, False, str(error)[:300])
    return Finding(rule, True)
