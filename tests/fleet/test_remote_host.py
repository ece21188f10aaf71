"""A host by SSH, from the wizard to an engine that speaks, over a link that breaks."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from lab.fleet import Lab
from lab.own import OwnRemote, own_remote
from tests.fleet.far_abm import FarAbm, command_in, far_abm

pytestmark = pytest.mark.fleet
ENGINE = "tone"


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[OwnRemote]:
    with own_remote(lab.place) as made:
        yield made


@pytest.fixture(scope="module")
def abm(lab: Lab, own: OwnRemote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarAbm]:
    with far_abm(tmp_path_factory.mktemp("far"), lab.place.catalog_url) as made:
        made.add(own)
        yield made


@pytest.fixture(scope="module")
def engine(abm: FarAbm) -> str:
    """One that runs there."""
    abm.installed(ENGINE, starts=True)
    abm.until_state(ENGINE, "running", seconds=60)
    return ENGINE


@pytest.fixture(scope="module")
def second(lab: Lab, abm: FarAbm) -> Iterator[int]:
    """Another remote host; its key."""
    with own_remote(lab.place) as other:
        other.say(abm.begin_adding(other.url, name="other-box"))
        page = "/hosts/add/check/"
        abm.post(page)
        abm.until(lambda: 'name="fingerprint"' in abm.http.get(page).text)
        abm.accept_shown(page)
        abm.until(lambda: 'id="add-save"' in abm.http.get(page).text)
        answer = abm.post("/hosts/add/save/")
        pk = int(str(answer.url).rstrip("/").rpartition("/")[2])
        usable = f"id = {pk} AND state IN ('available', 'available_no_gpu', 'degraded')"
        abm.until(lambda: abm.rows("hosts_host", usable))
        yield pk
        abm.post(f"/hosts/{pk}/delete/", forget="1")


def test_the_wizard_tests_each_step_and_the_host_is_there(abm: FarAbm) -> None:
    states = {key: row["state"] for key, row in abm.checks().items()}

    assert {states[key] for key in ("reachable", "host_key", "authentication", "socket")} == {
        "passed"
    }
    assert re.fullmatch("docker:[0-9a-f]{8}", abm.host.host_id)
    page = abm.http.get(f"/hosts/{abm.host.pk}/").text
    assert "Docker access is root on that host" in page
    assert "SHA256:" in page


def test_the_private_key_is_in_no_page_and_not_readable_in_the_database(abm: FarAbm) -> None:
    abm.http.get(f"/hosts/{abm.host.pk}/way/")
    texts = [abm.http.get(f"/hosts/{abm.host.pk}/way/").text, abm.served.said(), abm.access.key]

    assert not [text for text in texts if "PRIVATE KEY" in text]


def test_an_engine_there_speaks_through_the_tunnel(abm: FarAbm, engine: str) -> None:
    answer = abm.post(f"/engines/{abm.engine(engine).pk}/try/", text="Good morning.", language="en")

    assert answer.status_code == 200
    (trial,) = abm.rows("engines_trial", "engine_id = ?", abm.engine(engine).pk)
    assert trial.audio_seconds > 0.1


def test_its_port_is_open_on_the_loopback_of_that_host_alone(
    abm: FarAbm, own: OwnRemote, engine: str
) -> None:
    port = abm.engine(engine).port

    assert 18766 <= port < 18798
    with pytest.raises(OSError), socket.create_connection((own.remote.address, port), timeout=2):
        pass


def test_its_log_is_read_through_the_link(abm: FarAbm, engine: str) -> None:
    page = abm.http.get(f"/engines/{abm.engine(engine).pk}/?tab=logs").text

    assert "8766" in page


def test_it_stops_and_starts_again(abm: FarAbm, engine: str) -> None:
    abm.done(engine, "stop")
    assert abm.state(engine) == "stopped"

    abm.done(engine, "start")
    assert abm.state(engine) == "running"


def test_a_host_that_is_away_is_told_and_work_for_it_waits_until_it_is_back(
    abm: FarAbm, own: OwnRemote, engine: str
) -> None:
    own.cut()
    try:
        host = abm.until_host("unreachable", seconds=40)
        assert "gpu-box" in host.state_text
        assert abm.state(engine) == "running"
        job = abm.verb(engine, "stop")
        abm.until(lambda: abm.job(job.pk).waiting_for)
        assert abm.job(job.pk).status == "queued"
        assert abm.job(job.pk).waiting_for == "gpu-box, which is not reachable"
        refused = abm.asked(f"/engines/{abm.engine(engine).pk}/try/", {"text": "Hello?"})
        assert refused.status_code == 503
    finally:
        own.mend()
    abm.until_host("available", "available_no_gpu", "degraded", seconds=60)

    assert abm.ended(job.pk).status == "succeeded"
    abm.done(engine, "start")
    answer = abm.post(f"/engines/{abm.engine(engine).pk}/try/", text="Back again.", language="en")
    assert answer.status_code == 200


def test_an_install_that_is_cut_off_goes_on_when_the_host_is_back(
    abm: FarAbm, own: OwnRemote
) -> None:
    job = abm.install("large")
    abm.until(lambda: abm.job(job).percent > 5)
    own.cut()
    try:
        abm.until(lambda: abm.job(job).waiting_for, seconds=60)
        assert abm.job(job).status == "queued"
    finally:
        own.mend()

    ended = abm.ended(job, seconds=90)
    assert ended.status == "succeeded", ended.error
    assert "It goes on when gpu-box is back." in abm.log(job)


def test_an_image_is_copied_to_another_host_and_installed_there_without_a_pull(
    abm: FarAbm, engine: str, second: int
) -> None:
    before = {row.pk for row in abm.rows("jobs_job")}
    abm.post(f"/engines/{abm.engine(engine).pk}/copy-image/", to=str(second))
    (job,) = [row for row in abm.rows("jobs_job") if row.pk not in before]
    ended = abm.ended(job.pk)
    assert ended.status == "succeeded", f"{ended.error}\n{ended.error_detail}"

    answer = abm.post("/engines/install/", **{**abm.wish(engine), "host": str(second)})
    install = abm.ended(int(str(answer.url).rstrip("/").rpartition("/")[2]))
    assert install.status == "succeeded", install.error
    assert "there is nothing to pull" in abm.log(install.pk)


def test_abm_finds_its_engine_again_after_a_restart(abm: FarAbm, engine: str) -> None:
    abm.served.kill()
    abm.start()
    abm.until_host("available", "available_no_gpu", "degraded")
    answer = abm.post(f"/engines/{abm.engine(engine).pk}/try/", text="Still here.", language="en")

    assert answer.status_code == 200


def test_another_host_key_is_refused_until_an_admin_accepts_it(
    abm: FarAbm, own: OwnRemote, engine: str
) -> None:
    old = own.host_key
    own.replace_host_key()
    host = abm.until_host("error", seconds=60)
    assert "shows another host key" in host.state_text

    rows = abm.tested(f"/hosts/{abm.host.pk}/way/test/")
    assert rows["host_key"]["state"] == "failed"
    assert "It is the same: accept" in abm.http.get(f"/hosts/{abm.host.pk}/way/").text
    abm.accept()

    abm.until_host("available", "available_no_gpu", "degraded", seconds=60)
    assert old != own.host_key


def test_abms_key_is_changed_without_losing_the_host(abm: FarAbm, own: OwnRemote) -> None:
    before = abm.access.key
    way = f"/hosts/{abm.host.pk}/way"
    abm.post(f"{way}/key/")
    rows = abm.tested(f"{way}/test/")
    assert rows["authentication"]["state"] == "passed"  # by the old key
    assert abm.access.key == before

    own.say(command_in(abm.http.get(f"{way}/")))
    abm.tested(f"{way}/test/")

    assert abm.access.key != before
    assert not abm.access.pending_key
    abm.until_host("available", "available_no_gpu", "degraded")


def test_a_host_with_engines_is_not_removed_but_can_be_forgotten(
    abm: FarAbm, own: OwnRemote, engine: str
) -> None:
    pk = abm.host.pk
    delete = f"/hosts/{pk}/delete/"
    assert abm.asked(delete, {}).status_code == 400

    abm.post(delete, forget="1")

    assert not abm.rows("hosts_host", "id = ?", pk)
    assert not abm.rows("hosts_remoteaccess", "host_id = ?", pk)
    assert "abm-" in own.say("docker ps --format '{{.Names}}'")
