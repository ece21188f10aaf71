"""Speaker samples and folders of a host by SSH, where abm sees no file by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.fleet import Lab
from lab.own import OwnRemote, own_remote
from tests.engines.recordings import recording
from tests.fleet.far_abm import FarAbm, far_abm

pytestmark = pytest.mark.fleet
ENGINE = "tone"


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnRemote]:
    with own_remote(lab.place) as made:
        yield made


@pytest.fixture(scope="module")
def abm(lab: Lab, own: OwnRemote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarAbm]:
    with far_abm(tmp_path_factory.mktemp("far"), lab.place.catalog_url) as made:
        made.add(own)
        made.installed(ENGINE, starts=True)
        made.until_state(ENGINE, "running", seconds=60)
        yield made


def add(abm: FarAbm, name: str) -> str:
    """Upload a sample as a page does; its file's name."""
    answer = abm.http.post(
        "/engines/samples/",
        data={"name": name},
        files={"audio": (f"{name}.wav", recording(), "audio/wav")},
        headers={"X-CSRFToken": abm.http.cookies["csrftoken"]},
    )
    assert answer.is_redirect or answer.is_success, answer.text[:1500]
    return str(abm.row("engines_sample", "name = ?", name).file)


def all_done(abm: FarAbm) -> None:
    abm.until(lambda: not abm.rows("jobs_job", "finished_at IS NULL"), 30)
    assert not abm.rows("jobs_job", "status = 'failed'"), abm.story()


def folder(abm: FarAbm) -> dict[str, Any]:
    return dict(json.loads(abm.host.folders)["samples"])


def in_container(own: OwnRemote) -> list[str]:
    """What the engine sees."""
    name = own.say("docker ps --format '{{.Names}}' --filter label=abm.engine").split()[0]
    return own.say(f"docker exec {name} ls /app/samples").split()


def test_a_sample_reaches_a_running_engine_and_goes_again(abm: FarAbm, own: OwnRemote) -> None:
    file = add(abm, "Ada")
    all_done(abm)
    assert in_container(own) == [file]
    assert folder(abm)["names"] == [file]

    pk = abm.row("engines_sample", "name = 'Ada'").pk
    abm.post(f"/engines/samples/{pk}/delete/")
    all_done(abm)
    assert in_container(own) == []


def test_its_volume_is_no_engines_own(own: OwnRemote, abm: FarAbm) -> None:
    said = own.say("docker volume ls --format '{{.Name}}' --filter label=abm.deployment")
    shared = [name for name in said.split() if name.endswith("-samples")]
    labels = own.say(f"docker volume inspect --format '{{{{.Labels}}}}' {shared[0]}")

    assert len(shared) == 1
    assert "abm.engine" not in labels


def test_a_folder_that_is_missing_is_told_made_and_read_before_a_start(
    abm: FarAbm, own: OwnRemote
) -> None:
    pk, wanted = abm.host.pk, str(own.remote.folder / "theirs" / "samples")
    form = {"display_name": "gpu-box", "is_enabled": "on", "models_path": ""}
    abm.post(f"/hosts/{pk}/change/", **form, samples_path=wanted)
    abm.post(f"/engines/hosts/{pk}/disk/read/")
    abm.until(lambda: folder(abm)["source"] == wanted)
    assert folder(abm)["is_there"] is False
    assert "Not there yet" in abm.http.get(f"/hosts/{pk}/").text

    abm.post(f"/engines/hosts/{pk}/folders/samples/")
    all_done(abm)
    assert folder(abm)["is_there"] is True
    file = add(abm, "Bo")
    all_done(abm)
    abm.done(ENGINE, "restart")
    assert in_container(own) == [file]
