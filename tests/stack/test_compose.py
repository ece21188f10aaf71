"""`docker compose up -d`, from a built image to a voice; an upgrade; down and up again.

The tests are one story and run in their order.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from lab.fleet import Lab
from lab.own import OwnDaemon, own_remote
from lab.room import USER
from tests.abm.apart import wait_until
from tests.browser.server import ROOT
from tests.fleet.tcp_door import tcp_door
from tests.stack.stack import IMAGE, Stack
from tests.stack.steps import (
    ADMIN,
    LONG,
    PASSWORD,
    add_host,
    install,
    open_tab,
    sign_in,
    speak,
    wait_for_docker,
)
from tests.stack.upload import Upload

pytestmark = pytest.mark.fleet

ROLES = ("web", "worker", "link")
SERVERS = ("postgres", "redis")
FIRST_PAGE_SECONDS, TAKEN_OVER_SECONDS, ENDED_SECONDS = 30, 15, 30
NEXT_IMAGE = "abm:next"
NEXT_MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]
    operations = [
        migrations.AddField("lease", "note", models.CharField(max_length=9, db_default="")),
    ]
"""


def mounts(container: dict[str, Any]) -> set[str]:
    return {mount["Destination"] for mount in container["Mounts"]}


def test_everything_becomes_healthy(stack: Stack) -> None:
    stack.wait_healthy(*ROLES, *SERVERS)
    one_shot = stack.containers()

    assert [one_shot[name]["State"]["ExitCode"] for name in ("secrets", "migrate")] == [0, 0]


def test_only_web_has_a_port_and_only_worker_and_link_have_dockers_socket(stack: Stack) -> None:
    found = stack.containers()

    ports = {name for name, row in found.items() if row["HostConfig"]["PortBindings"]}
    sockets = {name for name, row in found.items() if "/var/run/docker.sock" in mounts(row)}
    assert (ports, sockets) == ({"web"}, {"worker", "link"})


def test_each_has_limits_a_bounded_log_and_a_root_that_cannot_be_written(stack: Stack) -> None:
    for name, row in stack.containers().items():
        host = row["HostConfig"]
        assert host["Memory"] > 0, name
        assert host["LogConfig"]["Config"]["max-size"] == "10m", name
        assert host["ReadonlyRootfs"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name


def test_abm_runs_as_its_own_user_without_any_right_of_root(stack: Stack, own: OwnDaemon) -> None:
    with contextlib.closing(own.client()) as client:
        for name in ROLES:
            container = client.containers.get(stack.containers()[name]["Id"])
            said = container.exec_run(["cat", "/proc/1/status"]).output.decode()
            assert re.search(r"^Uid:\s+1000\s+1000", said, re.M), said
            assert re.search(r"^CapEff:\s+0+$", said, re.M), said


def test_the_secrets_are_readable_by_abm_alone(stack: Stack, own: OwnDaemon) -> None:
    with contextlib.closing(own.client()) as client:
        container = client.containers.get(stack.containers()["web"]["Id"])
        said = container.exec_run(["stat", "-c", "%a %u %n", "/run/abm/secret_key"]).output.decode()
        environment = container.exec_run(["env"]).output.decode()

    assert said.startswith("400 1000 ")
    assert "SECRET_KEY=" not in environment and "DATABASE_PASSWORD=" not in environment


def test_a_newcomer_makes_the_first_admin_by_the_link_in_the_log(stack: Stack, page: Page) -> None:
    page.goto(stack.setup_link())
    page.get_by_label("Name").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make me admin").click()

    page.wait_for_url(lambda url: "/setup/" not in url)
    wait_for_docker(page)
    page.goto("/hosts/")
    expect(page.get_by_role("link", name="This machine", exact=True)).to_have_count(0)


def test_an_engine_is_installed_started_and_heard(stack: Stack, page: Page) -> None:
    install(page, "Tone")

    speak(page)


def test_what_it_uses_comes_from_the_link_to_the_page(page: Page) -> None:
    open_tab(page, "Stats")

    expect(page.locator("#engine-stats")).to_contain_text(re.compile(r"[\d.]+ MB"))


def test_its_log_comes_through_the_link_to_a_web_without_docker(page: Page) -> None:
    open_tab(page, "Logs")

    expect(page.locator("[data-log-lines] > div").first).to_contain_text(re.compile(r"\w{3}"))
    expect(page.locator("[data-log-lines]")).not_to_contain_text("abm cannot read the log")


def test_its_container_is_in_the_private_network_alone(stack: Stack, own: OwnDaemon) -> None:
    with contextlib.closing(own.client()) as client:
        (engine,) = client.containers.list(filters={"label": "abm.engine=tone"})
        networks = engine.attrs["NetworkSettings"]["Networks"]

    assert set(networks) == {"abm-engines"}


def test_a_host_by_ssh_is_added_and_an_engine_is_heard_there(
    stack: Stack, page: Page, own: OwnDaemon, lab: Lab
) -> None:
    with (
        own_remote(lab.place, has_card=True) as far,
        tcp_door((far.remote.address, 22), address=own.daemon.address) as door,
    ):
        # Containers of the lab reach this machine and nothing beyond it.
        url = f"ssh://{USER}@{door.removeprefix('tcp://')}"
        add_host(page, "gpu-box", url, paste=far.say)
        expect(page.locator(".gpus .gpu")).to_have_count(2, timeout=40_000)
        install(page, "Needs a GPU", host="gpu-box")
        speak(page)

        open_tab(page, "Logs", engine="Needs a GPU")
        expect(page.locator("[data-log-lines] > div").first).to_contain_text(re.compile(r"\w{3}"))
        assert "abm.engine=needs-gpu" in far.say("docker ps --format '{{.Labels}}'")


def test_an_upload_of_images_goes_on_after_web_was_killed(
    stack: Stack, page: Page, own: OwnDaemon, lab: Lab
) -> None:
    image = f"{lab.place.registry}/lab/tiny:latest"
    with contextlib.closing(own.client()) as client:
        archive = b"".join(client.images.pull(image).save(named=True))
        client.images.remove(image)
        half = len(archive) // 2
        upload = Upload(stack, page, "tiny.tar", len(archive))
        assert upload.send(archive[:half], offset=0) == half
        upload.send_in_part(archive[half:], offset=half)
        os.kill(stack.containers()["web"]["State"]["Pid"], signal.SIGKILL)
        wait_until(stack.answers, "Docker has started web again")

        received = upload.received()
        assert received >= half
        assert upload.send(archive[received:], offset=received) == len(archive)
        upload.load()

        assert client.images.get(image)
    assert stack.said_in("web", "find", "/app/data/uploads", "/app/data/tmp", "-type", "f") == ""


def test_down_and_up_keeps_everything(stack: Stack, page: Page, own: OwnDaemon) -> None:
    with contextlib.closing(own.client()) as client:
        (engine,) = client.containers.list(filters={"label": "abm.engine=tone"})
        engine.stop(timeout=1)  # compose cannot remove a network that is in use
        engine.wait()

    stack.compose("down")
    assert stack.up() < FIRST_PAGE_SECONDS

    open_tab(page, "Try it")  # with the session of before
    expect(page.locator(".trial canvas").first).to_be_visible()
    state = page.locator(".head-state .state-word")
    if state.inner_text() != "Running":
        page.get_by_role("button", name="Start", exact=True).click()
    expect(state).to_have_text("Running", timeout=LONG)


def test_a_backup_brings_a_lost_database_back(stack: Stack, page: Page, own: OwnDaemon) -> None:
    for line in commands_of_the_papers("backup"):
        stack.compose(*line)
    stack.compose("stop")
    stack.compose("rm", "--force", "postgres")
    with contextlib.closing(own.client()) as client:
        client.volumes.get("home_postgres").remove()

    for line in commands_of_the_papers("restore"):
        stack.compose(*line)
    wait_until(stack.answers, "the first page")

    sign_in(page)
    open_tab(page, "Try it")
    expect(page.locator(".trial canvas").first).to_be_visible()


def test_an_upgrade_brings_the_data_along(stack: Stack, page: Page, own: OwnDaemon) -> None:
    build_next(own, stack.folder)

    stack.values["ABM_IMAGE"] = NEXT_IMAGE
    stack.up()

    open_tab(page, "Try it")
    expect(page.locator(".trial canvas").first).to_be_visible()
    with contextlib.closing(own.client()) as client:
        postgres = client.containers.get(stack.containers()["postgres"]["Id"])
        query = "SELECT count(*) FROM django_migrations WHERE name = '0002_next'"
        said = postgres.exec_run(["psql", "-U", "abm", "-tAc", query]).output.decode()
    assert said.strip() == "1"


def test_an_older_abm_refuses_the_newer_database_with_a_sentence(stack: Stack) -> None:
    stack.values["ABM_IMAGE"] = IMAGE

    assert stack.tried("up", "-d").returncode != 0

    said = stack.logs("migrate")
    assert "The database was made by a newer abm (jobs.0002_next" in said
    assert "Traceback" not in said
    stack.values["ABM_IMAGE"] = NEXT_IMAGE
    stack.up()


def test_a_second_link_stands_by_and_takes_over(stack: Stack, own: OwnDaemon) -> None:
    stack.up("--scale", "link=2")
    with contextlib.closing(own.client()) as client:
        links = client.containers.list(filters={"label": "com.docker.compose.service=link"})
        assert len(links) == 2
        first = next(one for one in links if b"works now" in one.logs())
        (other,) = (one for one in links if one.id != first.id)
        began = time.monotonic()
        first.kill()
        for line in other.logs(stream=True, follow=True):
            if b"works now" in line:
                break
        assert time.monotonic() - began < TAKEN_OVER_SECONDS
        first.start()


def test_all_end_within_their_time_and_without_a_traceback(stack: Stack) -> None:
    stack.up()
    stack.wait_healthy(*ROLES)

    began = time.monotonic()
    stack.compose("stop", *ROLES)
    assert time.monotonic() - began < ENDED_SECONDS

    codes = {name: row["State"]["ExitCode"] for name, row in stack.containers().items()}
    assert {name: codes[name] for name in ROLES} == {"web": 0, "worker": 0, "link": 0}
    assert "Traceback" not in stack.logs(*ROLES)


def commands_of_the_papers(word: str) -> list[list[str]]:
    """The lines for compose in docs/deploy.md that stand together, one of them with `abm WORD`."""
    blocks = re.split(r"\n(?!    )", (ROOT / "docs" / "deploy.md").read_text())
    (block,) = (block for block in blocks if f" abm {word} " in block and "    docker" in block)
    return [
        line.split()[2:] for line in block.splitlines() if line.startswith("    docker compose")
    ]


def build_next(own: OwnDaemon, folder: Path) -> None:
    """An abm with one migration more, as the next release would have."""
    context = folder / "next"
    context.mkdir()
    (context / "0002_next.py").write_text(NEXT_MIGRATION)
    (context / "Dockerfile").write_text(
        f"FROM {IMAGE}\nCOPY 0002_next.py /app/jobs/migrations/0002_next.py\n"
    )
    with contextlib.closing(own.client()) as client:
        client.images.build(path=str(context), tag=NEXT_IMAGE, rm=True)
