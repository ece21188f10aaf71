#!/usr/bin/env python
"""The one entry point: serve, web, worker, link and the tools around them."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "abm.settings")
    execute_from_command_line(sys.argv)
