"""Images from elsewhere over the API: built, loaded, uploaded in parts, saved, copied, pushed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from accounts.host_grants import limit_to_hosts
from catalog.custom import CustomImage, write_custom
from catalog.definition import EngineDefinition
from catalog.models import CatalogEntry
from engines.sources.places import saved_files, uploads
from hosts.models import Host
from jobs.models import Job
from tests.api.conftest import Program, program_of
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import make_job, make_user

DOCKER = {"hostId": "docker:local"}
INSIDES = re.compile(r"Traceback|site-packages|psycopg|sqlite")

BUILD_TRICKS: list[dict[str, Any]] = [
    {},
    {"url": "https://git.example/x.git", "folder": "/srv"},
    {"folder": "/etc"},
    {"folder": "voice"},
    {"folder": "/proc/self"},
    {"url": "--upload-pack=reboot"},
    {"url": "-oProxyCommand=reboot"},
    {"url": "ext::sh -c reboot"},
    {"url": "file:///etc"},
    {"url": "https://git.example/x.git", "ref": "--upload-pack=reboot"},
    {"url": "https://git.example/x.git", "image": "voice; reboot"},
    {"url": "https://git.example/x.git", "image": "../x:1"},
    {"url": "https://git.example/x.git", "name": "../x"},
    {"url": "https://git.example/x.git", "platform": "linux/amd64 --rm"},
    {"url": "https://git.example/x.git", "network": "container:other"},
    {"url": "https://git.example/x.git", "buildArgs": {"A B": "1"}},
    {"url": "https://git.example/x.git", "buildArgs": {"A": "1\nB=2"}},
    {"url": "https://git.example/x\u202e.git"},
    {"url": "https://git.example/\x00"},
    {"url": "https://git.example/x.git", "entry": 1},
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Settings) -> Path:
    """A folder that the settings allow, and a data directory of the test's own."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    made = tmp_path / "allowed"
    (made / "voice").mkdir(parents=True)
    settings.MOUNT_ROOTS = [str(made)]
    return made


@pytest.fixture
def docker(db: None) -> Host:
    return make_host(
        host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL, facts={"machine": "amd64"}
    )


def test_a_build_is_a_job(program: Program, docker: Host, folder: Path) -> None:
    wish = {
        **DOCKER,
        "folder": str(folder / "voice"),
        "image": "localhost/abm/voice:2",
        "buildArgs": {"QUALITY": "high"},
        "is_fresh": True,
    }

    answer = program.post("/api/images/build", wish)

    assert answer.status_code == 202
    job = Job.objects.get(pk=answer.json()["job"]["jobId"])
    assert (job.action, job.host) == (Job.Action.BUILD, docker)
    assert job.params["image"] == "localhost/abm/voice:2"
    recipe = job.params["recipe"]
    assert (recipe["build_args"], recipe["is_fresh"]) == ({"QUALITY": "high"}, True)
    again = program.post("/api/images/build", wish).json()["job"]["jobId"]
    assert again == job.pk, "asked twice, done once"


def test_a_build_with_tricks_is_refused(program: Program, docker: Host) -> None:
    for wish in BUILD_TRICKS:
        answer = program.post("/api/images/build", {**DOCKER, **wish})

        assert answer.status_code in {400, 422}, (wish, answer.content)
        assert not INSIDES.search(answer.content.decode())
    assert not Job.objects.exists()


def test_a_file_of_this_machine_is_loaded(program: Program, docker: Host, folder: Path) -> None:
    (folder / "voice.tar").write_bytes(b"x")

    answer = program.post("/api/images/load", {**DOCKER, "path": str(folder / "voice.tar")})

    assert answer.status_code == 202
    assert Job.objects.get().params["path"] == str(folder / "voice.tar")
    for path in ("/etc/passwd", str(folder / ".." / ".." / "x"), "voice.tar", str(folder)):
        refused = program.post("/api/images/load", {**DOCKER, "path": path})
        assert refused.json()["detail"] == "[PATH_INVALID]", path


class TestUploads:
    def begin(self, program: Program, **values: Any) -> Any:
        wish = {**DOCKER, "name": "../voice.tar", "size": 6, **values}
        return program.post("/api/images/uploads", wish)

    def send(self, program: Program, token: str, offset: int, part: bytes) -> Any:
        return program.ask("PUT", f"/api/images/uploads/{token}?offset={offset}", part)

    def test_it_comes_in_parts_and_is_loaded(self, operating: Program, docker: Host) -> None:
        begun = self.begin(operating).json()
        token = begun["token"]

        assert self.send(operating, token, 0, b"abc").json()["received"] == 3
        early = operating.post(f"/api/images/uploads/{token}/load")
        assert early.json()["detail"] == "[UPLOAD_INCOMPLETE]"
        assert self.send(operating, token, 0, b"abc").json()["received"] == 3, "sent again"
        assert self.send(operating, token, 5, b"f").status_code == 416
        assert self.send(operating, token, 3, b"def").json()["received"] == 6
        assert operating.get(f"/api/images/uploads/{token}").json()["received"] == 6

        answer = operating.post(f"/api/images/uploads/{token}/load")

        assert answer.status_code == 202
        file = Path(Job.objects.get().params["path"])
        assert (file.name, file.read_bytes()) == ("voice.tar", b"abcdef")
        assert file.is_relative_to(uploads())

    def test_it_is_its_owners_alone(self, operating: Program, docker: Host) -> None:
        token = self.begin(operating).json()["token"]
        stranger = program_of(make_user("operator", "eve"))

        assert stranger.get(f"/api/images/uploads/{token}").status_code == 404
        assert self.send(stranger, token, 0, b"abc").status_code == 404
        assert self.send(operating, f"{token}x", 0, b"abc").status_code == 404

    def test_what_does_not_fit_is_refused(
        self, operating: Program, docker: Host, settings: Settings
    ) -> None:
        settings.MAX_IMAGE_MB = 1

        assert self.begin(operating, size=2_000_000).status_code == 413
        assert self.begin(operating, size=10**400).status_code == 422
        assert self.begin(operating, size=0).status_code == 422
        assert self.begin(operating, hostId="docker:nowhere").status_code == 404
        assert not list(uploads().iterdir())


class TestAnEnginesImage:
    @pytest.fixture
    def engine(self, docker: Host) -> Any:
        return make_engine(host=docker, name="voice", image="ghcr.io/me/voice", tag="1")

    def test_it_is_saved_and_fetched(self, operating: Program, engine: Any, docker: Host) -> None:
        path = "/api/engines/voice:docker:local/save-image"

        assert operating.post(path).json()["job"]["action"] == "save"

        (saved_files() / "0123-voice-1.tar").write_bytes(b"layers")
        job = make_job("succeeded", action="save", host=docker, params={"file": "0123-voice-1.tar"})
        answer = operating.get(f"/api/images/saved/{job.pk}")
        assert answer["Content-Type"] == "application/x-tar"
        assert answer["Content-Disposition"] == 'attachment; filename="voice-1.tar"'
        (saved_files() / "0123-voice-1.tar").unlink()
        gone = operating.get(f"/api/images/saved/{job.pk}")
        assert gone.json()["detail"] == f"[IMAGE_GONE]jobId:{job.pk}"

    def test_no_other_file_is_given_out(
        self, operating: Program, docker: Host, folder: Path
    ) -> None:
        for values in (
            {"action": "load_image", "params": {"file": "x"}},
            {"action": "save", "params": {"file": "../secret_key"}},
        ):
            job = make_job("succeeded", host=docker, **values)
            assert operating.get(f"/api/images/saved/{job.pk}").status_code == 404

    def test_it_is_copied_to_another_host(
        self, operating: Program, engine: Any, docker: Host
    ) -> None:
        make_host(host_id="docker:0a0a0a0a", host_type=Host.Type.DOCKER_REMOTE)
        path = "/api/engines/voice:docker:local/copy-image"

        assert operating.post(path, {"hostId": "docker:0a0a0a0a"}).status_code == 202
        assert operating.post(path, DOCKER).json()["detail"] == "[SAME_HOST]"

    def test_a_limited_operator_gets_none_of_another_host(self, engine: Any, docker: Host) -> None:
        olga = make_user("operator", "olga")
        limit_to_hosts(olga, hosts=[], user=None)
        program = program_of(olga)
        job = make_job("succeeded", action="save", host=docker, params={"file": "x"})

        assert program.post("/api/engines/voice:docker:local/save-image").status_code == 403
        assert program.get(f"/api/images/saved/{job.pk}").status_code == 403
        assert program.get(f"/api/images/found/{job.pk}").status_code == 403


class TestImagesMadeHere:
    @pytest.fixture
    def entry(self, docker: Host) -> CatalogEntry:
        raw = {"name": "voice", "display_name": "Voice", "engine_type": "tts"}
        image = CustomImage("localhost/abm/voice", "1", made_on=docker.host_id)
        return write_custom(EngineDefinition.model_validate(raw), image, user=None).entry

    def test_one_is_pushed(self, operating: Program, entry: CatalogEntry) -> None:
        wish = {**DOCKER, "entryId": entry.pk, "tag": "1", "to": "ghcr.io/me/voice:1"}

        assert operating.post("/api/images/push", wish).json()["job"]["action"] == "push"
        assert operating.post("/api/images/push", {**wish, "tag": "9"}).status_code == 404
        for bad in ("ghcr.io/me/Voice", "-x", "a b", "ghcr.io/../x", "x@sha256:1"):
            refused = operating.post("/api/images/push", {**wish, "to": bad})
            assert refused.json()["detail"] == "[IMAGE_INVALID]", bad

    def test_what_was_loaded_is_told_and_registered_for_its_host_alone(
        self, operating: Program, docker: Host
    ) -> None:
        rows = [{"name": "localhost/abm/low:3", "platform": "linux/arm64", "size": 5}]
        job = make_job("succeeded", action="load_image", host=docker, params={"images": rows})

        found = operating.get(f"/api/images/found/{job.pk}").json()
        said = operating.post(
            "/api/engines/docker/register",
            {
                "dockerImage": "localhost/abm/low",
                "dockerTag": "3",
                "displayName": "Low",
                "engineType": "tts",
            },
        )

        assert found["images"] == rows
        assert found["engineInfo"] is None
        assert said.status_code == 200
        entry = CatalogEntry.objects.get(name="low")
        assert entry.extra["made_on"] == {"3": "docker:local"}
        assert entry.variants.get().platforms == ["linux/arm64"]


def test_a_docker_that_is_away_is_a_503(program: Program, docker: Host, folder: Path) -> None:
    Host.objects.update(is_available=False, state=Host.State.UNREACHABLE)

    for path, wish in {
        "build": {"folder": str(folder)},
        "load": {"path": str(folder)},
        "uploads": {"name": "x.tar", "size": 1},
    }.items():
        assert program.post(f"/api/images/{path}", {**DOCKER, **wish}).status_code == 503
