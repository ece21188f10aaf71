"""Doing something as a user without rights, for what root is never refused."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

NOBODY = 65534


def as_nobody(work: Callable[[], Any]) -> Any:
    """What `work` gives in a child process without root's rights."""

    def child(told: Connection) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        told.send(work())

    forks = multiprocessing.get_context("fork")
    here, there = forks.Pipe()
    process = forks.Process(target=child, args=(there,))
    process.start()
    try:
        assert here.poll(10), "the child did not answer"
        return here.recv()
    finally:
        process.join(5)
