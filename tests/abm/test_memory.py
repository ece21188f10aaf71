"""What a process does not need it does not read: a worker and a link have no pages and no API."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.server import ROOT, Served

BEGUN_AS_A_WORKER = """
import sys
import django
django.setup()
from celery.signals import import_modules, worker_init
from abm.celery import app
app.loader.import_default_modules()
worker_init.send(sender=None)
print(*sorted({"ninja", "abm.urls", "abm.api", "daphne", "engines.tasks"} & set(sys.modules)))
"""


@pytest.mark.engine
def test_a_worker_reads_neither_pages_nor_the_api_nor_the_server(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", BEGUN_AS_A_WORKER],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "abm.settings"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout

    assert said.split() == ["engines.tasks"]


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
@pytest.mark.parametrize("said", ["", "glibc.malloc.tcache_count=3"])
def test_threads_keep_no_memory_unless_the_environment_says_so(tmp_path: Path, said: str) -> None:
    served = Served(tmp_path, **({"GLIBC_TUNABLES": said} if said else {}))
    served.start()
    try:
        assert served.process is not None
        environment = Path(f"/proc/{served.process.pid}/environ").read_bytes().split(b"\0")
    finally:
        served.kill()

    told = said or "glibc.malloc.tcache_count=0"
    assert f"GLIBC_TUNABLES={told}".encode() in environment
