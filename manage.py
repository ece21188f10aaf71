#!/usr/bin/env python
"""The one entry point: serve, web, worker, link and the tools around them."""

import os
import signal
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    if os.getpid() == 1:
        # Linux keeps from the first process of a container what it does not ask for.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "abm.settings")
    execute_from_command_line(sys.argv)
