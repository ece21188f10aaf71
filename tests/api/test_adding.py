"""Adding a host by SSH over the API: prepare, test, accept its host key, save; the keys later."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from celery import current_app
from django.utils import timezone

from hosts.models import Host, RemoteAccess
from hosts.ssh.keys import fresh_key
from tests.api.conftest import Program, program_of
from tests.engines.factories import make_engine, make_host
from tests.pages.factories import make_user

URL = "ssh://anna@192.0.2.7"
BODY = {"name": "gpu-box", "sshUrl": URL}
Found = Callable[..., None]


def passed(*keys: str, **facts: str) -> list[dict[str, str]]:
    return [
        {"key": key, "title": key, "state": "passed", "text": "Well.", "fact": facts.get(key, "")}
        for key in keys
    ]


WELL = passed(
    "reachable", "host_key", "authentication", "socket", "version", "ports", version="24.0.7"
)


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Found:
    """What the worker finds at the next test of the way to a host."""
    said: dict[str, object] = {}

    def send(name: str, args: list[int], **options: object) -> None:
        if name == "hosts.check_remote":
            values = {"checked_at": timezone.now(), **said}
            RemoteAccess.objects.filter(pk=args[0]).update(**values)

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send)

    def will(**values: object) -> None:
        said.update(values)

    return will


@pytest.fixture
def adding(transactional_db: None) -> Program:
    """An admin's; what is rung on commit is sent."""
    return program_of(make_user("admin"))


def failed(key: str, code: str, text: str = "It said no.") -> list[dict[str, str]]:
    return [{"key": key, "title": key, "state": "failed", "text": text, "code": code, "fact": ""}]


def test_a_prepared_host_has_a_key_and_the_command_to_paste(adding: Program) -> None:
    said = adding.post("/api/engine-hosts/prepare", BODY).json()

    assert re.fullmatch(r"docker:[0-9a-f]{8}", said["hostId"])
    assert said["publicKey"].startswith("ssh-ed25519 ")
    assert said["publicKey"] in said["authorizedKeysEntry"]
    assert said["authorizedKeysEntry"].startswith("restrict,")
    assert "authorized_keys" in said["installCommand"]
    assert "PRIVATE" not in str(said)
    assert not Host.objects.exists()


def test_what_is_prepared_by_one_person_is_no_other_s(adding: Program) -> None:
    mark = adding.post("/engine-hosts/prepare", BODY).json()["hostId"]
    other = program_of(make_user("admin", "other"))

    assert other.get(f"/api/engine-hosts/{mark}/public-key").status_code == 404
    gone = other.delete(f"/api/engine-hosts/prepare/{mark}").json()
    assert gone["message"] == "Nothing to clean up"
    assert RemoteAccess.objects.count() == 1


def test_giving_up_throws_the_key_away_and_a_saved_host_keeps_its_own(
    adding: Program, finds: Found
) -> None:
    mark = adding.post("/api/engine-hosts/prepare", BODY).json()["hostId"]
    said = adding.delete(f"/api/engine-hosts/prepare/{mark}").json()
    assert said == {"success": True, "message": f"Cleaned up host {mark}"}
    assert not RemoteAccess.objects.exists()

    saved = saved_host(adding, finds)
    again = adding.delete(f"/api/engine-hosts/prepare/{saved}").json()
    assert again["message"] == "Nothing to clean up"
    assert RemoteAccess.objects.get().host is not None


def saved_host(adding: Program, finds: Found) -> str:
    mark: str = adding.post("/api/engine-hosts/prepare", BODY).json()["hostId"]
    finds(checks=WELL, known_keys=[fresh_key().public])
    adding.post("/api/engine-hosts/test", {"hostId": mark, "sshUrl": URL})
    answer = adding.post("/api/engine-hosts", {**BODY, "hostId": mark, "hasGpu": True})
    assert answer.status_code == 200, answer.content
    return mark


def test_an_unknown_host_key_is_shown_and_accepted_by_a_person(
    adding: Program, finds: Found
) -> None:
    mark = adding.post("/api/engine-hosts/prepare", BODY).json()["hostId"]
    key = fresh_key().public
    finds(checks=[{**failed("host_key", "")[0], "state": "asked"}], offered_keys=[key])

    said = adding.post("/api/engine-hosts/test", {"hostId": mark, "sshUrl": URL}).json()

    assert (said["success"], said["errorCategory"]) == (False, "SSH_ERROR")
    shown = said["hostKeys"][0]
    assert shown["kind"] == "ED25519"
    path = f"/api/engine-hosts/{mark}/accept-key"
    assert adding.post(path, {"fingerprint": "SHA256:other"}).status_code == 409
    assert adding.post(path, {"fingerprint": shown["fingerprint"]}).json()["success"] is True
    assert RemoteAccess.objects.get().known_keys == [key]


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("SSH_KEY_REFUSED", "SSH_AUTH_FAILED"),
        ("SSH_REFUSED", "SSH_CONNECTION_REFUSED"),
        ("SSH_SILENT", "SSH_TIMEOUT"),
        ("SSH_SOCKET_FORBIDDEN", "DOCKER_PERMISSION_DENIED"),
        ("SSH_NAME_UNKNOWN", "SSH_ERROR"),
    ],
)
def test_a_test_that_failed_has_the_contract_s_word(
    adding: Program, finds: Found, code: str, category: str
) -> None:
    mark = adding.post("/api/engine-hosts/prepare", BODY).json()["hostId"]
    finds(checks=failed("reachable", code))

    said = adding.post(f"/api/engine-hosts/{mark}/test").json()

    assert said["success"] is False
    assert said["error"] == "It said no."
    assert said["errorCategory"] == category
    assert said["hasDockerPermission"] is False


def test_a_tested_host_is_saved_and_is_on_the_list(adding: Program, finds: Found) -> None:
    mark = saved_host(adding, finds)

    row = adding.get(f"/api/engine-hosts/{mark}").json()
    assert row["hostType"] == "docker:remote"
    assert (row["displayName"], row["sshUrl"], row["engineCount"]) == ("gpu-box", URL, 0)
    tested = adding.post(f"/api/engine-hosts/{mark}/test").json()
    assert (tested["success"], tested["dockerVersion"]) == (True, "24.0.7")
    assert tested["hasDockerPermission"] is True


def test_a_host_is_not_saved_untested_nor_unprepared(adding: Program) -> None:
    untested = adding.post("/api/engine-hosts", BODY)
    assert untested.status_code == 409
    assert untested.json()["detail"] == "[HOST_NOT_TESTED]"

    unknown = adding.post("/api/engine-hosts", {**BODY, "hostId": "docker:büro"})
    assert unknown.json()["detail"] == "[HOST_NOT_FOUND]hostId:docker:büro"
    assert not Host.objects.exists()


def test_the_same_host_twice_is_refused_in_words(adding: Program, finds: Found) -> None:
    saved_host(adding, finds)

    again = adding.post("/api/engine-hosts/prepare", {**BODY, "name": "other"})

    assert again.status_code == 409
    assert again.json()["detail"].startswith("[HOST_KNOWN]")


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=reboot@box",
        "ssh://box -oProxyCommand=reboot",
        "-oProxyCommand=reboot",
        "ssh://anna@box/../etc",
        "http://box",
        "garbage",
        "ssh://anna@box\r\nHost: other",
        "ssh://anna:geheim@box",
    ],
)
def test_an_address_with_tricks_is_refused(adding: Program, url: str) -> None:
    answer = adding.post("/api/engine-hosts/prepare", {"name": "x", "sshUrl": url})

    assert answer.status_code in {400, 422}
    assert "Traceback" not in answer.content.decode()
    assert not RemoteAccess.objects.exists()


def test_a_prepared_host_is_tested_where_it_was_prepared_for(adding: Program) -> None:
    mark = adding.post("/api/engine-hosts/prepare", BODY).json()["hostId"]

    said = adding.post("/api/engine-hosts/test", {"hostId": mark, "sshUrl": "ssh://eve@192.0.2.8"})

    assert said.status_code == 400
    assert said.json()["detail"] == f"[HOST_ADDRESS_INVALID]hostId:{mark}"


def test_the_public_key_is_told_and_a_host_without_one_says_so(
    adding: Program, finds: Found
) -> None:
    mark = saved_host(adding, finds)
    make_host(host_id="local")

    said = adding.get(f"/api/engine-hosts/{mark}/public-key").json()
    assert said["publicKey"].startswith("ssh-ed25519 ")
    assert adding.get("/api/engine-hosts/local/public-key").json() == {
        "success": False,
        "hostId": "local",
        "publicKey": None,
        "installCommand": None,
    }


def test_a_key_is_changed_and_the_change_is_taken_back(adding: Program, finds: Found) -> None:
    mark = saved_host(adding, finds)
    first = adding.get(f"/api/engine-hosts/{mark}/public-key").json()["publicKey"]

    second = adding.post(f"/api/engine-hosts/{mark}/next-key").json()["publicKey"]

    assert second != first
    assert adding.get(f"/api/engine-hosts/{mark}/public-key").json()["publicKey"] == second
    assert adding.delete(f"/api/engine-hosts/{mark}/next-key").json()["success"] is True
    assert adding.get(f"/api/engine-hosts/{mark}/public-key").json()["publicKey"] == first


def test_a_host_moves_and_this_machine_does_not(adding: Program, finds: Found) -> None:
    mark = saved_host(adding, finds)
    make_host(host_id="local")

    moved = adding.patch(f"/api/engine-hosts/{mark}", {"ssh_url": "ssh://anna@192.0.2.9"})
    assert moved.json()["sshUrl"] == "ssh://anna@192.0.2.9"
    refused = adding.patch("/api/engine-hosts/local", {"sshUrl": URL})
    assert refused.json()["detail"] == "[HOST_NOT_REMOTE]"


def test_a_remote_host_is_forgotten_with_its_engines(adding: Program, finds: Found) -> None:
    mark = saved_host(adding, finds)
    make_engine(host=Host.objects.get())

    kept = adding.delete(f"/api/engine-hosts/{mark}")
    assert kept.json()["detail"] == f"[HOST_HAS_ENGINES]hostId:{mark};count:1"
    assert adding.delete(f"/api/engine-hosts/{mark}?forget=true").json()["success"] is True
    assert not Host.objects.exists()
