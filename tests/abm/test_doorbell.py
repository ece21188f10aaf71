"""The broker of an abm without servers beside it."""

from __future__ import annotations

import threading

import pytest
from kombu import Connection, Queue

from abm import doorbell

LONG = 20.0


def test_a_waiting_worker_is_woken_by_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "IDLE_SECONDS", LONG)
    queue, heard, waits = Queue("woken"), threading.Event(), threading.Event()

    def listen() -> None:
        with Connection(transport="abm.doorbell:Transport") as there:

            def hear(body: object, message: object) -> None:
                heard.set()

            with there.Consumer(queue, callbacks=[hear], no_ack=True):
                waits.set()
                there.drain_events(timeout=LONG)

    listener = threading.Thread(target=listen)
    listener.start()
    waits.wait(LONG)
    with Connection(transport="abm.doorbell:Transport") as here:
        here.Producer().publish("come", routing_key="woken", declare=[queue])

    assert heard.wait(LONG / 4)
    listener.join(LONG)


def test_without_a_message_the_wait_ends_in_time() -> None:
    with (
        Connection(transport="abm.doorbell:Transport") as there,
        there.Consumer(Queue("silent"), callbacks=[lambda body, message: None]),
        pytest.raises(TimeoutError),
    ):
        there.drain_events(timeout=0.1)
