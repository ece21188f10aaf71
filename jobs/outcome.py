"""How work ends when it does not succeed, and how it is asked to end."""

import threading
from collections.abc import Callable


class WorkFailed(Exception):
    """The world failed. `message` is a sentence for the user, `detail` the raw text below it."""

    code = "WORK_FAILED"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class Cancelled(Exception):
    """Somebody asked to stop; not a failure."""

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message)
        self.message = message


class CancelToken:
    """Lets another thread stop a long call, also while the call's stream is silent.

    A runner registers what ends its wait (`on_cancel(process.kill)`) and calls `check()` between
    lines. Callbacks run once, in the cancelling thread; one registered late runs at once.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self.reason = ""

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self, reason: str = "Cancelled.") -> None:
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], object]) -> None:
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def check(self) -> None:
        """Raise Cancelled if somebody asked to stop."""
        if self._event.is_set():
            raise Cancelled(self.reason)

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds`; True as soon as it is cancelled."""
        return self._event.wait(seconds)
