"""An engine on a remote host of the lab, for `bench.api`; the host is added as scripts do."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.fleet import Lab
from lab.own import OwnRemote, own_remote
from lab.place import LabError, the_place
from tests.browser.server import Served

ROOT = Path(__file__).resolve().parents[1]
ENGINE = "tone"
CONNECT_SECONDS = 30.0


def far_lab() -> Lab | None:
    """The lab, if it is up."""
    lab = Lab(the_place())
    try:
        lab.require_up()
    except LabError:
        return None
    return lab


@contextlib.contextmanager
def far_engine(lab: Lab, served: Served, key: str) -> Iterator[None]:
    """It runs while inside."""
    with own_remote(lab.place) as own:
        host = _add(served, own)
        until = time.monotonic() + CONNECT_SECONDS
        while not ask(served, key, "GET", f"/api/engine-hosts/{host}")["isAvailable"]:
            assert time.monotonic() < until, "abm never reached the host that it saved"
            time.sleep(0.1)
        source = {"name": "lab", "url": lab.place.catalog_url, "allowsPrivateAddresses": True}
        made = ask(served, key, "POST", "/api/catalog/sources", source)
        ask(served, key, "POST", f"/api/catalog/sources/{made['sourceId']}/sync?wait=true")
        variant = f"{ENGINE}:{host}"
        ask(served, key, "POST", f"/api/engines/{variant}/install")
        ask(served, key, "POST", f"/api/engines/tts/{variant}/start")
        yield


def _add(served: Served, own: OwnRemote) -> str:
    """Paste what is shown, accept the host key, and be let in; the host's id."""
    own.say(_hosts_add(served, own.url)["prepared"]["installCommand"])
    keys = _hosts_add(served, own.url)["tested"]["hostKeys"]
    added = _hosts_add(served, own.url, "--accept", keys[0]["fingerprint"])["host"]
    return str(added["hostId"])


def _hosts_add(served: Served, url: str, *more: str) -> dict[str, Any]:
    command = [sys.executable, "manage.py", "abm", "hosts", "add", url, "--name", "far", "--json"]
    said = subprocess.run(
        [*command, *more],
        cwd=ROOT,
        env=served.environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def ask(
    served: Served, key: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the API says; it must be well."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=300)
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    said: dict[str, Any] = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, said
    return said
