"""The one thread in which an engine works, and the state that /health tells of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from abm_engine.engine import Reject
from abm_engine.requests import Invalid

T = TypeVar("T")
LOADING = "Model loading in progress. Retry after loading completes."
log = logging.getLogger("abm_engine")


class Work:
    """Runs one call at a time. The model counts as loaded only when its load has ended."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.error: str | None = None
        self._is_loading = False
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    @property
    def status(self) -> str:
        """`loading`, `processing`, `error` after a failure until the next success, or `ready`."""
        if self._is_loading:
            return "loading"
        if self._waiting:
            return "processing"
        return "error" if self.error else "ready"

    def require_ready(self) -> None:
        """Refuses without touching the state: a call during a load does not disturb the load."""
        if self._is_loading:
            raise Reject(503, LOADING)
        if self.model is None:
            raise Reject(400, "Model not loaded")

    async def load(self, model: str, call: Callable[[], None]) -> None:
        """Load by `call`; 503 while another load runs. The old model is gone from the start."""
        if self._is_loading:
            raise Reject(503, LOADING)
        self._is_loading, self.model = True, None
        try:
            await self._in_thread(f"Loading {model}", call)
            self.model = model
        finally:
            self._is_loading = False

    async def do(self, what: str, call: Callable[[], T]) -> T:
        """The result of `call`; `what` names it in the log. An error of the engine is a 500."""
        self._waiting += 1
        try:
            return await self._in_thread(what, call)
        finally:
            self._waiting -= 1

    async def _in_thread(self, what: str, call: Callable[[], T]) -> T:
        started = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        await asyncio.wait([future])
        error = future.exception()
        if error is None:
            self.error = None
            log.info("%s took %.2f s", what, time.monotonic() - started)
            return future.result()
        if isinstance(error, Reject | Invalid):
            raise error
        self.error = f"{type(error).__name__}: {error}"
        log.error("%s failed", what, exc_info=error)
        raise Reject(500, self.error) from error
