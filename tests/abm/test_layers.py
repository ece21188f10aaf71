"""The channel layer of one process: what a worker's thread sends arrives at once."""

from __future__ import annotations

import asyncio
import threading
import time

from asgiref.sync import async_to_sync

from abm.layers import ThreadSafeInMemoryChannelLayer

SOON = 0.25
"""Seconds; a message that waits for other traffic takes far longer on an idle loop."""


async def test_a_message_from_another_thread_wakes_the_loop() -> None:
    layer = ThreadSafeInMemoryChannelLayer()
    channel = await layer.new_channel()
    await layer.group_add("engines", channel)
    waiting = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)  # the task begins to wait

    sent: list[float] = []

    def work() -> None:
        sent.append(time.monotonic())
        async_to_sync(layer.group_send)("engines", {"type": "engine.changed", "pk": 3})

    thread = threading.Thread(target=work)
    thread.start()
    message = await asyncio.wait_for(waiting, 5)
    took = time.monotonic() - sent[0]
    await asyncio.to_thread(thread.join)

    assert message == {"type": "engine.changed", "pk": 3}
    assert took < SOON


async def test_many_threads_lose_nothing() -> None:
    layer = ThreadSafeInMemoryChannelLayer(capacity=2_000)
    channel = await layer.new_channel()
    await layer.group_add("jobs", channel)
    first = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)

    def work(number: int) -> None:
        for count in range(50):
            async_to_sync(layer.group_send)("jobs", {"type": "t", "pk": number * 100 + count})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    got = {(await first)["pk"]}
    while len(got) < 200:
        got.add((await asyncio.wait_for(layer.receive(channel), 5))["pk"])

    assert got == {number * 100 + count for number in range(4) for count in range(50)}


async def test_a_message_within_the_loop_arrives() -> None:
    layer = ThreadSafeInMemoryChannelLayer()
    channel = await layer.new_channel()
    waiting = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)

    await layer.send(channel, {"type": "t"})

    assert await asyncio.wait_for(waiting, 5) == {"type": "t"}


def test_sending_where_nobody_listens_returns() -> None:
    layer = ThreadSafeInMemoryChannelLayer()

    async_to_sync(layer.group_send)("engines", {"type": "engine.changed"})
