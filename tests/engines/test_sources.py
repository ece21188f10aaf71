"""Who may add images, what forms refuse, how folders are built, and what uploads promise."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import current_app
from django.template.loader import render_to_string
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.refused import Refused
from catalog.custom import CustomImage, move_image, write_custom
from catalog.definition import EngineDefinition
from catalog.exporting import catalog_of
from catalog.models import CatalogEntry, CatalogSource, Variant
from catalog.reading import read_catalog
from catalog.services import ensure_sources
from engines.choosing import choice, want_numbers
from engines.sources import places, services, uploading
from engines.sources.forms import BuildForm
from engines.sources.recipe import Recipe, image_of, recipe_of, recipe_of_folder
from engines.variant_sizes import due
from engines.verdict import verdict
from hosts.models import Host
from jobs.models import Job
from jobs.services import retry_job
from tests.engines.factories import make_engine, make_host, make_variant
from tests.pages.factories import HTMX, make_user

BUNDLED = Path(__file__).resolve().parents[2] / "bundled"
PAGES = (
    "/engines/images/",
    "/engines/images/?tab=file",
    "/engines/images/?tab=image",
    "/engines/images/register/",
)


@pytest.fixture(autouse=True)
def unrung(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda *args, **options: None)
    plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": plain}}


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A folder that the settings allow."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.MOUNT_ROOTS = [str(tmp_path / "allowed")]
    made = tmp_path / "allowed" / "thing"
    made.mkdir(parents=True)
    yield made


@pytest.fixture
def docker(db: None) -> Host:
    return make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"machine": "amd64"})


def definition(name: str = "thing", **more: Any) -> EngineDefinition:
    raw = {"name": name, "display_name": name.title(), "engine_type": "tts", **more}
    return EngineDefinition.model_validate(raw)


def custom(image: str = "localhost/abm/thing", tag: str = "latest", **more: Any) -> CustomImage:
    return CustomImage(image, tag, ("linux/amd64",), **more)


def build(host: Host, folder: Path, *, user: User | None = None) -> Job:
    recipe = Recipe(folder=str(folder))
    return services.build_image(recipe, image="localhost/abm/thing:1", host=host, user=user)


# -- who may do what ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_gets_no_page(viewer: Client, page: str) -> None:
    assert viewer.get(page).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_an_operator_gets_every_page(operator: Client, docker: Host, page: str) -> None:
    assert operator.get(page).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["build", "examine", "load", "upload", "register", "1/push", "upload/x", "upload/x/load"],
)
def test_a_viewer_may_ask_for_nothing(viewer: Client, docker: Host, path: str) -> None:
    make_variant()
    form = {"host": str(docker.pk), "name": "a", "size": "1"}
    variant = Variant.objects.get()

    answer = viewer.post(f"/engines/images/{path.replace('1/', f'{variant.pk}/')}/", form)

    assert answer.status_code == 403
    assert not Job.objects.exists()


@pytest.mark.parametrize("path", ["build", "load"])
def test_folders_repositories_and_paths_are_for_admins(
    operator: Client, docker: Host, folder: Path, path: str
) -> None:
    form = {"host": str(docker.pk), "folder": str(folder), "path": str(folder)}

    answer = operator.post(f"/engines/images/{path}/", form)

    assert answer.status_code == 403
    assert b"this needs the role admin" in answer.content


def test_an_operator_sees_no_button_that_is_for_admins(operator: Client, docker: Host) -> None:
    build_page = operator.get("/engines/images/?tab=build").content
    file_page = operator.get("/engines/images/?tab=file").content

    assert b"Building needs the role admin" in build_page
    assert b'name="path"' not in file_page
    assert b'type="file"' in file_page


def test_without_a_docker_host_each_tab_says_where_to_go(admin: Client) -> None:
    for page in PAGES[:3]:
        assert b"No Docker host can be used now" in admin.get(page).content


def test_the_catalog_leads_to_the_page(operator: Client, viewer: Client) -> None:
    assert b"/engines/images/" in operator.get("/catalog/").content
    assert b"/engines/images/" not in viewer.get("/catalog/").content


# -- asking ------------------------------------------------------------------------------------


def test_a_host_of_processes_builds_nothing(db: None, folder: Path) -> None:
    with pytest.raises(Refused, match="images need a Docker host"):
        build(make_host(), folder)


def test_asked_twice_for_a_build_both_get_one_job(docker: Host, folder: Path) -> None:
    first, second = build(docker, folder), build(docker, folder)
    other = services.build_image(
        Recipe(folder=str(folder), is_fresh=True), image="x/thing:1", host=docker, user=None
    )

    assert first.pk == second.pk
    assert other.pk != first.pk


def test_variables_of_an_examined_image_are_not_kept_in_clear(docker: Host) -> None:
    asking = services.Asking(environment={"HF_TOKEN": "hidden-word"})

    first = services.examine_image("x/thing:1", host=docker, user=None, asking=asking)
    second = services.examine_image("x/thing:1", host=docker, user=None, asking=asking)

    assert "hidden-word" not in str(first.params)
    assert second.pk == first.pk


def test_a_failed_job_on_images_can_be_tried_again(docker: Host, folder: Path) -> None:
    job = build(docker, folder)
    Job.objects.filter(pk=job.pk).update(status=Job.Status.FAILED)
    job.refresh_from_db()

    again = retry_job(job, user=None)

    assert job.can_be_retried
    assert again.params == job.params


def test_a_link_out_of_the_allowed_folder_is_refused(folder: Path) -> None:
    (folder / "out").symlink_to("/etc")

    with pytest.raises(Refused, match="does not lie below"):
        places.allowed_folder(str(folder / "out"))


def test_an_engine_that_is_a_process_has_no_image_to_save(db: None) -> None:
    with pytest.raises(Refused, match="has no image that could be saved"):
        services.save_image(make_engine(), user=None)


def test_what_came_from_a_registry_is_not_pushed(docker: Host) -> None:
    variant = make_variant()

    with pytest.raises(Refused, match="from a registry already"):
        services.push_image(variant, to="ghcr.io/me/tiny:1", host=docker, user=None)


# -- forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("url", "", "Name either a Git repository or a folder."),
        ("image", "Not A Name", "capital letters"),
        ("name", "Big Name", "Small letters, digits and hyphens"),
        ("build_args", "no equals sign", "is not of the form NAME=value."),
        ("platform", "amd64", "A platform looks like linux/arm64."),
    ],
)
def test_a_fault_stands_at_its_field(docker: Host, field: str, value: str, said: str) -> None:
    whole = {"host": str(docker.pk), "url": "https://example.org/x.git", field: value}

    form = BuildForm(whole)

    assert not form.is_valid()
    assert said in str(form.errors[field])


def test_a_refused_form_comes_back_with_what_was_typed(admin: Client, docker: Host) -> None:
    form = {"host": str(docker.pk), "url": "https://example.org/x.git", "platform": "amd64"}

    answer = admin.post("/engines/images/build/", form, headers=HTMX)

    assert answer.status_code == 400
    assert b'id="add-image"' in answer.content
    assert b"https://example.org/x.git" in answer.content
    assert b"<html" not in answer.content


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({"url": "https://example.org/owner/My_Voice.git"}, "localhost/abm/my-voice:latest"),
        ({"url": "git@example.org:owner/voice"}, "localhost/abm/voice:latest"),
        (
            {"url": "https://e.org/r", "dockerfile": "tts/xtts/Dockerfile"},
            "localhost/abm/xtts:latest",
        ),
        ({"folder": "/srv/voice"}, "localhost/abm/voice:latest"),
        ({"folder": "/srv/voice", "image": "ghcr.io/me/x:2"}, "ghcr.io/me/x:2"),
    ],
)
def test_an_image_without_a_name_is_called_after_what_is_built(
    docker: Host, form: dict[str, str], name: str
) -> None:
    filled = BuildForm({"host": str(docker.pk), **form})

    assert filled.is_valid(), filled.errors
    assert filled.image_name() == name


def test_an_image_is_registered_by_form_and_survives_a_sync(
    operator: Client, settings: Settings
) -> None:
    settings.CATALOG_URL, settings.CATALOG_SYNC = "", False
    form = {
        "image": "ghcr.io/me/piper:1.2",
        "name": "my-piper",
        "display_name": "My Piper",
        "engine_type": "tts",
        "languages": "en, de",
        "port": "5000",
        "health_path": "/ready",
        "start_seconds": "300",
        "page": "/",
    }

    answer = operator.post("/engines/images/register/", form)
    ensure_sources()
    entry = CatalogEntry.objects.get(name="my-piper")
    variant = entry.variants.get()

    assert answer.status_code == 302
    assert not entry.is_withdrawn
    assert entry.source.kind == CatalogSource.Kind.CUSTOM
    assert (variant.reference, variant.is_withdrawn) == ("ghcr.io/me/piper:1.2", False)
    assert entry.supported_languages == ["en", "de"]
    extras = entry.extra["abm"]
    assert extras["speaks_contract"] is False
    assert extras["health"] == {"path": "/ready", "start_seconds": 300}
    assert (extras["port"], extras["page"]) == (5000, "/")


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "My Voice"), ("languages", "English!"), ("health_path", "ready"), ("port", "0")],
)
def test_what_no_catalog_could_say_is_refused_at_its_field(
    operator: Client, field: str, value: str
) -> None:
    whole = {
        "image": "ghcr.io/me/piper:1",
        "name": "my-piper",
        "display_name": "My Piper",
        "engine_type": "tts",
        "port": "5000",
        "health_path": "/ready",
        field: value,
    }

    answer = operator.post("/engines/images/register/", whole)

    assert answer.status_code == 400
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert not CatalogEntry.objects.exists()


# -- how folders are built ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["tts/espeak-ng", "stt/pocketsphinx", "text/pysbd"])
def test_a_bundled_engine_is_built_from_the_folder_that_all_share(path: str) -> None:
    recipe = recipe_of_folder(BUNDLED / path)

    assert recipe is not None
    assert (recipe.folder, recipe.dockerfile) == (str(BUNDLED), f"{path}/Dockerfile")


def test_a_folder_that_has_all_that_it_copies_is_its_own_context(folder: Path) -> None:
    (folder / "server.py").touch()
    (folder / "Dockerfile").write_text(
        "FROM a AS b\nCOPY --chown=1 *.py /app/\nCOPY --from=b /x /y\n"
    )

    recipe = recipe_of_folder(folder)

    assert recipe is not None
    assert (recipe.folder, recipe.dockerfile) == (str(folder), "Dockerfile")


def test_a_docker_host_takes_a_folder_with_a_dockerfile_and_says_that_it_builds(
    docker: Host, folder: Path
) -> None:
    variant = make_variant(folder=str(folder))
    without = verdict(variant, docker)
    (folder / "Dockerfile").write_text("FROM scratch\n")

    found = verdict(variant, docker)

    assert not without.fits
    assert "without a Dockerfile" in without.text
    assert found.fits
    assert found.text.startswith(f"fits: will be built here from {folder}")
    assert image_of(variant) == "localhost/abm/tiny"


def test_an_image_on_one_host_alone_does_not_fit_another(docker: Host) -> None:
    other = make_host(host_type=Host.Type.DOCKER_LOCAL, facts={"machine": "amd64"})
    variant = write_custom(definition(), custom(made_on=docker.host_id), user=None)

    assert verdict(variant, docker).fits
    assert "push it to a registry first" in verdict(variant, other).text
    assert not verdict(variant, other).can_overrule


# -- entries -----------------------------------------------------------------------------------


def test_a_pushed_image_is_pulled_and_built_no_more(docker: Host, folder: Path) -> None:
    recipe = Recipe(folder=str(folder)).row
    variant = write_custom(definition(), custom(recipe=recipe), user=None)
    assert recipe_of(variant) is not None

    moved = move_image(variant, image="ghcr.io/me/thing", tag="2")
    moved = Variant.objects.select_related("entry").get(pk=moved.pk)

    assert recipe_of(moved) is None
    assert moved.reference == "ghcr.io/me/thing:2"
    assert moved.measure_at is None


def test_pushed_to_a_tag_that_the_entry_has_that_variant_gets_the_image(db: None) -> None:
    write_custom(definition(), custom("ghcr.io/me/thing", "1"), user=None)
    made = write_custom(definition(), custom(made_on="local"), user=None)

    moved = move_image(made, image="ghcr.io/me/thing", tag="1")

    made.refresh_from_db()
    assert moved.tag == "1"
    assert made.is_withdrawn
    assert "made_on" not in moved.entry.extra or moved.entry.extra["made_on"] == {}


def test_a_second_image_of_an_engine_is_a_second_variant(db: None) -> None:
    write_custom(definition(), custom(tag="1", made_on="local"), user=None)
    variant = write_custom(definition(), custom(tag="2"), user=None)

    assert {row.tag for row in variant.entry.variants.all()} == {"1", "2"}
    assert variant.entry.extra["made_on"] == {"1": "local"}


def test_an_exported_entry_is_read_again_as_it_was(db: None) -> None:
    whole: dict[str, Any] = {
        "upstream": {"name": "Thing", "url": "https://example.org/", "license": "MIT"},
        "models": [{"name": "a", "size_mb": 5}],
        "default_model": "a",
        "supported_languages": ["no", "en"],
        "parameters": {"speed": {"type": "float", "default": 1.0, "min": 0.5, "max": 2.0}},
        "constraints": {"max_text_length": 100},
        "abm": {"version": "1.10", "port": 5000, "speaks_contract": False},
    }
    variant = write_custom(
        definition(**whole), custom("ghcr.io/me/thing", "1.10", needs_gpu=True), user=None
    )

    text = catalog_of(variant.entry)
    reading = read_catalog(text.encode(), compatible_with="1.1.2")
    (found,) = reading.engines

    assert reading.problems == ()
    assert found.image == "ghcr.io/me/thing"
    assert found.definition.variants[0].model_dump() == {
        "tag": "1.10",
        "platforms": ["linux/amd64"],
        "requires_gpu": True,
    }
    written = found.definition.entry_fields()
    assert written == {**written, **{key: getattr(variant.entry, key) for key in written}}
    assert yaml.safe_load(text)["engines"][0]["supported_languages"] == ["no", "en"]


@pytest.mark.parametrize(
    ("image", "made_on", "code"),
    [
        ("localhost/abm/thing", "local", "NOT_PULLABLE"),
        ("ghcr.io/me/other", "", "NOT_NAMEABLE"),
    ],
)
def test_what_no_catalog_can_name_is_not_exported(
    db: None, image: str, made_on: str, code: str
) -> None:
    variant = write_custom(definition(), custom(image, made_on=made_on), user=None)

    with pytest.raises(Refused) as refused:
        catalog_of(variant.entry)

    assert refused.value.code == code


# -- uploads -----------------------------------------------------------------------------------


def test_an_upload_is_its_owners_alone(docker: Host, folder: Path) -> None:
    mine, other = make_user(name="one"), make_user(name="two")
    upload = uploading.start_upload("x.tar", size=10, host=docker, user=mine)

    assert uploading.read_upload(upload.token, user=mine) == upload
    with pytest.raises(Refused, match="This upload is gone"):
        uploading.read_upload(upload.token, user=other)
    with pytest.raises(Refused, match="This upload is gone"):
        uploading.read_upload(upload.token + "x", user=mine)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "...", "a b\n.tar"])
def test_an_uploads_name_stays_in_its_folder(docker: Host, folder: Path, name: str) -> None:
    upload = uploading.start_upload(name, size=10, host=docker, user=make_user())

    assert upload.file.parent.parent == places.uploads()
    assert upload.file.is_file()


def test_parts_follow_each_other_and_never_run_over(docker: Host, folder: Path) -> None:
    upload = uploading.start_upload("x.tar", size=6, host=docker, user=make_user())

    assert uploading.write_part(upload, b"abc", offset=0) == 3
    assert uploading.write_part(upload, b"abc", offset=0) == 3
    for offset, part in ((4, b"x"), (3, b"defg"), (-1, b"x")):
        with pytest.raises(Refused, match="3 bytes are here"):
            uploading.write_part(upload, part, offset=offset)
    assert uploading.write_part(upload, b"def", offset=3) == 6
    assert upload.file.read_bytes() == b"abcdef"


def test_a_finished_upload_asked_for_twice_is_one_job(docker: Host, folder: Path) -> None:
    user = make_user()
    upload = uploading.start_upload("x.tar", size=1, host=docker, user=user)
    with pytest.raises(Refused, match="0 of 1 bytes"):
        uploading.finish_upload(upload, user=user)
    uploading.write_part(upload, b"x", offset=0)

    first, second = (uploading.finish_upload(upload, user=user) for _ in range(2))

    assert first.pk == second.pk


def test_what_is_a_day_old_is_deleted(docker: Host, folder: Path) -> None:
    upload = uploading.start_upload("x.tar", size=1, host=docker, user=make_user())
    saved = places.new_saved_file("Thing:1")
    saved.touch()
    fetched = places.workspace() / "of-a-worker-that-was-killed"
    fetched.mkdir()
    assert places.tidy() == 0
    old = time.time() - 90_000
    for place in (upload.file.parent, saved, fetched):
        os.utime(place, (old, old))

    assert places.tidy() == 3
    assert not fetched.exists()
    assert not saved.exists()
    assert not upload.file.exists()


def test_a_saved_file_that_is_gone_is_said(operator: Client, docker: Host, folder: Path) -> None:
    job = Job.objects.create(
        action=Job.Action.SAVE, task="x", host=docker, params={"file": "../../../etc/passwd"}
    )

    assert operator.get(f"/engines/images/saved/{job.pk}/").status_code == 404


def test_nobody_asks_a_registry_about_an_image_that_is_in_none(docker: Host) -> None:
    local = write_custom(definition("local"), custom(disk_bytes=5_000_000), user=None)
    remote = write_custom(definition("remote"), custom("ghcr.io/me/remote"), user=None)

    assert list(due()) == [remote]
    assert not want_numbers(local)
    dialog = render_to_string("engines/_choose.html", {**(choice(local.entry, {}) or {})})
    assert "5.0 MB on disk" in dialog
