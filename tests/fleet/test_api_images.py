"""Images by the API alone, on a real Docker: built, saved, fetched, sent back, installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.fleet import Lab
from tests.browser.server import ROOT
from tests.fleet.abm import NAME, Ground, ground
from tests.fleet.test_sources import write

pytestmark = pytest.mark.fleet
HOST = "docker:local"


class Asking:
    """A program with a token."""

    def __init__(self, it: Ground) -> None:
        served = it.abm.served
        command = [sys.executable, "manage.py", "abm", "token", "create", "--user", NAME]
        said = subprocess.run(
            [*command, "--name", "images", "--role", "admin"],
            cwd=ROOT,
            env=served.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        headers = {"X-API-Key": said.stdout.split()[-1]}
        self.http = httpx.Client(
            base_url=f"{served.url}/api", headers=headers, timeout=120, trust_env=False
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.http.request(method, path, **more)
        assert answer.status_code == 200, answer.text[:2_000]
        return answer

    def done(self, path: str, **more: Any) -> dict[str, Any]:
        """The job, once it ended well."""
        job: dict[str, Any] = self.ask("POST", f"{path}?wait=true", **more).json()["job"]
        assert job["status"] == "succeeded", job["error"]
        return job


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="module")
def it(lab: Lab, allowed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("abm")
    with ground(lab.place, folder, environment={"MOUNT_ROOTS": str(allowed)}) as made:
        yield made


def test_an_image_goes_out_and_comes_back(it: Ground, allowed: Path, registry_address: str) -> None:
    base = f"{registry_address}/lab/tiny:latest"
    it.client.images.pull(base)
    asking = Asking(it)
    folder = write(allowed / "round", "round", base)

    asking.done("/images/build", json={"hostId": HOST, "folder": str(folder)})
    asking.ask("POST", f"/engines/round:{HOST}/install")
    saved = asking.done(f"/engines/round:{HOST}/save-image")
    file = asking.ask("GET", f"/images/saved/{saved['jobId']}").content
    asking.ask("DELETE", f"/engines/round:{HOST}/uninstall")
    tags = [tag for image in it.client.images.list() for tag in image.tags]
    assert "localhost/abm/round:latest" not in tags, "so what comes back is what was sent"

    wish = {"hostId": HOST, "name": "round.tar", "size": len(file)}
    upload = asking.ask("POST", "/images/uploads", json=wish).json()
    place, part = f"/images/uploads/{upload['token']}", 100_000
    for offset in range(0, len(file), part):
        asking.ask("PUT", f"{place}?offset={offset}", content=file[offset : offset + part])
    loaded = asking.done(f"{place}/load")

    found = asking.ask("GET", f"/images/found/{loaded['jobId']}").json()["images"]
    assert [row["name"] for row in found] == ["localhost/abm/round:latest"]
    assert it.client.images.get("localhost/abm/round:latest")
    asking.ask("POST", f"/engines/round:{HOST}/install")
    asking.ask("POST", f"/engines/tts/round:{HOST}/start")
