"""The choice at an engine whose host is away, and what becomes of it while its page lives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import sign_in
from tests.browser.server import ROOT, Served

MAKE = """
from engines.models import Engine
from hosts.models import Host, RemoteAccess
from hosts.ssh.keys import fresh_key, sealed
host = Host.objects.create(
    host_id="docker:aaaa1111", display_name="gpu-box", host_type="docker:remote",
    state="unreachable", ssh_url="ssh://anna@127.0.0.1:9")
RemoteAccess.objects.create(
    host=host, mark=host.host_id, address=host.ssh_url, key=sealed(fresh_key()),
    known_keys=[fresh_key().public])
engine = Engine.objects.create(
    name="away", display_name="Away", host=host, engine_type="tts", state="stopped", definition={})
print("made", engine.pk)
"""
DRAW = """
from engines.models import Engine
from jobs.events import announce
Engine.objects.filter(name="away").update(version="{version}")
announce("engines", "engine.changed", pk=Engine.objects.get(name="away").pk)
"""
CLEAR = "from hosts.models import *; h = Host.objects.get(host_id='docker:aaaa1111'); \
h.jobs.all().delete(); h.engines.all().delete(); h.delete()"


def in_abm(served: Served, text: str) -> str:
    """What a shell of this abm prints."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", text],
        cwd=ROOT,
        env=served.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def engine(served: Served) -> Iterator[int]:
    """The key of an engine on a host by SSH that nobody answers for."""
    yield int(in_abm(served, MAKE).rpartition("made")[2])
    in_abm(served, CLEAR)


def test_it_stays_as_chosen_when_the_page_is_drawn_again(
    context: BrowserContext, served: Served, engine: int
) -> None:
    page: Page = context.new_page()
    sign_in(page)
    page.goto(f"/engines/{engine}/")
    choice = page.get_by_label("gpu-box is not reachable")
    expect(choice).to_have_value("wait")
    choice.select_option("fail")

    in_abm(served, DRAW.format(version="7.7"))
    expect(page.get_by_text("7.7", exact=True)).to_be_visible()

    expect(choice).to_have_value("fail")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("gpu-box")
