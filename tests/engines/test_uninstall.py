"""Uninstalling with choices, the disk's rows, and who may give what back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from accounts.refused import Refused
from engines import host_work, model_places, recovery, storage, storage_work, uninstall_work, work
from engines.models import Engine
from engines.services import install_engine
from engines.storage_rows import disk_rows
from engines.uninstall import Removal, forget_settings, uninstall_engine, uninstall_options
from hosts import services as hosts
from hosts.models import Host, HostImage
from hosts.runners.docker.disk import DiskUse, ImageUse, VolumeUse
from hosts.runners.docker.stored_files import StoredFile
from hosts.runners.fake import FakeEngine, FakeHost, FakeRunner
from jobs.models import Job
from tests.engines.factories import make_engine, make_host, make_variant
from tests.pages.factories import HTMX, make_user

pytestmark = pytest.mark.django_db(transaction=True)
S = Engine.State
NEW, OLD = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NAME = "registry.example/lab/tone:1"
USE = DiskUse((), 0, 0, (), 0, (), 0, 0, ())


@pytest.fixture
def docker(tmp_path: Path) -> Host:
    folders = {"models_path": str(tmp_path / "models"), "samples_path": str(tmp_path / "samples")}
    return make_host(host_type=Host.Type.DOCKER_LOCAL, display_name="Docker", **folders)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    host = FakeHost(engines={"tone": FakeEngine()})
    for module in (host_work, recovery, storage_work, work):
        monkeypatch.setattr(module, "runner_of", lambda row: FakeRunner(host))
    return host


def tone(docker: Host, **values: Any) -> Engine:
    told = {"image": "registry.example/lab/tone", "tag": "1", "image_id": NEW, "name": "tone"}
    return make_engine(host=docker, **{**told, "display_name": "Tone", **values})


def image(image_id: str = NEW, *names: str, **values: Any) -> ImageUse:
    return ImageUse(image_id, names, 5_000, 4_000, (), **values)


def done(job: Job) -> Job:
    run = work.run if job.engine_id else host_work.run
    run(job.pk)
    job.refresh_from_db()
    return job


def log_of(job: Job) -> str:
    return "\n".join(job.lines.values_list("text", flat=True))


def test_what_is_not_said_is_as_the_dialog_proposes() -> None:
    assert Removal.read(QueryDict("")) == Removal(
        keeps_image=False, volumes=(), removes_models=False, keeps_settings=False
    )


def test_sizes_that_nobody_read_are_unknown_and_not_zero(docker: Host) -> None:
    options = uninstall_options(tone(docker), Removal())

    assert options.image is None
    assert not options.is_free_known


def test_the_choice_says_what_comes_free(docker: Host) -> None:
    mounts = [{"source": "voices", "target": "/voices", "is_read_only": False}]
    engine = tone(docker, mounts=mounts)
    sizes = {"image": 100, "container": 10, "volumes": {"voices": 1}, "ours": ["voices"]}
    docker.disk = {"engines": {str(engine.pk): {**sizes, "models": 1_000}}}
    docker.save()
    everything = Removal(volumes=("voices",), removes_models=True)

    assert uninstall_options(engine, Removal()).free == 110
    assert uninstall_options(engine, Removal(keeps_image=True)).free == 10
    assert uninstall_options(engine, everything).free == 1_111
    assert uninstall_options(engine, everything).is_free_known


@pytest.mark.parametrize("need", ["image_id", "previous_image_id"])
def test_an_image_that_another_engine_needs_stays(docker: Host, there: FakeHost, need: str) -> None:
    engine = tone(docker)
    make_engine(host=docker, display_name="Twin", image="x", tag="2", **{need: NEW})

    assert uninstall_options(engine, Removal()).image_kept_for == "Twin"
    job = done(uninstall_engine(engine, user=None))

    assert job.status == Job.Status.SUCCEEDED, job.error
    assert "needed by Twin" in log_of(job)


def test_a_volume_of_another_engine_is_refused(docker: Host) -> None:
    mounts = [{"source": "voices", "target": "/voices", "is_read_only": False}]
    engine = tone(docker, mounts=mounts)
    make_engine(host=docker, display_name="Twin", mounts=mounts)

    with pytest.raises(Refused) as refused:
        uninstall_engine(engine, user=None, removal=Removal(volumes=("voices",)))

    assert "kept for Twin" in refused.value.message


def test_a_volume_that_is_not_the_engines_is_refused(docker: Host) -> None:
    with pytest.raises(Refused):
        uninstall_engine(tone(docker), user=None, removal=Removal(volumes=("others",)))


def test_chosen_volumes_and_models_go_and_the_sum_is_told(docker: Host, there: FakeHost) -> None:
    mounts = [{"source": "voices", "target": "/voices", "is_read_only": False}]
    engine = tone(docker, mounts=mounts)
    folder = f"{docker.models_path}/tone"
    there.disk.use = replace(USE, volumes=(VolumeUse("voices", 2_000_000, "tone", ()),))
    there.disk.files[folder] = [StoredFile("v/w", 3_000_000, datetime.now(UTC))]
    removal = Removal(volumes=("voices",), removes_models=True)

    job = done(uninstall_engine(engine, user=None, removal=removal))

    assert job.status == Job.Status.SUCCEEDED, job.error
    assert there.disk.use.volumes == ()
    assert folder not in there.disk.files
    assert "5.0 MB came free in all" in log_of(job)
    assert not Engine.objects.filter(pk=engine.pk).exists()


@pytest.mark.parametrize("state", [S.STOPPED, S.RUNNING, S.FAILED, S.MISSING])
def test_settings_that_are_kept_are_taken_up_by_the_next_install(
    docker: Host, there: FakeHost, state: Engine.State
) -> None:
    variant = make_variant(name="tone", folder="")
    variant.image = "registry.example/lab/tone"
    variant.save()
    settings = {"environment": {"A": "1"}, "parameters": {"speed": 1.5}}
    engine = tone(docker, variant=variant, state=state, **settings)

    done(uninstall_engine(engine, user=None, removal=Removal(keeps_settings=True)))

    engine.refresh_from_db()
    assert engine.state == S.ABSENT
    assert (engine.image_id, engine.previous) == ("", {})
    install_engine(variant, host=docker, user=None)
    engine.refresh_from_db()
    assert (engine.environment, engine.parameters) == ({"A": "1"}, {"speed": 1.5})


def test_kept_settings_can_be_forgotten_and_an_installed_engine_cannot(docker: Host) -> None:
    kept, installed = tone(docker, state=S.ABSENT), make_engine(host=docker)

    forget_settings(kept, user=None)

    assert not Engine.objects.filter(name="tone").exists()
    with pytest.raises(Refused):
        forget_settings(installed, user=None)


def test_a_lost_uninstall_that_had_removed_all_is_finished(docker: Host, there: FakeHost) -> None:
    engine = tone(docker, state=S.UNINSTALLING)
    there.engines.clear()
    job = uninstall_engine(engine, user=None)
    Job.objects.filter(pk=job.pk).update(status=Job.Status.FAILED)

    recovery.recover(job)

    assert not Engine.objects.filter(pk=engine.pk).exists()


def rows_of(use: DiskUse, engine: Engine, **more: Any) -> dict[str, dict[str, Any]]:
    needs = {"current": {NEW: [engine]}, "way_back": {OLD: [engine]}}
    told = disk_rows(
        use, engines=[engine], volumes={"voices"}, **{"may_pull": False, **needs, **more}
    )
    return {row["title"]: row for row in told["rows"]}


def test_the_image_of_an_engine_is_never_offered(docker: Host) -> None:
    rows = rows_of(replace(USE, images=(image(NEW, NAME),)), tone(docker))

    assert rows[NAME]["choice"] == ""
    assert rows[NAME]["note"] == "Tone runs it."


def test_a_way_back_is_offered_and_not_ticked(docker: Host) -> None:
    rows = rows_of(replace(USE, images=(image(OLD, "a:1"),)), tone(docker))

    assert rows["a:1"]["choice"] == f"image:{OLD}"
    assert not rows["a:1"]["is_chosen"]
    assert "rolled back" in rows["a:1"]["note"]


def test_an_image_that_nobody_needs_is_ticked(docker: Host) -> None:
    rows = rows_of(replace(USE, images=(image("sha256:" + "3" * 64, "b:1"),)), tone(docker))

    assert rows["b:1"]["is_chosen"]


@pytest.mark.parametrize(("may_pull", "choice"), [(True, ""), (False, f"image:{OLD}")])
def test_what_a_broken_pull_left_is_kept_while_one_is_under_way(
    docker: Host, may_pull: bool, choice: str
) -> None:
    use = replace(USE, images=(image(OLD, is_partial=True),))

    (row,) = rows_of(use, tone(docker), may_pull=may_pull).values()

    assert row["choice"] == choice


def test_a_volume_that_an_engine_was_given_is_not_offered(docker: Host) -> None:
    volumes = (VolumeUse("voices", 1, "old", ()), VolumeUse("left", 1, "old", ()))

    rows = rows_of(replace(USE, volumes=volumes), tone(docker))

    assert (rows["voices"]["choice"], rows["left"]["choice"]) == ("", "volume:left")


def test_only_an_admin_gives_back_and_only_what_is_offered(docker: Host) -> None:
    docker.disk = {"rows": [{"choice": f"image:{OLD}"}]}
    docker.save()

    with pytest.raises(Refused) as forbidden:
        storage.reclaim_disk(docker, chosen=[f"image:{OLD}"], user=make_user("operator"))
    with pytest.raises(Refused) as unknown:
        storage.reclaim_disk(docker, chosen=[f"image:{NEW}"], user=make_user("admin"))

    assert (forbidden.value.status, unknown.value.code) == (403, "NOT_RECLAIMABLE")


def test_what_an_engine_came_to_need_is_not_given_back(docker: Host, there: FakeHost) -> None:
    docker.disk = {"rows": [{"choice": f"image:{NEW}"}]}
    docker.save()
    there.disk.use = replace(USE, images=(image(NEW, NAME),))
    job = storage.reclaim_disk(docker, chosen=[f"image:{NEW}"], user=None)
    tone(docker)

    done(job)

    assert [one.id for one in there.disk.use.images] == [NEW]


def test_giving_back_a_way_back_takes_the_roll_back_away(docker: Host, there: FakeHost) -> None:
    engine = tone(docker, previous_image_id=OLD, previous={"image_id": OLD})
    docker.disk = {"rows": [{"choice": f"image:{OLD}"}]}
    docker.save()
    there.disk.use = replace(USE, images=(image(OLD, "a:1"),))

    job = done(storage.reclaim_disk(docker, chosen=[f"image:{OLD}"], user=None))

    engine.refresh_from_db()
    assert job.status == Job.Status.SUCCEEDED, job.error
    assert (engine.previous_image_id, engine.previous) == ("", {})


def test_a_host_that_fails_says_why_and_keeps_what_was_read(docker: Host, there: FakeHost) -> None:
    docker.disk = {"rows": []}
    docker.save()
    there.fails["storage"] = uninstall_work.RunnerError("Docker is away.")

    storage_work.read_storage(docker.pk)

    docker.refresh_from_db()
    assert docker.disk == {"rows": [], "error": "Docker is away."}


def test_images_that_are_gone_are_no_longer_remembered(docker: Host, there: FakeHost) -> None:
    for image_id in (NEW, OLD):
        HostImage.objects.create(host=docker, image_id=image_id, name=NAME)
    there.disk.use = replace(USE, images=(image(NEW, NAME),))

    storage_work.read_storage(docker.pk)

    assert [row.image_id for row in HostImage.objects.all()] == [NEW]


def test_the_disk_is_asked_for_once_and_again_when_it_is_old(
    docker: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []
    monkeypatch.setattr(hosts, "ring_task", lambda task, pk: rung.append(task))

    for _ in range(2):
        hosts.ask_disk(Host.objects.get(pk=docker.pk))
    assert len(rung) == 1
    Host.objects.update(disk_at=timezone.now(), disk_asked_at=None)
    hosts.ask_disk(Host.objects.get(pk=docker.pk))
    assert len(rung) == 1
    Host.objects.update(disk_at=timezone.now() - timedelta(minutes=6))
    hosts.ask_disk(Host.objects.get(pk=docker.pk))
    assert len(rung) == 2


def test_engines_that_were_given_one_folder_share_its_models(docker: Host) -> None:
    shared = [{"source": "/models/all", "target": "/app/external_models", "is_read_only": False}]
    one, other = tone(docker, mounts=shared), make_engine(host=docker, mounts=shared)

    places = {place.mount.source: place for place in model_places.places_of(docker)}

    assert set(places["/models/all"].engines) == {one, other}


def test_models_are_not_deleted_while_an_engine_of_another_host_uses_the_folder(
    docker: Host, there: FakeHost
) -> None:
    folder = f"{docker.models_path}/tone"
    tone(docker)
    docker.model_places = [{"source": folder, "title": folder, "entries": [{"path": "v"}]}]
    docker.save()
    mounts = [{"source": folder, "target": "/app/external_models", "is_read_only": True}]
    twin = make_host(host_type=Host.Type.DOCKER_LOCAL)
    make_engine(host=twin, display_name="Twin", mounts=mounts, state=S.RUNNING)

    with pytest.raises(Refused) as refused:
        storage.delete_models(docker, source=folder, path="v", user=None)

    assert "Twin may be using v" in refused.value.message


def test_processes_do_not_hold_the_models_of_containers(docker: Host, there: FakeHost) -> None:
    folder = f"{docker.models_path}/tone"
    tone(docker)
    docker.model_places = [{"source": folder, "title": folder, "entries": [{"path": "v"}]}]
    docker.save()
    make_engine(host=make_host(models_path=docker.models_path), state=S.RUNNING)
    there.disk.files[folder] = [StoredFile("v", 1_000_000, datetime.now(UTC))]

    job = done(storage.delete_models(docker, source=folder, path="v", user=None))

    assert job.status == Job.Status.SUCCEEDED, job.error
    assert there.disk.files[folder] == []


def test_an_empty_folder_of_models_after_the_first_load_is_told(
    docker: Host, there: FakeHost, viewer: Client
) -> None:
    tone(docker, package_version="1.0")

    storage_work.read_storage(docker.pk)

    page = viewer.get(f"/hosts/{docker.pk}/").content.decode()
    assert "although the engine has loaded a model" in page


def test_the_dialog_and_the_page_need_no_answer_of_the_host(
    docker: Host, operator: Client, admin: Client
) -> None:
    engine = tone(docker)
    rows = rows_of(replace(USE, images=(image(OLD, "a:1"),)), engine)
    docker.disk = {"rows": list(rows.values()), "images_size": 1, "free": 0}
    docker.strays = [{"id": "c" * 64, "name": "abm-1-x", "engine": "x", "image": ""}]
    docker.save()

    dialog = operator.get(f"/engines/{engine.pk}/uninstall/", headers=HTMX).content.decode()
    page = admin.get(f"/hosts/{docker.pk}/").content.decode()

    assert "Keep it, so that a new install need not download it again" in dialog
    assert "How much it takes is not known" in dialog
    assert f'value="image:{OLD}"' in page
    assert "abm-1-x" in page


def test_a_viewer_sees_neither_the_dialog_nor_buttons(docker: Host, viewer: Client) -> None:
    engine = tone(docker)
    docker.disk = {"rows": [{"kind": "image", "choice": "image:x", "title": "x"}]}
    docker.save()

    page = viewer.get(f"/hosts/{docker.pk}/").content.decode()

    assert viewer.get(f"/engines/{engine.pk}/uninstall/").status_code == 403
    assert "disk-choice" not in page
    assert "Give back what is ticked" not in page
