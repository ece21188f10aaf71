"""What is uninstalled, given back, adopted and deleted, through abm, on a real Docker."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from tests.fleet.abm import SPEAKS_NOT, Ground, Row, ground, noise, ours

pytestmark = pytest.mark.fleet
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


def column(it: Ground, name: str) -> Any:
    return json.loads(it.abm.host.values[name])


def read_disk(it: Ground) -> dict[str, Any]:
    """Have the disk read again and wait for it."""
    before = it.abm.host.disk_at
    it.abm.post(f"/engines/hosts/{it.abm.host.pk}/disk/read/")
    it.abm.until(lambda: it.abm.host.disk_at not in (None, before))
    return dict(column(it, "disk"))


def asked(it: Ground, path: str, form: Mapping[str, str] | None = None) -> Row:
    """Post what makes a job on the host, and wait until that has ended."""
    before = {row.pk for row in it.abm.rows("jobs_job")}
    answer = it.abm.asked(path, form or {})
    assert answer.is_success, answer.text[:500]
    (made,) = [row for row in it.abm.rows("jobs_job") if row.pk not in before]
    return it.abm.ended(made.pk)


def choice_of(disk: dict[str, Any], title: str) -> str:
    (row,) = [row for row in disk["rows"] if row["title"] == title]
    return str(row["choice"])


def uninstalled(it: Ground, name: str, **form: str) -> Row:
    job = it.abm.ended(it.abm.verb(name, "uninstall", **form).pk)
    assert job.status == "succeeded", f"{job.error}\n{job.error_detail}"
    return job


def has_image(it: Ground, name: str) -> bool:
    return it.image(name) in {tag for image in it.client.images.list() for tag in image.tags}


def models_folder(it: Ground, name: str) -> Path:
    return Path(it.abm.host.models_path, name)


def test_it_says_beforehand_what_comes_free_and_that_much_does(it: Ground) -> None:
    (name,) = it.offer(3 * MEGABYTE)
    it.abm.installed(name, starts=True)
    pk = it.abm.engine(name).pk

    foretold = read_disk(it)["engines"][str(pk)]["image"]
    layers_before = it.client.df()["LayersSize"]
    job = uninstalled(it, name)

    freed = layers_before - it.client.df()["LayersSize"]
    assert 3 * MEGABYTE <= foretold <= 8 * MEGABYTE
    assert abs(freed - foretold) < 100_000
    assert "came free in all" in it.abm.log(job.pk)
    assert it.is_nothing_left(name)


def test_an_image_that_is_kept_can_be_given_back_later(it: Ground) -> None:
    (name,) = it.offer(2 * MEGABYTE)
    it.abm.installed(name)

    uninstalled(it, name, keeps_image="on")
    assert has_image(it, name)
    assert not it.abm.rows("engines_engine", "name = ?", name)

    chosen = choice_of(read_disk(it), it.image(name))
    job = asked(it, f"/engines/hosts/{it.abm.host.pk}/disk/reclaim/", {"chosen": chosen})

    assert job.status == "succeeded", job.error
    assert not has_image(it, name)
    assert "MB came free" in it.abm.log(job.pk)


def test_an_image_that_another_engine_runs_stays(it: Ground) -> None:
    name, twin = f"engine-{secrets.token_hex(3)}", f"engine-{secrets.token_hex(3)}"
    layers = [tiny_layer(), noise(MEGABYTE)]
    for one in (name, twin):
        it.pusher.push(f"lab/{one}", "latest", layers, run=tiny_run())
        it.shelf.offer(one, abm={"version": "1.0.0", **SPEAKS_NOT})
    it.abm.read_shelf()
    for one in (name, twin):
        it.abm.installed(one)

    job = uninstalled(it, name)
    assert f"needed by {twin}" in it.abm.log(job.pk)
    it.abm.done(twin, "start")

    uninstalled(it, twin)
    assert not has_image(it, name)
    assert not has_image(it, twin)


def test_settings_that_are_kept_are_taken_up_by_the_next_install(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    pk = it.abm.engine(name).pk
    it.abm.post(f"/engines/{pk}/container/", memory="300 MB")

    uninstalled(it, name, keeps_settings="on")
    assert it.abm.state(name) == "absent"

    it.abm.installed(name, starts=True)
    (container,) = ours(it.client, name)
    assert json.loads(it.abm.engine(name).limits)["memory_bytes"] == 300 * MEGABYTE
    assert container.attrs["HostConfig"]["Memory"] == 300 * MEGABYTE


def test_models_go_only_when_that_was_chosen(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    folder = models_folder(it, name)
    (folder / "voice").mkdir()
    (folder / "voice" / "weights").write_bytes(bytes(2 * MEGABYTE))

    uninstalled(it, name)
    assert (folder / "voice" / "weights").is_file()

    it.abm.installed(name)
    job = uninstalled(it, name, removes_models="on")
    assert not folder.exists()
    assert "2.0 MB came free" in it.abm.log(job.pk)


def test_a_volume_that_a_start_made_goes_when_it_is_chosen(it: Ground) -> None:
    names = it.offer(count=2)
    for name in names:
        it.abm.installed(name)
    foreign = it.client.volumes.create("of-somebody-else")
    for name, volume in zip(names, ("h12-voices", "of-somebody-else"), strict=True):
        form = {"mount-source": volume, "mount-target": "/voices"}
        it.abm.post(f"/engines/{it.abm.engine(name).pk}/container/", **form)
        it.abm.done(name, "start")

    read_disk(it)
    uninstalled(it, names[0], volumes="h12-voices")
    uninstalled(it, names[1])

    there = {volume.name for volume in it.client.volumes.list()}
    assert "h12-voices" not in there
    assert foreign.name in there


def stray_of(it: Ground, name: str) -> dict[str, Any]:
    it.abm.until(lambda: any(row["engine"] == name for row in column(it, "strays")))
    (found,) = [row for row in column(it, "strays") if row["engine"] == name]
    return dict(found)


def forget_engine(it: Ground, name: str) -> None:
    """As a database of before the install, which knows no such engine."""
    it.abm.served.kill()
    pk = it.abm.engine(name).pk
    with contextlib.closing(sqlite3.connect(it.abm.database, isolation_level=None)) as database:
        for table in ("jobs_job", "engines_enginemodel"):
            database.execute(f"DELETE FROM {table} WHERE engine_id = ?", [pk])
        database.execute("DELETE FROM engines_engine WHERE id = ?", [pk])
    it.abm.start()
    it.abm.until_docker()


def test_a_restored_database_finds_its_containers_and_adopts_one(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    (container,) = ours(it.client, name)
    port = it.abm.engine(name).port
    it.client.containers.run(it.image(name), name="my-audiobook-notes", detach=True)

    forget_engine(it, name)
    stray = stray_of(it, name)
    assert [row["name"] for row in column(it, "strays")] == [container.name]
    shown = it.abm.http.get("/").text
    assert f"{container.name} on" in shown
    assert "Adopt" in shown

    job = asked(it, f"/engines/hosts/{it.abm.host.pk}/strays/{stray['id']}/adopt/")

    assert job.status == "succeeded", job.error
    engine = it.abm.until_state(name, "running")
    assert engine.port == port
    assert ours(it.client, name)[0].id == container.id
    assert column(it, "strays") == []
    it.abm.done(name, "restart")
    assert len(ours(it.client, name)) == 1
    assert it.client.containers.get("my-audiobook-notes").status == "running"


def test_a_stray_that_is_removed_is_gone_and_its_image_stays(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    forget_engine(it, name)
    stray = stray_of(it, name)

    job = asked(it, f"/engines/hosts/{it.abm.host.pk}/strays/{stray['id']}/remove/")

    assert job.status == "succeeded", job.error
    assert ours(it.client, name) == []
    assert has_image(it, name)
    it.abm.until(lambda: column(it, "strays") == [])


def test_models_are_listed_and_not_deleted_while_their_engine_runs(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    folder = models_folder(it, name)
    (folder / "voice.bin").write_bytes(bytes(MEGABYTE))
    left = models_folder(it, "left-over")
    left.mkdir()
    (left / "old.bin").write_bytes(bytes(MEGABYTE))
    path = f"/engines/hosts/{it.abm.host.pk}/models/delete/"
    form = {"source": str(folder), "path": "voice.bin"}

    read_disk(it)
    places = {place["source"]: place for place in column(it, "model_places")}
    assert [(row["path"], row["size"]) for row in places[str(folder)]["entries"]] == [
        ("voice.bin", MEGABYTE)
    ]
    rest = places[it.abm.host.models_path]
    assert "left-over" in [row["path"] for row in rest["entries"]]

    refused = it.abm.asked(path, form)
    assert refused.status_code == 409
    it.abm.done(name, "stop")
    assert asked(it, path, form).status == "succeeded"
    assert not (folder / "voice.bin").exists()
    outside = it.abm.asked(path, {"source": "/etc", "path": "passwd"})
    assert outside.status_code == 404
    shutil.rmtree(left)


def test_an_engine_without_its_container_and_image_is_missing(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    (container,) = ours(it.client, name)

    container.kill()
    it.client.images.remove(it.image(name), force=True)
    container.remove()

    engine = it.abm.until_state(name, "missing")
    assert "container and its image were removed outside of abm" in engine.state_text


def test_one_whose_image_is_there_is_stopped_and_starts_anew(it: Ground) -> None:
    (name,) = it.offer()
    it.abm.installed(name, starts=True)
    (container,) = ours(it.client, name)

    container.remove(force=True)

    engine = it.abm.until_state(name, "stopped")
    assert "Its container was removed outside of abm" in engine.state_text
    events = it.abm.rows("jobs_event", "text LIKE ?", f"{name} was stopped.%")
    assert events
    it.abm.done(name, "start")
    assert ours(it.client, name)[0].id != container.id
