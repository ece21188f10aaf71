"""Engines over the API, with a host in memory that does what it is told, and real HTTP engines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from catalog.models import CatalogSource
from engines import services, work
from engines.models import Engine
from hosts.models import Gpu, Host
from hosts.runners.base import ImageNotFound, ImageState
from hosts.runners.fake import FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from jobs.models import Job
from tests.api.conftest import Program, program_of
from tests.engines.factories import make_away, make_engine, make_host, variant_of
from tests.engines.speaking import SpeakingEngine, speaking_engine
from tests.pages.factories import make_job, make_user

KEYS = {
    "variantId",
    "displayName",
    "version",
    "engineType",
    "isEnabled",
    "isRunning",
    "isDefault",
    "isPulling",
    "status",
    "port",
    "errorMessage",
    "idleTimeoutSeconds",
    "secondsUntilAutoStop",
    "keepRunning",
    "supportedLanguages",
    "allSupportedLanguages",
    "device",
    "gpuMemoryUsedMb",
    "gpuMemoryTotalMb",
    "availableModels",
    "loadedModel",
    "defaultModelName",
    "defaultLanguage",
    "baseEngineName",
    "runnerId",
    "runnerType",
    "runnerHost",
    "source",
    "dockerImage",
    "dockerTag",
    "isInstalled",
    "parameters",
}
VOICE = "voice:docker:local"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost()
    monkeypatch.setitem(RUNNERS, Host.Type.DOCKER_LOCAL, lambda setup: FakeRunner(fake))
    return fake


@pytest.fixture
def speaking() -> Iterator[SpeakingEngine]:
    with speaking_engine() as engine:
        yield engine


@pytest.fixture
def at_work(
    transactional_db: None,
    fake: FakeHost,
    speaking: SpeakingEngine,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
) -> Iterator[Program]:
    """A worker that does each job as it comes, in a thread of its own; a program to ask."""
    settings.DATA_DIR = tmp_path
    settings.ENGINE_START_TIMEOUT = 5
    fake.url = speaking.url
    fake.offered["registry.example/voice:latest"] = ImageState("sha256:" + "1" * 64)
    threads: list[threading.Thread] = []

    def do(name: str, args: list[int]) -> None:
        if name == "engines.run_job":
            work.run(args[0])
        connections.close_all()

    def send(name: str, args: list[int], **options: object) -> None:
        threads.append(threading.Thread(target=do, args=(name, args)))
        threads[-1].start()

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send)
    make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    variant_of("registry.example/voice")
    yield program_of(make_user("admin"))
    for thread in threads:
        thread.join(20)


def engine_at(state: Engine.State = Engine.State.STOPPED, **values: object) -> Engine:
    host = Host.objects.filter(host_id="local").first() or make_host(host_id="local")
    return make_engine(host=host, state=state, name="tiny", **values)


def test_the_list_has_the_contract_s_keys_by_type(viewing: Program) -> None:
    engine = engine_at(state=Engine.State.RUNNING, port=8766, package_version="1.2")
    engine.engine_models.create(name="small", is_default=True)
    make_engine(host=engine.host, engine_type="stt", name="ear", state=Engine.State.FAILED)

    said = viewing.get("/api/engines/status").json()

    row = said["tts"][0]
    assert set(row) == KEYS
    assert row["variantId"] == "tiny:local"
    assert row["displayName"].endswith(" (venv)")
    assert (row["status"], row["version"], row["port"]) == ("running", "1.2", 8766)
    assert row["availableModels"] == ["small"]
    assert row["defaultModelName"] == "small"
    assert row["idleTimeoutSeconds"] == 300
    assert said["stt"][0]["status"] == "error"
    assert (said["hasTtsEngine"], said["hasSttEngine"], said["hasTextEngine"]) == (
        True,
        True,
        False,
    )
    assert said["variantGroups"] is None


def test_memory_on_cards_is_told_where_it_is_known(viewing: Program) -> None:
    engine = engine_at(state=Engine.State.RUNNING, uses_gpu=True)
    still = make_engine(host=engine.host, name="still", uses_gpu=True)
    Gpu.objects.create(
        host=engine.host,
        uuid="GPU-1",
        name="RTX 3060",
        memory_total=12 * 2**30,
        holders=[
            {"engine": engine.pk, "name": "Tiny", "memory": 2 * 2**30},
            {"engine": still.pk, "name": "Still", "memory": 2**30},
        ],
        read_at=timezone.now(),
    )

    rows = {row["variantId"]: row for row in viewing.get("/api/engines/status").json()["tts"]}

    told = [rows["tiny:local"][f"gpuMemory{word}Mb"] for word in ("Used", "Total")]
    assert told == [2048.0, 12288.0]
    assert rows["still:local"]["gpuMemoryUsedMb"] is None


def test_languages_are_narrowed_to_the_allowed_ones(program: Program) -> None:
    engine_at(definition={"supported_languages": ["en", "de", "fr"]})

    row = program.get("/api/engines/status").json()["tts"][0]
    assert row["supportedLanguages"] == ["en", "de"]
    assert row["allSupportedLanguages"] == ["en", "de", "fr"]
    program.put("/api/settings/languages", {"value": {"allowedLanguages": ["fr"]}})
    row = program.get("/api/engines/status").json()["tts"][0]
    assert row["supportedLanguages"] == ["fr"]


def test_images_of_the_catalog_are_told_by_tag(viewing: Program) -> None:
    variant = variant_of("ghcr.io/x/whisper", name="whisper", tag="latest", needs_gpu=True)
    variant.entry.variants.create(tag="cpu", image="ghcr.io/x/whisper", position=1)

    image = viewing.get("/api/engines/catalog").json()["images"][0]

    assert image["engineName"] == "whisper"
    assert image["variants"] == [
        {"tag": "latest", "requiresGpu": True},
        {"tag": "cpu", "requiresGpu": False},
    ]
    assert image["defaultTag"] == "latest"


def test_the_list_of_engines_is_no_address_of_its_own(viewing: Program) -> None:
    assert viewing.get("/api/engines").status_code == 404


@pytest.mark.parametrize("path", ["/api/engines/docker/{}/install", "/engines/{}/install"])
def test_an_install_answers_when_it_is_done(at_work: Program, path: str) -> None:
    said = at_work.post(path.format(VOICE))

    assert said.status_code == 200, said.content
    assert said.json() == {
        "success": True,
        "variantId": VOICE,
        "message": f"{VOICE} installed",
        "isInstalled": True,
    }
    assert at_work.get(f"/api/engines/{VOICE}").json()["isInstalled"] is True
    again = at_work.post(path.format(VOICE))
    assert again.status_code == 409
    assert again.json()["detail"] == f"[IMAGE_ALREADY_INSTALLED]variantId:{VOICE}"


def test_an_install_that_is_not_waited_for_answers_with_its_job(at_work: Program) -> None:
    said = at_work.post(f"/api/engines/{VOICE}/install?wait=false")

    assert said.status_code == 202
    job = said.json()["job"]
    assert said["Location"] == f"/api/jobs/{job['jobId']}"
    assert job["variantId"] == VOICE
    ended = at_work.get(f"/api/jobs/{job['jobId']}/wait?timeout=20")
    assert ended.json()["job"]["status"] == "succeeded"


def test_an_install_that_fails_has_the_contract_s_code(at_work: Program, fake: FakeHost) -> None:
    fake.fails["install"] = ImageNotFound("The registry has no voice;latest.")

    said = at_work.post(f"/api/engines/{VOICE}/install")

    assert said.status_code == 404
    assert said.json()["detail"] == (
        f"[DOCKER_IMAGE_NOT_FOUND]variantId:{VOICE};error:The registry has no voice%3Blatest."
    )
    assert at_work.get(f"/api/engines/{VOICE}").status_code == 404


def test_a_pull_is_cancelled(at_work: Program, fake: FakeHost) -> None:
    fake.holds_install = True
    at_work.post(f"/api/engines/{VOICE}/install?wait=false")

    said = at_work.delete(f"/api/engines/docker/{VOICE}/pull")

    assert said.json()["success"] is True
    job = Job.objects.get()
    ended = at_work.get(f"/api/jobs/{job.pk}/wait?timeout=20")
    assert ended.json()["job"]["status"] == "cancelled"
    assert at_work.delete(f"/api/engines/docker/{VOICE}/pull").status_code == 404


@pytest.mark.parametrize(
    ("variant", "query", "status", "detail"),
    [
        ("Voice", "", 400, "[INVALID_VARIANT_ID]variantId:Voice"),
        ("voice:", "", 400, "[INVALID_VARIANT_ID]variantId:voice:"),
        ("voice:docker:mars", "", 400, "[HOST_NOT_FOUND]hostId:docker:mars"),
        ("nobody:docker:local", "", 404, "[VARIANT_NOT_FOUND]variantId:nobody:docker:local"),
        (VOICE, "?tag=v9", 404, f"[DOCKER_IMAGE_NOT_FOUND]variantId:{VOICE};tag:v9"),
    ],
)
def test_what_cannot_be_installed_has_its_code(
    at_work: Program, variant: str, query: str, status: int, detail: str
) -> None:
    said = at_work.post(f"/api/engines/docker/{variant}/install{query}")

    assert said.status_code == status
    assert said.json()["detail"] == detail


def test_docker_that_is_away_is_a_503(program: Program) -> None:
    make_host(
        host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL, state=Host.State.UNREACHABLE
    )
    variant_of("registry.example/voice")

    said = program.post(f"/api/engines/docker/{VOICE}/install")

    assert said.status_code == 503
    assert said.json()["detail"] == "[DOCKER_NOT_AVAILABLE]hostId:docker:local"


def test_an_engine_is_started_used_and_stopped(at_work: Program, speaking: SpeakingEngine) -> None:
    at_work.post(f"/api/engines/{VOICE}/install")

    started = at_work.post(f"/api/engines/tts/{VOICE}/start", {"modelName": "two"})

    assert started.status_code == 200, started.content
    assert "started successfully on port" in started.json()["message"]
    assert speaking.loaded == ["two"]
    shown = at_work.get(f"/api/engines/{VOICE}").json()
    assert (shown["status"], shown["loadedModel"]) == ("running", "two")
    assert at_work.post(f"/api/engines/tts/{VOICE}/start").json()["success"] is True
    stopped = at_work.post(f"/api/engines/tts/{VOICE}/stop")
    assert stopped.json()["success"] is True
    assert at_work.get(f"/api/engines/{VOICE}").json()["status"] == "stopped"
    assert at_work.post(f"/api/engines/tts/{VOICE}/stop").json()["success"] is True


def test_models_are_discovered_by_starting_it(at_work: Program) -> None:
    at_work.post(f"/api/engines/{VOICE}/install")

    said = at_work.post(f"/api/engines/{VOICE}/discover-models").json()

    assert said["models"] == ["one", "two"]
    rows = at_work.get(f"/api/engines/{VOICE}/models").json()["models"]
    assert [row["name"] for row in rows] == ["one", "two"]


def test_an_engine_is_uninstalled(at_work: Program) -> None:
    at_work.post(f"/api/engines/{VOICE}/install")

    said = at_work.delete(f"/engines/{VOICE}/uninstall")

    assert said.json()["isInstalled"] is False
    gone = at_work.delete(f"/api/engines/docker/{VOICE}/uninstall")
    assert gone.status_code == 404
    assert gone.json()["detail"] == f"[IMAGE_NOT_INSTALLED]variantId:{VOICE}"
    pull = at_work.delete(f"/api/engines/docker/{VOICE}/pull")
    assert pull.json()["detail"] == f"[NO_ACTIVE_PULL]variantId:{VOICE}"
    for verb in ("pull", "uninstall"):
        unknown = at_work.delete(f"/api/engines/docker/nobody:docker:local/{verb}")
        assert unknown.json()["detail"] == "[VARIANT_NOT_FOUND]variantId:nobody:docker:local"


def test_fifty_at_once_make_one_job(at_work: Program, fake: FakeHost) -> None:
    fake.holds_install = True
    answers = []

    def ask() -> None:
        program = Program(at_work.key)
        answers.append(program.post(f"/api/engines/{VOICE}/install?wait=false"))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    fake.holds_install = False
    assert {answer.status_code for answer in answers} == {202}
    assert len(answers) == 50
    assert Job.objects.count() == 1


def test_an_engine_that_is_switched_off_is_not_started(program: Program) -> None:
    engine_at(is_default=True)

    assert program.post("/api/engines/tts/tiny/disable").json()["success"] is True

    row = program.get("/api/engines/status").json()["tts"][0]
    assert (row["status"], row["isEnabled"], row["isDefault"]) == ("disabled", False, False)
    said = program.post("/api/engines/tts/tiny:local/start?wait=false")
    assert said.status_code == 400
    assert said.json()["detail"] == "[ENGINE_START_DISABLED]"
    program.post("/api/engines/tts/tiny/enable")
    assert program.get("/api/engines/tiny:local").json()["isEnabled"] is True


def test_defaults_are_set_and_cleared(program: Program) -> None:
    engine_at()
    ear = make_engine(host=Host.objects.get(), name="ear", engine_type="stt")

    assert program.post("/api/engines/tts/default/tiny:local").json()["success"] is True
    assert program.post(f"/api/engines/stt/default/{ear.address}").json()["success"] is True
    assert program.delete("/api/engines/stt/default").json()["success"] is True
    refused = program.delete("/api/engines/tts/default")
    assert refused.json()["detail"] == "[ENGINE_CLEAR_DEFAULT_FAILED]"
    assert list(Engine.objects.filter(is_default=True).values_list("name", flat=True)) == ["tiny"]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("nonsense/tiny:local", "[ENGINE_INVALID_TYPE]engineType:nonsense"),
        ("tts/nobody", "[ENGINE_NOT_FOUND]variantId:nobody"),
        ("stt/tiny:local", "[ENGINE_NOT_FOUND]variantId:tiny:local;engineType:stt"),
    ],
)
def test_engines_by_type_have_the_contract_s_codes(
    program: Program, path: str, detail: str
) -> None:
    engine_at()

    for verb in ("start", "stop", "enable", "disable"):
        said = program.post(f"/api/engines/{path}/{verb}")
        assert said.status_code == 400
        assert said.json()["detail"] == detail


def test_settings_are_checked_and_nothing_changes_if_one_is_wrong(program: Program) -> None:
    engine = engine_at()
    engine.engine_models.create(name="small")
    path = "/api/engines/tts/tiny:local/settings"
    good = {
        "defaultModelName": "small",
        "default_language": "de",
        "parameters": {"speed": 1.5},
    }

    assert program.put(path, good).json()["success"] is True
    row = program.get("/api/engines/tiny:local").json()
    assert (row["defaultModelName"], row["defaultLanguage"]) == ("small", "de")
    assert row["parameters"] == {"speed": 1.5}
    for bad, code, status in [
        ({"parameters": {"speed": 99}}, "PARAMETERS_INVALID", 400),
        ({"parameters": {"speed": 1.0, "nonsense": 1}}, "PARAMETERS_INVALID", 400),
        ({"defaultLanguage": "xx", "parameters": {"speed": 0.7}}, "LANGUAGE_UNKNOWN", 400),
        ({"defaultModelName": "no", "defaultLanguage": "en"}, "MODEL_NOT_FOUND", 404),
    ]:
        said = program.put(path, bad)
        assert said.status_code == status
        assert said.json()["detail"].startswith(f"[{code}]")
    row = program.get("/api/engines/tiny:local").json()
    assert (row["defaultLanguage"], row["parameters"]) == ("de", {"speed": 1.5})


def test_keep_running_is_switched_in_both_cases(program: Program) -> None:
    engine_at()
    path = "/api/engines/tts/tiny:local/keep-running"

    for body in ({"keepRunning": True}, {"keep_running": True}):
        assert program.post(path, body).json()["success"] is True
    assert program.get("/api/engines/tiny:local").json()["idleTimeoutSeconds"] is None
    assert program.post(path, {"keepRunning": 1}).status_code == 422


def test_an_engine_that_is_busy_refuses_another_verb(program: Program) -> None:
    engine = engine_at()
    job = make_job("running", engine=engine, host=engine.host, action="test")

    said = program.post("/api/engines/tts/tiny:local/start?wait=false")

    assert said.status_code == 409
    assert said.json()["detail"] == f"[JOB_RUNNING]job:{job.pk}"


def test_the_same_verb_twice_is_the_same_job(program: Program) -> None:
    engine_at()
    path = "/api/engines/tts/tiny:local/start?wait=false"

    first, second = program.post(path).json(), program.post(path).json()

    assert first["job"]["jobId"] == second["job"]["jobId"]


def test_a_check_for_updates_says_what_is_known(viewing: Program) -> None:
    engine_at()
    host = make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    make_engine(host=host, name="voice", image="registry.example/voice", tag="latest")

    for path in (f"/api/engines/docker/{VOICE}", f"/engines/{VOICE}"):
        said = viewing.get(f"{path}/check-update").json()
        assert said["variantId"] == VOICE
        assert (said["updateAvailable"], said["remoteDigest"]) == (None, None)
    process = viewing.get("/api/engines/tiny:local/check-update")
    assert process.json()["detail"] == "[NOT_DOCKER_VARIANT]variantId:tiny:local"


def test_the_catalog_is_synced_and_counted(program: Program) -> None:
    CatalogSource.objects.all().delete()
    variant_of("registry.example/voice")

    said = program.post("/engines/catalog/sync").json()

    assert said == {
        "success": True,
        "added": 0,
        "updated": 0,
        "skipped": 1,
        "message": "0 added, 0 updated, 1 as they were",
    }


def test_who_comes_late_meets_what_the_first_one_did(program: Program) -> None:
    """Fifty may have read the row before the first one's job ended."""
    engine = engine_at()
    stale = Engine.objects.get()
    Engine.objects.update(state=Engine.State.RUNNING)
    assert services.start_engine(stale, user=None) is None

    stale = Engine.objects.get(pk=engine.pk)
    Engine.objects.update(state=Engine.State.STOPPED)
    assert services.stop_engine(stale, user=None) is None
    assert not Job.objects.exists()


def test_the_same_verb_for_something_else_is_another_job(program: Program) -> None:
    engine = engine_at()
    for name in ("small", "large"):
        engine.engine_models.create(name=name)
    path = "/api/engines/tts/tiny:local/start?wait=false"
    first = program.post(path, {"modelName": "small"}).json()["job"]["jobId"]

    refused = program.post(path, {"modelName": "large"})

    assert refused.json()["detail"] == f"[JOB_RUNNING]job:{first}"
    assert program.post(path, {"modelName": "small"}).json()["job"]["jobId"] == first
    other_way = program.post(f"{path}&whenAway=fail", {"modelName": "small"})
    assert other_way.json()["detail"] == f"[JOB_RUNNING]job:{first}"


def test_a_process_has_no_image_to_be_pulled(program: Program) -> None:
    variant_of("", name="tiny")
    engine_at()

    refused = program.post("/api/engines/tiny/install")

    assert refused.json()["detail"] == "[IMAGE_ALREADY_INSTALLED]variantId:tiny:local"
    assert "force" not in refused.json()["message"]
    for path in ("tiny/install?force=true", "docker/tiny:local/pull-update"):
        pulled = program.post(f"/api/engines/{path}")
        assert pulled.status_code == 400
        assert pulled.json()["detail"] == "[NOT_DOCKER_VARIANT]variantId:tiny:local"


def test_who_waits_for_a_start_is_told_that_the_host_is_away(program: Program) -> None:
    engine = make_engine(host=make_away(), name="far")
    path = f"/api/engines/tts/{engine.address}/start"

    told = program.post(path)

    assert told.status_code == 500
    inner = f"[ENGINE_HOST_UNAVAILABLE]host:{engine.host.host_id}"
    assert told.json()["detail"] == f"[ENGINE_START_FAILED]error:{inner}"
    assert not Job.objects.exists()
    later = program.post(f"{path}?wait=false")
    assert (later.status_code, later.json()["job"]["status"]) == (202, "queued")
