#!/usr/bin/env python
"""The one entry point: serve, web, worker, link and the tools around them."""

import os
import signal
import sys

SETTING, NONE_KEPT = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"


def keep_no_memory_per_thread() -> None:
    """Begin anew without glibc's caches of freed memory, which each thread has for itself.

    Every host by SSH brings a thread: its cache is a third of what a host that is held costs. glibc
    reads this at the start of a process alone. What the environment says already counts.
    """
    if sys.platform == "linux" and SETTING not in os.environ:
        os.environ[SETTING] = NONE_KEPT
        os.execv(sys.executable, sys.orig_argv)


def main() -> None:
    # Not before a new beginning, which would throw it away.
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    if os.getpid() == 1:
        # Linux keeps from the first process of a container what it does not ask for.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "abm.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    if sys.argv[1:2] in (["serve"], ["link"]):
        keep_no_memory_per_thread()
    main()
