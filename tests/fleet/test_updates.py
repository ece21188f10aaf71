"""Updates through a whole abm, with a real registry and a real daemon."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab import made_images
from lab.faults import Fault
from lab.fleet import Lab
from lab.made_images import tiny_layer, tiny_run
from lab.pushing import Image, Layer, Pusher
from tests.fleet.abm import SPEAKS_NOT, Ground, Row, ground, ours

pytestmark = pytest.mark.fleet

DIES = {"Cmd": ["/bin/sh", "-c", "echo the model file is broken; exit 3"]}
LISTENS_LATE = {"Cmd": ["/bin/sh", "-c", "sleep 60; exec httpd -f -p 8766 -h /www"]}
SOUNDING = "math.sin("


@pytest.fixture(scope="module")
def it(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(lab.place, tmp_path_factory.mktemp("abm")) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(it: Ground) -> Iterator[None]:
    yield
    it.door.heal()


def publish(it: Ground, name: str, version: str, **run: object) -> str:
    """Let the tag stand for an image that serves its version; the digest."""
    layers = [tiny_layer(), Layer.of_files({"www/version": version.encode()})]
    return it.pusher.push(f"lab/{name}", "latest", layers, run=tiny_run(**run))


def running(it: Ground) -> str:
    """A new engine of version one, started; its name."""
    name = f"engine-{secrets.token_hex(3)}"
    publish(it, name, "one")
    it.shelf.offer(name, abm={"version": "1.0.0", **SPEAKS_NOT})
    it.abm.read_shelf()
    it.abm.installed(name, starts=True)
    assert served(it, name) == "one"
    return name


def served(it: Ground, name: str) -> str:
    """The version of what runs, by its own word."""
    return httpx.get(f"{it.abm.engine(name).url}/version", trust_env=False, timeout=5).text


def check(it: Ground, name: str) -> Row:
    """Press Check now and wait for the answer; the engine."""
    it.abm.post(f"/engines/{it.abm.engine(name).pk}/check-updates/")
    image = f"reference = '{it.image(name)}'"
    it.abm.until(lambda: it.abm.row("engines_imagecheck", image).asked_at is None)
    return it.abm.engine(name)


def step_keys(job: Row) -> list[str]:
    return [step["key"] for step in json.loads(job.steps)]


def test_an_update_is_found_by_digest_and_ends_with_the_new_one_running(it: Ground) -> None:
    name = running(it)
    old = check(it, name)
    newest = publish(it, name, "two")
    assert not old.update_digest

    found = check(it, name)
    pulls = it.door.count(f"/{name}/blobs/", method="GET")
    assert found.update_digest == newest
    job = it.abm.done(name, "update")

    engine = it.abm.engine(name)
    assert served(it, name) == "two"
    assert engine.state == "running"
    assert (engine.image_digest, engine.update_digest) == (newest, "")
    assert (engine.previous_image_id, engine.previous_image_digest) == (
        old.image_id,
        old.image_digest,
    )
    keys = step_keys(job)
    assert keys.index("pull") < keys.index("stop") < keys.index("start")
    assert it.door.count(f"/{name}/blobs/", method="GET") > pulls
    assert len(ours(it.client, name)) == 1


def test_a_check_pulls_nothing(it: Ground) -> None:
    name = running(it)
    publish(it, name, "two")
    before = len(it.door.asked)

    check(it, name)

    asked = [one for one in it.door.asked[before:] if f"/{name}/" in one.path]
    assert len(asked) == 1
    assert "/manifests/" in asked[0].path


def test_a_new_image_that_dies_is_left_and_the_old_one_runs_again(it: Ground) -> None:
    name = running(it)
    newest = publish(it, name, "two", **DIES)
    check(it, name)

    job = it.abm.ended(it.abm.verb(name, "update").pk)

    engine = it.abm.engine(name)
    assert job.status == "failed"
    assert job.error.endswith("The old version runs again.")
    assert "the model file is broken" in job.error_detail
    assert served(it, name) == "one"
    assert engine.state == "running"
    assert engine.skipped_digest == engine.update_digest == newest
    assert not it.abm.rows("jobs_job", f"engine_id = {engine.pk} AND finished_at IS NULL")


def test_a_rollback_starts_the_previous_image_again(it: Ground) -> None:
    name = running(it)
    newest = publish(it, name, "two")
    check(it, name)
    it.abm.done(name, "update")
    before = it.door.count(f"/{name}/")

    it.abm.done(name, "rollback")

    engine = it.abm.engine(name)
    assert served(it, name) == "one"
    assert engine.skipped_digest == engine.update_digest == newest
    assert it.door.count(f"/{name}/") == before


def test_a_stopped_engine_is_updated_and_stopped_again(it: Ground) -> None:
    name = running(it)
    it.abm.done(name, "stop")
    publish(it, name, "two")
    check(it, name)

    it.abm.done(name, "update")

    assert it.abm.state(name) == "stopped"
    assert not [one for one in ours(it.client, name) if one.status == "running"]
    it.abm.done(name, "start")
    assert served(it, name) == "two"


def test_an_abm_killed_in_mid_update_goes_back_and_says_to_what(it: Ground) -> None:
    name = running(it)
    old = it.abm.engine(name)
    publish(it, name, "two", **LISTENS_LATE)
    check(it, name)
    job = it.abm.verb(name, "update").pk
    it.abm.until(lambda: "answer" in step_keys(it.abm.job(job)))
    assert it.abm.engine(name).image_id != old.image_id

    it.abm.served.kill()
    it.abm.start()

    it.abm.until(lambda: it.abm.job(job).status == "failed")
    it.abm.until_state(name, "running", seconds=30)
    assert f"({old.image_digest[:19]}) again" in it.abm.job(job).error
    assert served(it, name) == "one"
    assert it.abm.engine(name).image_id == old.image_id
    assert len(ours(it.client, name)) == 1

    publish(it, name, "three")
    check(it, name)
    it.abm.done(name, "update")
    assert served(it, name) == "three"


def test_a_cancel_of_the_pull_leaves_the_engine_running(it: Ground) -> None:
    name = running(it)
    layers = [tiny_layer(), Layer.of_files({"data": secrets.token_bytes(3_000_000)})]
    it.pusher.push(f"lab/{name}", "latest", layers, run=tiny_run())
    check(it, name)
    it.door.fail(Fault(f"/{name}/blobs/", method="GET", stalls_after=1000))
    job = it.abm.verb(name, "update").pk
    it.abm.until(lambda: "pull" in step_keys(it.abm.job(job)))

    it.abm.post(f"/jobs/{job}/cancel/")

    assert it.abm.ended(job, 5).status == "cancelled"
    assert served(it, name) == "one"
    assert it.abm.state(name) == "running"


def test_a_registry_that_wants_rest_keeps_the_last_answer(it: Ground) -> None:
    name = running(it)
    newest = publish(it, name, "two")
    before = check(it, name)
    it.door.fail(Fault("/manifests/", status=429, headers={"Retry-After": "700"}))

    after = check(it, name)
    page = it.abm.http.get(f"/engines/{after.pk}/?tab=updates").text
    it.door.heal()
    asked = it.door.count(f"/{name}/manifests/")
    check(it, name)

    assert after.update_digest == before.update_digest == newest
    assert after.update_checked_at == before.update_checked_at
    assert "What stands here was true" in page
    assert "12 minutes" in page
    assert it.door.count(f"/{name}/manifests/") == asked  # it keeps the peace it was asked for


def test_an_image_that_was_made_here_has_no_update(it: Ground) -> None:
    base, name = running(it), f"engine-{secrets.token_hex(3)}"
    made = it.client.containers.create(it.image(base))
    made.commit(it.image(name).removesuffix(":latest"), "latest")
    made.remove()
    it.shelf.offer(name, abm={"version": "1.0.0", **SPEAKS_NOT})
    it.abm.read_shelf()

    engine = it.abm.installed(name)
    page = it.abm.http.get(f"/engines/{engine.pk}/?tab=updates").text

    assert "Unknown, built here" in page
    assert f"/engines/{engine.pk}/update/" not in page


def tone_of(lab: Lab) -> tuple[Image, list[Layer]]:
    """The lab's engine that speaks, out of its registry."""
    with Pusher(lab.place.registry) as source:
        image = source.find("lab/tone")
    assert image is not None
    blobs = f"http://{lab.place.registry}/v2/lab/tone/blobs/"
    with httpx.Client(trust_env=False, timeout=60) as http:
        found = [http.get(f"{blobs}{row['digest']}").content for row in image.layers]
    return image, [Layer.of_gzip(content) for content in found]


def test_a_new_version_that_is_mute_does_not_pass_its_test(it: Ground, lab: Lab) -> None:
    image, layers = tone_of(lab)
    run = image.config["config"]
    name = f"engine-{secrets.token_hex(3)}"
    it.pusher.push(f"lab/{name}", "latest", layers, run=run)
    it.shelf.offer(name, models=[{"name": "tone"}], default_model="tone")
    it.abm.read_shelf()
    it.abm.installed(name, starts=True)
    script = (Path(made_images.__file__).parent / "engine" / "server.py").read_text()
    mute = script.replace(SOUNDING, "0 * math.sin(")
    assert mute != script
    changed = Layer.of_files({"app/server.py": mute.encode()})
    it.pusher.push(f"lab/{name}", "latest", [*layers, changed], run=run)
    old = check(it, name)

    job = it.abm.ended(it.abm.verb(name, "update").pk)

    engine = it.abm.engine(name)
    assert job.status == "failed"
    assert "of silence. The old version runs again." in job.error
    assert (engine.state, engine.image_id) == ("running", old.image_id)
    assert it.abm.done(name, "test").status == "succeeded"
