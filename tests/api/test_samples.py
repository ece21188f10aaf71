"""Speaker samples and the places of a host over the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse
from pytest_django import Settings

from engines.models import Sample
from engines.sample_models import own_samples
from hosts.models import Host, RemoteAccess
from jobs.models import Job
from tests.api.conftest import As
from tests.engines.factories import make_away, make_engine, make_host
from tests.engines.recordings import recording

WAV = recording()


@pytest.fixture
def elsewhere(db: None, settings: Settings, tmp_path: Path) -> Host:
    """A host that has samples of its own."""
    settings.DATA_DIR = tmp_path
    host = make_host(
        host_type=Host.Type.DOCKER_LOCAL, host_id="docker:local", samples_path="/srv/s"
    )
    make_engine(host=host)
    return host


def added(as_role: As, name: str = "Ann") -> int:
    answer = as_role("operator").ask("POST", f"/api/samples?name={name}", WAV)
    assert answer.status_code == 200, answer.content
    return int(answer.json()["sample"]["sampleId"])


def test_one_is_added_listed_downloaded_and_deleted(
    as_role: As, elsewhere: Host, django_capture_on_commit_callbacks: Any
) -> None:
    viewer, operator = as_role("viewer"), as_role("operator")
    pk = added(as_role)

    (row,) = viewer.get("/api/samples").json()["samples"]
    assert (row["name"], row["seconds"], row["size"], row["advice"]) == ("Ann", 7.0, len(WAV), [])
    assert viewer.get(f"/api/samples/{pk}").json()["sample"] == row
    audio = viewer.get(f"/api/samples/{pk}/audio")
    assert isinstance(audio, FileResponse) and audio["Content-Type"] == "audio/wav"
    assert b"".join(audio) == WAV

    with django_capture_on_commit_callbacks(execute=True):
        assert operator.delete(f"/api/samples/{pk}").status_code == 200
    assert viewer.get(f"/api/samples/{pk}").json()["detail"] == f"[SAMPLE_NOT_FOUND]sampleId:{pk}"
    assert list(own_samples().iterdir()) == []


def test_what_no_engine_can_use_is_refused_with_the_reason(as_role: As, elsewhere: Host) -> None:
    answer = as_role("operator").ask("POST", "/api/samples?name=Ann", b"OggS" + bytes(100))

    assert answer.status_code == 400
    assert "no WAV file" in answer.json()["message"]
    assert not Sample.objects.exists()


def test_a_file_that_is_gone_is_told(as_role: As, elsewhere: Host) -> None:
    pk = added(as_role)
    Sample.objects.get().path.unlink()

    answer = as_role("viewer").get(f"/api/samples/{pk}/audio")

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("[SAMPLE_FILE_GONE]")


def test_hosts_tell_what_they_lack_and_are_brought_it(as_role: As, elsewhere: Host) -> None:
    local = make_host(host_id="local")
    added(as_role)
    Job.objects.all().delete()  # it is brought at once
    file = Sample.objects.get().file

    def states() -> dict[str, list[object]]:
        rows = as_role("viewer").get("/api/samples").json()["hosts"]
        return {row["hostId"]: [row["state"], row["missing"], row["obsolete"]] for row in rows}

    assert states() == {
        "docker:local": ["lacking", [file], []],
        local.host_id: ["shared", [], []],
    }
    answer = as_role("operator").post("/api/engine-hosts/docker:local/samples/bring")
    assert (answer.status_code, answer.json()["job"]["action"]) == (202, "samples")

    Host.objects.filter(pk=elsewhere.pk).update(brought_samples=[file, "old.wav"])
    assert states()["docker:local"] == ["lacking", [], ["old.wav"]]
    Host.objects.filter(pk=elsewhere.pk).update(brought_samples=[file])
    assert states()["docker:local"][0] == "complete"
    Host.objects.filter(pk=elsewhere.pk).update(state=Host.State.UNREACHABLE)
    assert states()["docker:local"][0] == "unknown"


def test_the_places_of_a_host_are_told_and_made(as_role: As, elsewhere: Host) -> None:
    row = {
        "source": "/srv/s",
        "is_folder": True,
        "is_there": False,
        "is_abms_own": False,
        "size": None,
        "is_whole": True,
        "names": [],
        "error": "",
    }
    Host.objects.filter(pk=elsewhere.pk).update(folders={"samples": row})

    told = as_role("viewer").get("/api/engine-hosts/docker:local/folders").json()
    assert [(one["kind"], one["isThere"]) for one in told["folders"]] == [("samples", False)]
    assert told["samples"]["hostId"] == "docker:local"
    assert (
        as_role("operator").post("/api/engine-hosts/docker:local/folders/samples").status_code
        == 403
    )
    made = as_role("admin").post("/api/engine-hosts/docker:local/folders/samples")
    assert (made.status_code, made.json()["job"]["action"]) == (202, "folder")
    again = as_role("admin").post("/api/engine-hosts/docker:local/folders/samples?whenAway=fail")
    assert (again.status_code, again.json()["detail"][:13]) == (409, "[JOB_RUNNING]")


def test_a_move_keeps_what_was_chosen_for_work_while_the_host_is_away(
    as_role: As, db: None
) -> None:
    host = make_away(waits_while_away=False)
    path = f"/api/engine-hosts/{host.host_id}"

    assert as_role("admin").patch(path, {"isAlwaysOn": False}).status_code == 200
    assert not RemoteAccess.objects.get().waits_while_away
    assert as_role("admin").patch(path, {"waitsWhileAway": True}).status_code == 200
    assert RemoteAccess.objects.get().waits_while_away
