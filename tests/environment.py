"""The environment that settings read in tests; loaded by `-p` before anything else is.

A data directory of its own, no network, plain static files. CI and a person may give a
DATABASE_URL, so that the same tests run on PostgreSQL.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Generator

import pytest

KEPT = ("DATABASE_URL", "DATABASE_PASSWORD")

_folder = tempfile.mkdtemp(prefix="abm-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

for _name in [name for name in os.environ if name.startswith(("ADMIN_", "ENGINE", "JOB"))]:
    del os.environ[_name]
os.environ.update(
    DATA_DIR=_folder,
    SECRET_KEY="only for tests",
    DEBUG="true",
    CATALOG_URL="",
    CATALOG_SYNC="false",
    ALLOWED_HOSTS="testserver",
    LOG_LEVEL="WARNING",
)

QUICK = "not engine and not browser"
PROCESSES = 3
"""Half of a quick test's time is waiting: three share two cores well."""


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """The quick suite runs in several processes, unless `-n` says how many."""
    is_told = config.option.numprocesses is not None or "PYTEST_XDIST_WORKER" in os.environ
    if config.option.markexpr == QUICK and not is_told:
        config.option.numprocesses, config.option.dist = PROCESSES, "loadfile"
    return (yield)
