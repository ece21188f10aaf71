"""Images from elsewhere, through a whole abm: built, loaded, saved, pushed, examined, installed."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from catalog.check import check_engine
from catalog.definition import EngineDefinition
from catalog.reading import read_catalog
from catalog.safe_yaml import load
from lab.faults import Login
from lab.fleet import Lab
from tests.browser.server import free_port
from tests.fleet.abm import Ground, Row, ground, ours

pytestmark = pytest.mark.fleet

DEFINITION = """\
schema_version: 2
name: NAME
display_name: Engine NAME
engine_type: tts
upstream: {name: Test}
variants: [{tag: latest, platforms: [linux/amd64]}]
models: [{name: none}]
default_model: none
supported_languages: [en, "no"]
abm: {version: 1.0.0, speaks_contract: false, health: {start_seconds: 20}}
"""
DOCKERFILE = "FROM BASE\nCOPY engine.yaml /www/engine.yaml\nRUN echo made here > /www/made\n"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`allowed` is named in the settings, `engines` is the folder of engines under development."""
    root = tmp_path_factory.mktemp("sources")
    for name in ("allowed", "engines", "git"):
        (root / name).mkdir()
    return root


@pytest.fixture(scope="module")
def it(lab: Lab, folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    places = {"MOUNT_ROOTS": str(folders / "allowed"), "ENGINES_DIR": str(folders / "engines")}
    folder = tmp_path_factory.mktemp("abm")
    with ground(lab.place, folder, environment={**places, "MAX_IMAGE_MB": "50"}) as made:
        yield made


@pytest.fixture
def base(it: Ground, registry_address: str) -> str:
    """A tiny image on the daemon: an engine of its own, and what others are built from."""
    it.client.images.pull(f"{registry_address}/lab/tiny:latest")
    return f"{registry_address}/lab/tiny:latest"


def write(folder: Path, name: str, base: str, dockerfile: str = DOCKERFILE) -> Path:
    """The folder of an engine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile.replace("BASE", base))
    (folder / "engine.yaml").write_text(DEFINITION.replace("NAME", name))
    return folder


def asked(it: Ground, page: str, /, **form: str) -> int:
    """The job that came of a form."""
    answer = it.abm.asked(page, {"host": str(it.abm.host.pk), **form})
    found = re.search(r"/jobs/(\d+)/", str(answer.url))
    assert found is not None, answer.text[-3000:]
    return int(found[1])


def done(it: Ground, page: str, /, **form: str) -> Row:
    job = it.abm.ended(asked(it, page, **form))
    assert job.status == "succeeded", f"{job.error}\n{job.error_detail}\n{it.abm.log(job.pk)}"
    return job


def failed(it: Ground, page: str, /, **form: str) -> Row:
    job = it.abm.ended(asked(it, page, **form))
    assert job.status == "failed"
    return job


def params(job: Row) -> dict[str, object]:
    return dict(json.loads(job.params))


def entry(it: Ground, name: str) -> Row:
    """The entry of that name that was made here."""
    custom = "source_id IN (SELECT id FROM catalog_catalogsource WHERE kind = 'custom')"
    return it.abm.row("catalog_catalogentry", f"name = ? AND {custom}", name)


def variant(it: Ground, name: str) -> Row:
    return it.abm.row("catalog_variant", "entry_id = ?", entry(it, name).pk)


def installed(it: Ground, variant: Row, name: str) -> Row:
    """Install a variant, start it, and wait until it runs."""
    form = {"variant": str(variant.pk), "starts": "on"}
    done(it, "/engines/install/", **form)
    return it.abm.until_state(name, "running")


def test_a_folder_becomes_an_entry_that_runs_on_that_host_at_once(
    it: Ground, base: str, folders: Path
) -> None:
    folder = write(folders / "allowed" / "built", "built", base)

    job = done(it, "/engines/images/build/", folder=str(folder))
    made = variant(it, "built")
    engine = installed(it, made, "built")

    assert made.image == "localhost/abm/built"
    assert json.loads(made.platforms) == ["linux/amd64"]
    assert httpx.get(f"{engine.url}/made", trust_env=False).text == "made here\n"
    assert "Step 3/" in it.abm.log(job.pk)
    assert f"/catalog/{entry(it, 'built').pk}/" in it.abm.http.get(f"/jobs/{job.pk}/").text


def test_what_did_not_change_is_not_built_again(it: Ground, base: str, folders: Path) -> None:
    folder = write(folders / "allowed" / "same", "same", base)
    done(it, "/engines/images/build/", folder=str(folder))

    again = done(it, "/engines/images/build/", folder=str(folder))
    anew = done(it, "/engines/images/build/", folder=str(folder), is_fresh="on")

    assert "Nothing has changed" in it.abm.log(again.pk)
    assert "Nothing has changed" not in it.abm.log(anew.pk)


def test_two_clicks_on_build_are_one_job_and_cancel_ends_it(
    it: Ground, base: str, folders: Path
) -> None:
    slow = DOCKERFILE + "RUN sleep 60\n"
    folder = write(folders / "allowed" / "slow", "slow", base, slow)

    first = asked(it, "/engines/images/build/", folder=str(folder))
    second = asked(it, "/engines/images/build/", folder=str(folder))
    it.abm.until(lambda: "RUN sleep 60" in it.abm.log(first))
    began = time.monotonic()
    it.abm.post(f"/jobs/{first}/cancel/")
    job = it.abm.ended(first)

    assert second == first
    assert job.status == "cancelled"
    assert time.monotonic() - began < 3
    assert not it.abm.rows("catalog_catalogentry", "name = 'slow'")


def test_a_failed_build_names_its_step_and_offers_nothing(
    it: Ground, base: str, folders: Path
) -> None:
    folder = write(folders / "allowed" / "bad", "bad", base, "FROM BASE\nRUN exit 7\n")

    job = failed(it, "/engines/images/build/", folder=str(folder))

    assert "(RUN exit 7) ended with code 7" in job.error
    assert not it.abm.rows("catalog_catalogentry", "name = 'bad'")


def test_an_image_without_engine_yaml_is_asked_what_it_is(
    it: Ground, base: str, folders: Path
) -> None:
    folder = folders / "allowed" / "mute"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {base}\n")

    job = done(it, "/engines/images/build/", folder=str(folder), name="said-by-itself")

    assert entry(it, "said-by-itself").display_name == "Tiny"
    assert ours_discovered(it) == []
    assert "asked for /info" in it.abm.log(job.pk)


def ours_discovered(it: Ground) -> list[object]:
    return list(it.client.containers.list(all=True, filters={"label": "abm.discover"}))


@pytest.mark.parametrize("path", ["/etc", "/allowed/../../etc", "relative"])
def test_a_folder_that_nobody_allowed_is_refused(it: Ground, folders: Path, path: str) -> None:
    wanted = str(folders) + path if ".." in path else path
    form = {"host": str(it.abm.host.pk), "folder": wanted}

    answer = it.abm.asked("/engines/images/build/", form)

    assert answer.status_code == 400
    assert "does not lie below" in answer.text or "whole path" in answer.text


@pytest.fixture
def repository(folders: Path, base: str) -> Iterator[str]:
    """The address of a repository with an engine in a sub-folder, behind a real git server."""
    work = folders / "git" / "work"
    write(work / "tts" / "cloned", "cloned", base, "FROM BASE\nCOPY tts/cloned/engine.yaml /www/\n")
    mine = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *mine, *words], cwd=work, check=True)
    subprocess.run(["git", "tag", "v1"], cwd=work, check=True)
    port = free_port()
    options = ["--export-all", f"--port={port}", "--listen=127.0.0.1", "--reuseaddr"]
    server = subprocess.Popen(
        ["git", "daemon", *options, f"--base-path={folders / 'git'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        it_listens(port)
        yield f"git://127.0.0.1:{port}/work"
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(work)


def it_listens(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, "the git server does not listen"
        time.sleep(0.02)


def test_a_tag_of_a_repository_is_built_from_its_root_with_a_dockerfile_below(
    it: Ground, repository: str
) -> None:
    how = {"url": repository, "ref": "v1", "dockerfile": "tts/cloned/Dockerfile"}

    job = done(it, "/engines/images/build/", **how)

    assert variant(it, "cloned").image == "localhost/abm/cloned"
    assert re.fullmatch(r"[0-9a-f]{40}", str(params(job)["commit"]))
    assert list((it.abm.database.parent / "builds").iterdir()) == []


def test_an_unknown_ref_of_a_repository_is_said(it: Ground, repository: str) -> None:
    job = failed(it, "/engines/images/build/", url=repository, ref="never")

    assert "never" in job.error


def test_an_engine_under_development_is_installed_on_docker_by_building_it(
    it: Ground, base: str, folders: Path
) -> None:
    write(folders / "engines" / "tts" / "indev", "indev", base)
    folder = it.abm.row("catalog_catalogsource", "kind = 'folder'")
    it.abm.post(f"/catalog/sources/{folder.pk}/sync/")
    it.abm.until(lambda: it.abm.rows("catalog_catalogentry", "name = 'indev'"))
    found = it.abm.row("catalog_catalogentry", "name = 'indev'")
    dialog = it.abm.http.get(f"/engines/choose/{found.pk}/").text

    engine = installed(it, it.abm.row("catalog_variant", "entry_id = ?", found.pk), "indev")

    assert "will be built here" in dialog
    assert engine.image == "localhost/abm/indev"
    assert httpx.get(f"{engine.url}/made", trust_env=False).text == "made here\n"


def test_a_built_image_is_pushed_and_its_entry_is_a_valid_catalog(
    it: Ground, base: str, folders: Path, tmp_path: Path
) -> None:
    folder = write(folders / "allowed" / "pushed", "pushed", base)
    done(it, "/engines/images/build/", folder=str(folder))
    made = variant(it, "pushed")
    registry = it.pusher.address
    refused = it.abm.http.get(f"/engines/images/{entry(it, 'pushed').pk}/catalog.yaml")

    done(it, f"/engines/images/{made.pk}/push/", to=f"{registry}/mine/pushed:2")
    exported = it.abm.http.get(f"/engines/images/{entry(it, 'pushed').pk}/catalog.yaml")
    reading = read_catalog(exported.content, compatible_with="1.1.2")

    assert refused.status_code == 409
    assert "Push it to a registry first" in refused.text
    assert it.pusher.find("mine/pushed", "2") is not None
    assert variant(it, "pushed").image == f"{registry}/mine/pushed"
    assert variant(it, "pushed").tag == "2"
    assert reading.problems == ()
    (found,) = reading.engines
    assert found.image == f"{registry}/mine/pushed"
    assert found.definition.supported_languages == ["en", "no"]
    assert faults_of(exported.text, tmp_path / "tts" / "pushed") == []


def faults_of(catalog: str, folder: Path) -> list[str]:
    """What is wrong with the one engine of a catalog, were it an engine.yaml."""
    (row,) = load(catalog.encode())["engines"]
    assert EngineDefinition.model_validate(row).name == folder.name
    folder.mkdir(parents=True)
    (folder / "engine.yaml").write_text(json.dumps(row))
    (folder / "server.py").write_text("")
    (folder / "requirements.txt").write_text("")
    return [finding.text for finding in check_engine(folder)]


def test_a_registry_that_wants_a_login_says_so_and_the_entry_stays_as_it_is(
    it: Ground, base: str, folders: Path
) -> None:
    folder = write(folders / "allowed" / "kept", "kept", base)
    done(it, "/engines/images/build/", folder=str(folder))
    made = variant(it, "kept")
    it.door.login = Login("ada", "secret")
    try:
        job = failed(it, f"/engines/images/{made.pk}/push/", to=f"{it.door.address}/mine/kept:1")
    finally:
        it.door.login = None

    assert "Store a login" in job.error
    assert variant(it, "kept").image == "localhost/abm/kept"


def test_an_image_goes_to_a_file_and_comes_back_by_upload_in_parts(
    it: Ground, base: str, folders: Path
) -> None:
    folder = write(folders / "allowed" / "carried", "carried", base)
    done(it, "/engines/images/build/", folder=str(folder))
    engine = installed(it, variant(it, "carried"), "carried")
    job = done(it, f"/engines/{engine.pk}/save-image/")
    content = it.abm.http.get(f"/engines/images/saved/{job.pk}/").content
    it.abm.done("carried", "uninstall")
    assert "localhost/abm/carried:latest" not in tags(it)

    token = started(it, "carried.tar", len(content))
    part = f"/engines/images/upload/{token}/"
    half = len(content) // 2
    gap = sent(it, part, content[half:], offset=half)
    first = sent(it, part, content[:half], offset=0)
    again = sent(it, part, content[:half], offset=0)
    early = it.abm.asked(f"{part}load/", {})
    last = sent(it, part, content[half:], offset=half)
    url = it.abm.post(f"{part}load/").json()["url"]
    loaded = it.abm.ended(int(url.strip("/").split("/")[-1]))

    assert (gap.status_code, early.status_code) == (416, 409)
    assert first.json() == again.json() == {"received": half}
    assert last.json() == {"received": len(content)}
    assert loaded.status == "succeeded", loaded.error
    assert "localhost/abm/carried:latest" in tags(it)
    assert list((it.abm.database.parent / "uploads").iterdir()) == []


def started(it: Ground, name: str, size: int) -> str:
    host = str(it.abm.host.pk)
    answer = it.abm.post("/engines/images/upload/", name=name, size=str(size), host=host)
    return str(answer.json()["token"])


def sent(it: Ground, path: str, part: bytes, *, offset: int) -> httpx.Response:
    headers = {"X-CSRFToken": it.abm.http.cookies["csrftoken"]}
    return it.abm.http.post(f"{path}?offset={offset}", content=part, headers=headers)


def tags(it: Ground) -> set[str]:
    return {tag for image in it.client.images.list() for tag in image.tags}


def test_a_file_that_is_no_image_is_refused_and_deleted(it: Ground) -> None:
    content = b"no tar at all" * 1000
    token = started(it, "../../notes.tar", len(content))
    sent(it, f"/engines/images/upload/{token}/", content, offset=0)
    url = it.abm.post(f"/engines/images/upload/{token}/load/").json()["url"]
    job = it.abm.ended(int(url.strip("/").split("/")[-1]))

    assert job.status == "failed"
    assert job.error.startswith("notes.tar")
    assert list((it.abm.database.parent / "uploads").iterdir()) == []


def test_a_file_larger_than_the_setting_is_refused_before_a_byte_is_sent(it: Ground) -> None:
    form = {"name": "huge.tar", "size": "51000000", "host": str(it.abm.host.pk)}

    answer = it.abm.asked("/engines/images/upload/", form)

    assert answer.status_code == 413
    assert "MAX_IMAGE_MB" in answer.text


def test_a_file_of_this_machine_is_loaded_and_registered_by_form_for_that_host(
    it: Ground, base: str, folders: Path
) -> None:
    named = "localhost/abm/brought:1"
    it.client.images.get(base).tag("localhost/abm/brought", "1")
    file = folders / "allowed" / "brought.tar"
    file.write_bytes(b"".join(it.client.images.get(named).save(named=named)))
    it.client.images.remove(named)

    job = done(it, "/engines/images/load/", path=str(file))
    form = {
        "job": str(job.pk),
        "image": named,
        "name": "brought",
        "display_name": "Brought",
        "engine_type": "tts",
        "port": "8766",
        "health_path": "/health",
        "start_seconds": "20",
    }
    it.abm.post("/engines/images/register/", **form)
    engine = installed(it, variant(it, "brought"), "brought")
    twice = it.abm.asked("/engines/images/register/", form)

    assert file.is_file()
    assert json.loads(entry(it, "brought").extra)["made_on"] == {"1": it.abm.host.host_id}
    assert engine.state == "running"
    assert twice.status_code == 409
    assert "There is an entry named brought already" in twice.text


def test_an_image_in_a_registry_is_pulled_examined_and_shown_as_a_filled_form(
    it: Ground, registry_address: str
) -> None:
    image = f"{registry_address}/lab/tone:latest"

    job = done(it, "/engines/images/examine/", image=image, port="8766", seconds="60")
    shown = it.abm.http.get(f"/engines/images/register/?job={job.pk}").text
    form = {"job": str(job.pk), "image": image, "name": "tone", "display_name": "My tone"}
    more = {"engine_type": "tts", "port": "8766", "health_path": "/health"}
    it.abm.post("/engines/images/register/", **form, **more, speaks_contract="on")

    assert 'value="tone"' in shown
    assert image in shown
    assert entry(it, "tone").display_name == "My tone"
    assert [row["name"] for row in json.loads(entry(it, "tone").model_rows)] == ["tone"]
    assert "made_on" not in json.loads(entry(it, "tone").extra)
    assert ours_discovered(it) == []


def test_an_image_that_does_not_say_what_it_is_leads_to_the_form(
    it: Ground, base: str, folders: Path
) -> None:
    it.client.images.build(
        path=str(mute(folders, base)), tag="localhost/abm/silent:1", rm=True, forcerm=True
    )

    job = failed(
        it, "/engines/images/examine/", image="localhost/abm/silent:1", port="8766", seconds="20"
    )

    assert "Register it by the form instead." in job.error
    page = it.abm.http.get(f"/jobs/{job.pk}/").text
    assert "/engines/images/register/?image=localhost%2Fabm%2Fsilent%3A1" in page
    assert ours_discovered(it) == []


def mute(folders: Path, base: str) -> Path:
    folder = folders / "allowed" / "silent"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {base}\nRUN /bin/busybox rm /www/info\n")
    return folder


def test_nothing_of_these_is_left_but_engines(it: Ground) -> None:
    assert ours_discovered(it) == []
    assert {row.labels["abm.engine"] for row in ours(it.client)} <= {
        row.name for row in it.abm.rows("engines_engine")
    }
