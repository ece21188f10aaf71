"""Hosts over the API: keys, order, codes, both spellings."""

from __future__ import annotations

import pytest

from hosts.models import Host
from tests.api.conftest import Program
from tests.engines.factories import make_engine, make_host

KEYS = {
    "hostId",
    "hostType",
    "displayName",
    "sshUrl",
    "isAvailable",
    "hasGpu",
    "lastCheckedAt",
    "createdAt",
    "engineCount",
}


def docker(**values: object) -> Host:
    return make_host(**{"host_id": "docker:local", "host_type": Host.Type.DOCKER_LOCAL, **values})


def test_the_list_has_the_contract_s_keys_and_order(viewing: Program) -> None:
    for name in ("zoo", "ant"):
        make_host(host_id=f"docker:{name}", host_type=Host.Type.DOCKER_REMOTE, display_name=name)
    docker()
    make_engine(host=make_host(host_id="local"))

    said = viewing.get("/api/engine-hosts").json()

    assert said["success"] is True
    assert said["count"] == 4
    assert [row["hostId"] for row in said["hosts"]] == [
        "local",
        "docker:local",
        "docker:ant",
        "docker:zoo",
    ]
    assert said["hosts"][0].keys() >= KEYS
    assert said["hosts"][0]["engineCount"] == 1
    assert said["hosts"][0]["sshUrl"] is None
    assert said["hosts"][0]["createdAt"].endswith("Z")


@pytest.mark.parametrize("path", ["/api/engine-hosts/docker:local", "/engine-hosts/docker:local/"])
def test_one_host_is_found_by_its_id(viewing: Program, path: str) -> None:
    docker()

    assert viewing.get(path).json()["hostType"] == "docker:local"


def test_an_unknown_host_has_its_code(viewing: Program) -> None:
    answer = viewing.get("/api/engine-hosts/docker:b%3Bü")

    assert answer.status_code == 404
    assert answer.json()["detail"] == "[HOST_NOT_FOUND]hostId:docker:b%3Bü"
    assert "no host" in answer.json()["message"]


def test_a_host_is_renamed_and_switched(program: Program) -> None:
    docker()

    said = program.patch("/api/engine-hosts/docker:local", {"name": "Box", "is_enabled": False})

    assert said.json()["displayName"] == "Box"
    assert said.json()["state"] == "disabled"
    assert program.post("/api/engine-hosts/docker:local/enable").json()["isEnabled"] is True
    assert program.post("/api/engine-hosts/docker:local/disable").json()["isEnabled"] is False


def test_this_machine_is_not_deleted(program: Program) -> None:
    make_host(host_id="local")

    answer = program.delete("/api/engine-hosts/local")

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("[HOST_DELETE_FORBIDDEN]hostId:local;reason:")


def test_a_host_with_engines_is_not_deleted(program: Program) -> None:
    make_engine(host=docker())

    answer = program.delete("/api/engine-hosts/docker:local")

    assert answer.status_code == 400
    assert answer.json()["detail"] == "[HOST_HAS_ENGINES]hostId:docker:local;count:1"
    assert answer.json()["message"].endswith("still has an engine. Uninstall it first.")


def test_an_empty_docker_is_deleted_and_had_again(program: Program) -> None:
    docker()

    assert program.delete("/api/engine-hosts/docker:local").json()["success"] is True
    assert not Host.objects.exists()
    assert program.post("/api/engine-hosts/ensure-docker-local").json()["engineCount"] == 0


def test_a_docker_of_this_machine_that_is_away_is_no_time_out_of_ssh(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hosts.api_looks.LONGEST_LOOK", 0.01)
    docker(state=Host.State.UNREACHABLE, state_text="Docker is not running.")

    said = program.post("/api/engine-hosts/docker:local/test").json()

    assert (said["success"], said["errorCategory"]) == (False, "SSH_ERROR")
    assert said["error"] == "Docker is not running."


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_volumes_are_set_both_ways(program: Program, method: str) -> None:
    docker()
    body = {"samplesPath": "/nowhere/samples", "models_path": None}

    said = program.ask(method, "/api/engine-hosts/docker:local/volumes", body).json()

    assert said["samplesPath"] == "/nowhere/samples"
    assert said["validationError"] == "Path(s) not found: samples: /nowhere/samples"
    assert program.get("/api/engine-hosts/docker:local/volumes").json()["validationError"] is None


def test_processes_have_no_volumes(viewing: Program) -> None:
    make_host(host_id="local")

    answer = viewing.get("/api/engine-hosts/local/volumes")

    assert answer.status_code == 400
    assert answer.json()["detail"] == "[HOST_NOT_DOCKER]hostId:local;hostType:subprocess"


def test_a_path_with_tricks_is_refused(program: Program) -> None:
    docker()
    for path in ("relative", "/a/../../etc", "/a\x00b", "/" + "a" * 600):
        answer = program.put("/api/engine-hosts/docker:local/volumes", {"modelsPath": path})

        assert answer.status_code in {400, 422}, path


def test_facts_are_told_as_they_were_read(viewing: Program) -> None:
    docker(facts={"cpu_count": 4, "memory_total": None})

    said = viewing.get("/api/engine-hosts/docker:local/facts").json()

    assert said["facts"] == {"cpu_count": 4, "memory_total": None}
    assert said["isStale"] is True
