"""Containers of ours without an engine: what is listed, who may decide, what adopting keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from abm.attention import troubles
from accounts.refused import Refused
from accounts.secrets import decrypted
from engines import host_work, observe, recovery, stray_work, strays, work
from engines.models import Engine
from hosts.link.docker_seen import ContainerSeen
from hosts.models import Host
from hosts.runners.base import EngineEndpoint, EngineStatus
from hosts.runners.container import Mount, PortBinding
from hosts.runners.fake import FakeEngine, FakeHost, FakeRunner
from hosts.runners.fake_storage import FakeDisk
from hosts.runners.storage import FoundContainer
from jobs.models import Job
from tests.engines.factories import make_engine, make_host, make_variant
from tests.pages.factories import make_user

pytestmark = pytest.mark.django_db
S = Engine.State
ID = "c" * 64
FOUND = FoundContainer(
    id=ID,
    name="abm-01234567-tone",
    engine="tone",
    is_running=True,
    endpoint=EngineEndpoint("http://127.0.0.1:9", 9),
    image_id="sha256:" + "1" * 64,
    image_names=("registry.example/lab/tone:latest",),
)


def seen(engine: str = "tone", *, container: str = ID, **values: Any) -> ContainerSeen:
    one = ContainerSeen(
        id=container,
        name=f"abm-01234567-{engine}",
        engine=engine,
        state="running",
        exit_code=None,
        was_out_of_memory=False,
        error="",
        started_at=None,
        finished_at=None,
        restarts=0,
        ports=(),
        image="registry.example/lab/tone:latest",
        image_id="sha256:" + "1" * 64,
        labels={},
    )
    return replace(one, **values)


@pytest.fixture
def docker() -> Host:
    return make_host(host_type=Host.Type.DOCKER_LOCAL, display_name="Docker")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """What the work finds on the host."""
    host = FakeHost(disk=FakeDisk(containers={ID: FOUND}), engines={"tone": FakeEngine(port=9)})
    for module in (host_work, recovery, work):
        monkeypatch.setattr(module, "runner_of", lambda row: FakeRunner(host))
    return host


def listed(host: Host) -> list[str]:
    host.refresh_from_db()
    return [row["name"] for row in host.strays]


def adopted(host: Host) -> Job:
    strays.note_strays(host, [seen()], are_all=True)
    host.refresh_from_db()
    job = strays.adopt_stray(host, ID, user=None)
    host_work.run(job.pk)
    job.refresh_from_db()
    return job


def offered(**values: Any) -> None:
    variant = make_variant(name="tone", **values)
    variant.image = "registry.example/lab/tone"
    variant.save()


def test_a_container_without_an_engine_is_listed_and_needs_attention(docker: Host) -> None:
    strays.note_strays(docker, [seen()], are_all=True)

    assert listed(docker) == ["abm-01234567-tone"]
    assert [row.post_label for row in troubles()] == ["Adopt"]


@pytest.mark.parametrize("state", [S.RUNNING, S.STOPPED, S.INSTALLING, S.UNINSTALLING, S.MISSING])
def test_the_container_of_an_engine_is_not_listed(docker: Host, state: Engine.State) -> None:
    make_engine(host=docker, name="tone", state=state)

    strays.note_strays(docker, [seen()], are_all=True)

    assert listed(docker) == []


def test_settings_that_were_kept_do_not_make_it_an_engines(docker: Host) -> None:
    make_engine(host=docker, name="tone", state=S.ABSENT)

    strays.note_strays(docker, [seen()], are_all=True)

    assert listed(docker) == ["abm-01234567-tone"]


@pytest.mark.parametrize("odd", [{"engine": ""}, {"state": "removing"}])
def test_helpers_and_containers_that_just_go_are_not_listed(
    docker: Host, odd: dict[str, str]
) -> None:
    strays.note_strays(docker, [replace(seen(), **odd)], are_all=True)

    assert listed(docker) == []


def test_a_single_event_lists_nothing_new(docker: Host) -> None:
    """Its engine may have been uninstalled a moment ago."""
    strays.note_strays(docker, [seen()], are_all=False)

    assert listed(docker) == []


def test_one_that_is_gone_is_listed_no_more(docker: Host) -> None:
    strays.note_strays(docker, [seen()], are_all=True)

    strays.note_strays(docker, [], are_all=False)

    assert listed(docker) == []


def test_a_viewer_may_neither_adopt_nor_remove(docker: Host) -> None:
    strays.note_strays(docker, [seen()], are_all=True)
    docker.refresh_from_db()
    viewer = make_user("viewer")

    for ask in (strays.adopt_stray, strays.remove_stray):
        with pytest.raises(Refused) as refused:
            ask(docker, ID, user=viewer)
        assert refused.value.status == 403


def test_a_container_that_is_not_listed_is_refused(docker: Host) -> None:
    with pytest.raises(Refused) as refused:
        strays.remove_stray(docker, "f" * 64, user=None)

    assert refused.value.code == "STRAY_GONE"


def test_who_asks_second_is_told_of_the_first(docker: Host) -> None:
    strays.note_strays(docker, [seen()], are_all=True)
    docker.refresh_from_db()
    first = strays.adopt_stray(docker, ID, user=None)

    with pytest.raises(Refused) as refused:
        strays.remove_stray(docker, ID, user=None)

    assert refused.value.params["job"] == first.pk


@pytest.mark.django_db(transaction=True)
def test_adopting_makes_the_engine_of_the_catalog_again(docker: Host, there: FakeHost) -> None:
    offered(display_name="Tone")

    job = adopted(docker)

    engine = Engine.objects.get(host=docker)
    assert job.status == Job.Status.SUCCEEDED, job.error
    assert (engine.name, engine.display_name, engine.port) == ("tone", "Tone", 9)
    assert (engine.image, engine.tag) == ("registry.example/lab/tone", "latest")
    assert engine.image_id == FOUND.image_id
    assert engine.definition["parameters"]
    assert listed(docker) == []


@pytest.mark.django_db(transaction=True)
def test_adopting_keeps_what_had_been_set(docker: Host, there: FakeHost) -> None:
    wanted = [{"name": "TOKEN", "is_secret": True}]
    offered(extra={"abm": {"environment": wanted}})
    own = Mount(f"{docker.models_path or ''}/tone", "/app/external_models")
    there.disk.containers[ID] = replace(
        FOUND,
        environment={"THREADS": "2", "TOKEN": "hush"},
        mounts=(Mount("voices", "/voices", True), own),
        ports=(PortBinding(7860, 7860),),
        gpus=("GPU-1",),
        limits={"memory_bytes": 1_000_000_000},
    )

    adopted(docker)

    engine = Engine.objects.get(host=docker)
    assert engine.environment == {"THREADS": "2"}
    assert decrypted(engine.secrets["TOKEN"]) == "hush"
    assert engine.mounts[0] == {"source": "voices", "target": "/voices", "is_read_only": True}
    assert engine.ports[0]["host_port"] == 7860
    assert (engine.uses_gpu, engine.gpus) == (True, ["GPU-1"])
    assert engine.limits == {"memory_bytes": 1_000_000_000}


@pytest.mark.django_db(transaction=True)
def test_one_that_runs_without_a_catalog_is_asked_itself(
    docker: Host, there: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Telling:
        def __init__(self, url: str) -> None:
            self.url = url

        def __enter__(self) -> Telling:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def info(self, *, timeout: float) -> Mapping[str, Any]:
            return {"name": "tone", "displayName": "Tone of its own", "engineType": "tts"}

    monkeypatch.setattr(stray_work, "EngineClient", Telling)

    job = adopted(docker)

    engine = Engine.objects.get(host=docker)
    assert job.status == Job.Status.SUCCEEDED, job.error
    assert (engine.display_name, engine.variant) == ("Tone of its own", None)
    assert (engine.image, engine.tag) == ("registry.example/lab/tone", "latest")


@pytest.mark.django_db(transaction=True)
def test_one_that_nobody_knows_and_that_does_not_run_is_refused_with_the_way_out(
    docker: Host, there: FakeHost
) -> None:
    there.disk.containers[ID] = replace(FOUND, is_running=False)

    job = adopted(docker)

    assert job.status == Job.Status.FAILED
    assert "docker start abm-01234567-tone" in job.error
    assert not Engine.objects.filter(host=docker).exists()
    assert listed(docker) == ["abm-01234567-tone"]


@pytest.mark.django_db(transaction=True)
def test_settings_that_were_kept_win_over_those_of_the_container(
    docker: Host, there: FakeHost
) -> None:
    offered()
    make_engine(host=docker, name="tone", state=S.ABSENT, environment={"THREADS": "8"})
    there.disk.containers[ID] = replace(FOUND, environment={"THREADS": "2"})

    adopted(docker)

    assert Engine.objects.get(host=docker).environment == {"THREADS": "8"}


@pytest.mark.django_db(transaction=True)
def test_removing_leaves_an_engines_container_alone(docker: Host, there: FakeHost) -> None:
    strays.note_strays(docker, [seen()], are_all=True)
    docker.refresh_from_db()
    job = strays.remove_stray(docker, ID, user=None)
    engine = make_engine(host=docker, name="tone")

    host_work.run(job.pk)

    job.refresh_from_db()
    assert (job.status, job.error_code) == (Job.Status.FAILED, "NOT_ADOPTED")
    assert str(engine) in job.error
    assert ID in there.disk.containers


@pytest.mark.django_db(transaction=True)
def test_removing_takes_the_container_and_tells_what_came_free(
    docker: Host, there: FakeHost
) -> None:
    strays.note_strays(docker, [seen()], are_all=True)
    docker.refresh_from_db()
    job = strays.remove_stray(docker, ID, user=None)

    host_work.run(job.pk)

    assert ID not in there.disk.containers
    assert listed(docker) == []
    assert any("freed" in line.text for line in job.lines.all())


def gone() -> EngineStatus:
    """As Docker tells it now."""
    return EngineStatus(is_installed=True, is_running=False, is_container_gone=True)


def docker_engine(docker: Host, state: Engine.State, **values: Any) -> Engine:
    return make_engine(host=docker, state=state, image="registry.example/x", tag="1", **values)


def test_an_engine_whose_container_was_removed_is_stopped_and_says_so(docker: Host) -> None:
    engine = docker_engine(docker, S.RUNNING)

    observe.engine_seen(engine, gone())

    engine.refresh_from_db()
    assert engine.state == S.STOPPED
    assert "removed outside of abm" in engine.state_text


def test_who_removes_by_force_ends_it_first_and_it_is_stopped_all_the_same(docker: Host) -> None:
    engine = docker_engine(docker, S.RUNNING)
    observe.engine_seen(engine, EngineStatus(is_installed=True, is_running=False))
    engine.refresh_from_db()
    assert engine.state == S.FAILED

    observe.engine_seen(engine, gone())

    engine.refresh_from_db()
    assert (engine.state, engine.error) == (S.STOPPED, "")


def test_one_that_is_kept_running_is_started_again_after_its_container_was_removed(
    docker: Host,
) -> None:
    engine = docker_engine(docker, S.RUNNING, keep_running=True)

    observe.engine_seen(engine, gone())

    engine.refresh_from_db()
    assert engine.state == S.FAILED
    assert engine.restart_at is not None


@pytest.mark.parametrize("state", [S.RUNNING, S.STOPPED, S.FAILED])
def test_an_engine_without_container_and_image_is_missing(
    docker: Host, state: Engine.State
) -> None:
    engine = docker_engine(docker, state)

    observe.engine_seen(engine, replace(gone(), is_installed=False))

    engine.refresh_from_db()
    assert engine.state == S.MISSING
    assert "container and its image were removed" in engine.state_text
