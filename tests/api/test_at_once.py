"""Fifty programs ask for the same at once: every kind of work becomes one job."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from pytest_django import Settings

from catalog.custom import CustomImage, write_custom
from catalog.definition import EngineDefinition
from catalog.models import CatalogSource
from engines.models import Engine, Sample
from hosts.models import Host
from jobs.models import Job
from tests.api.conftest import Program, program_of
from tests.engines.factories import make_engine, make_host, variant_of
from tests.pages.factories import make_job, make_user

pytestmark = pytest.mark.engine
PROGRAMS = 50
HOST, VOICE = "/api/engine-hosts/docker:local", "/api/engines/voice:docker:local"
TYPED = "/api/engines/tts/voice:docker:local"
CONTAINER = "0123456789ab"
Asked = tuple[str, str, Any]
Made = Callable[["Ground"], Asked]


class Ground:
    """A Docker host with one of everything that can be asked for; nobody does the work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = str(folder / "models")
        self.host = make_host(
            host_id="docker:local",
            host_type=Host.Type.DOCKER_LOCAL,
            facts={"machine": "amd64"},
            samples_path="/srv/samples",
            models_path=self.models,
            disk={"rows": [{"choice": "image:old"}]},
            strays=[{"id": CONTAINER, "name": "lost"}],
            model_places=[
                {"source": self.models, "title": "Models", "entries": [{"path": "old"}]},
            ],
        )
        self.far = make_host(host_id="docker:far", host_type=Host.Type.DOCKER_LOCAL)
        self.variant = variant_of("ghcr.io/me/new", name="new")
        self.engine = make_engine(
            host=self.host,
            name="voice",
            image="ghcr.io/me/voice",
            tag="1",
            previous_image_id="sha256:1",
        )
        self.engine.engine_models.create(name="small", is_default=True)
        Sample.objects.create(
            name="Ada", file="ada.wav", rate=24_000, channels=1, seconds=7.0, size=100
        )

    def becomes(self, state: Engine.State) -> None:
        Engine.objects.filter(pk=self.engine.pk).update(state=state)

    def failed(self, action: str, engine: Engine | None = None, **params: Any) -> Job:
        return make_job("failed", action=action, host=self.host, engine=engine, params=params)

    def uploaded(self, program: Program) -> str:
        wish = {"hostId": "docker:local", "name": "voice.tar", "size": 3}
        token: str = program.post("/api/images/uploads", wish).json()["token"]
        program.ask("PUT", f"/api/images/uploads/{token}?offset=0", b"abc")
        return token


@pytest.fixture
def ground(transactional_db: None, tmp_path: Path, settings: Settings) -> Ground:
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.MOUNT_ROOTS = [str(tmp_path)]
    settings.API_WRITES_PER_MINUTE = 0
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice.tar").write_bytes(b"x")
    CatalogSource.objects.all().delete()
    return Ground(tmp_path)


def of(method: str, path: str, body: Any = None) -> Made:
    return lambda ground: (method, path, body)


def on_docker(path: str, **body: Any) -> Made:
    return of("POST", path, {"hostId": "docker:local", **body})


def running(method: str, path: str, body: Any = None) -> Made:
    def made(ground: Ground) -> Asked:
        ground.becomes(Engine.State.RUNNING)
        return method, path, body

    return made


def build(ground: Ground) -> Asked:
    wish = {"hostId": "docker:local", "folder": str(ground.folder / "voice")}
    return "POST", "/api/images/build", wish


def load_file(ground: Ground) -> Asked:
    wish = {"hostId": "docker:local", "path": str(ground.folder / "voice.tar")}
    return "POST", "/api/images/load", wish


def load_upload(ground: Ground) -> Asked:
    program = program_of(make_user("admin", "sender"))
    ground.program = program  # type: ignore[attr-defined]
    return "POST", f"/api/images/uploads/{ground.uploaded(program)}/load", None


def push(ground: Ground) -> Asked:
    raw = {"name": "own", "display_name": "Own", "engine_type": "tts"}
    image = CustomImage("localhost/abm/own", "1", made_on="docker:local")
    entry = write_custom(EngineDefinition.model_validate(raw), image, user=None).entry
    wish = {"hostId": "docker:local", "entryId": entry.pk, "tag": "1", "to": "ghcr.io/me/own:1"}
    return "POST", "/api/images/push", wish


def delete_models(ground: Ground) -> Asked:
    return "POST", f"{HOST}/models/delete", {"source": ground.models, "path": "old"}


def sync(ground: Ground) -> Asked:
    source = CatalogSource.objects.create(
        name="more", kind=CatalogSource.Kind.ONLINE, url="https://catalog.example/c.yaml"
    )
    return "POST", f"/api/catalog/sources/{source.pk}/sync", None


def again_an_engines(ground: Ground) -> Asked:
    return "POST", f"/api/jobs/{ground.failed('test', ground.engine).pk}/retry", None


def again_a_hosts(ground: Ground) -> Asked:
    return "POST", f"/api/jobs/{ground.failed('build', image='x:1', key='a').pk}/retry", None


KINDS: dict[str, Made] = {
    "install": of("POST", "/api/engines/new:docker:local/install?wait=false"),
    "uninstall": of("DELETE", f"{VOICE}/uninstall?wait=false"),
    "update": of("POST", f"{VOICE}/pull-update?wait=false"),
    "rollback": of("POST", f"{VOICE}/rollback"),
    "start": of("POST", f"{TYPED}/start?wait=false"),
    "stop": running("POST", f"{TYPED}/stop?wait=false"),
    "restart": running("POST", f"{VOICE}/restart"),
    "load": running("POST", f"{VOICE}/load", {"modelName": "small"}),
    "test": of("POST", f"{VOICE}/test"),
    "discover": of("POST", f"{VOICE}/discover-models?wait=false"),
    "save": of("POST", f"{VOICE}/save-image"),
    "copy": of("POST", f"{VOICE}/copy-image", {"hostId": "docker:far"}),
    "push": push,
    "build": build,
    "load_image": load_file,
    "load_image of an upload": load_upload,
    "examine": of(
        "POST", "/api/engines/docker/discover?wait=false", {"dockerImage": "ghcr.io/me/x"}
    ),
    "reclaim": of("POST", f"{HOST}/reclaim", {"chosen": ["image:old"]}),
    "delete": delete_models,
    "samples": of("POST", f"{HOST}/samples/bring"),
    "folder": of("POST", f"{HOST}/folders/samples"),
    "adopt": of("POST", f"{HOST}/strays/{CONTAINER}/adopt"),
    "remove": of("DELETE", f"{HOST}/strays/{CONTAINER}"),
    "sync": sync,
    "test again": again_an_engines,
    "build again": again_a_hosts,
}


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_at_once_make_one_job_of_each_kind(ground: Ground, kind: str) -> None:
    method, path, body = KINDS[kind](ground)
    asking = getattr(ground, "program", None) or program_of(make_user("admin"))
    before = set(Job.objects.values_list("pk", flat=True))
    start, answers = threading.Barrier(PROGRAMS), []

    def ask() -> None:
        start.wait(30)
        answers.append(Program(asking.key).ask(method, path, body))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(PROGRAMS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    said = {(answer.status_code, answer.content[:200]) for answer in answers}
    assert {status for status, _ in said} == {202}, said
    made = Job.objects.exclude(pk__in=before).get()
    assert made.action == kind.split()[0]
    assert {answer.json()["job"]["jobId"] for answer in answers} == {made.pk}
    assert len(answers) == PROGRAMS


def test_every_kind_of_job_is_asked_for_here() -> None:
    assert {kind.split()[0] for kind in KINDS} == set(Job.Action.values)
