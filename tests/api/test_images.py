"""Images of one's own over the API: asked what they are, and offered in the catalog."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app

from catalog.models import CatalogEntry
from hosts.models import Host
from jobs.models import Job
from tests.api.conftest import Program, program_of
from tests.engines.factories import make_host
from tests.pages.factories import make_user

IMAGE = {"dockerImage": "registry.example/team/my-voice", "dockerTag": "1.0"}
FOUND = {
    "name": "my-voice",
    "display_name": "My voice",
    "engine_type": "tts",
    "abm": {"port": 9000},
}


@pytest.fixture
def asking(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program, and a worker that finds what FOUND says in every image."""
    make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)

    def send(name: str, args: list[int], **options: Any) -> None:
        job = Job.objects.get(pk=args[0])
        job.params |= {"found": FOUND, "platform": "linux/amd64", "size": 5}
        job.status = Job.Status.SUCCEEDED
        job.save()

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send)
    return program_of(make_user("operator"))


def test_an_image_is_asked_what_it_is(asking: Program) -> None:
    said = asking.post("/api/engines/docker/discover", IMAGE).json()

    assert said["success"] is True
    assert said["engineInfo"] == FOUND
    assert Job.objects.get().action == Job.Action.EXAMINE


def test_a_docker_that_is_away_is_the_contract_s_503(asking: Program) -> None:
    Host.objects.update(is_available=False, state=Host.State.UNREACHABLE)

    said = asking.post("/api/engines/docker/discover", IMAGE)

    assert said.status_code == 503
    assert said.json()["detail"] == "[DOCKER_NOT_AVAILABLE]hostId:docker:local"


def registered(program: Program, **values: Any) -> Any:
    body = {**IMAGE, "displayName": "Mine", "engineType": "tts", **values}
    return program.post("/api/engines/docker/register", body)


def test_an_image_is_offered_in_the_catalog_with_what_it_said(asking: Program) -> None:
    asking.post("/api/engines/docker/discover", IMAGE)

    said = registered(asking, supportedLanguages=["de"], requires_gpu=True).json()

    assert said == {"success": True, "variantId": "my-voice:docker:local", "error": None}
    entry = CatalogEntry.objects.get(name="my-voice")
    assert (entry.display_name, entry.supported_languages) == ("Mine", ["de"])
    assert entry.extra["abm"]["port"] == 9000
    variant = entry.variants.get()
    assert (variant.image, variant.tag, variant.needs_gpu) == (IMAGE["dockerImage"], "1.0", True)
    assert variant.platforms == ["linux/amd64"]


def test_the_same_image_twice_has_the_contract_s_code(asking: Program) -> None:
    assert registered(asking).status_code == 200

    again = registered(asking)

    assert again.status_code == 400
    assert again.json()["detail"] == "[ENGINE_ALREADY_EXISTS]engine:my-voice"


@pytest.mark.parametrize(
    "values",
    [
        {"dockerImage": "../../etc/passwd"},
        {"dockerImage": "voice; reboot"},
        {"dockerImage": "$(reboot)"},
        {"dockerImage": "-voice"},
        {"dockerTag": "a b"},
        {"dockerTag": "../x"},
        {"dockerImage": "x\u202ey"},
        {"displayName": ""},
        {"engineType": "video"},
        {"supportedLanguages": ["'; DROP TABLE"]},
        {"models": [{"nonsense": 1}]},
        {"parameters": {"speed": {"type": "nonsense"}}},
    ],
)
def test_what_no_image_or_entry_can_have_is_refused(
    asking: Program, values: dict[str, Any]
) -> None:
    answer = registered(asking, **values)

    assert answer.status_code in {400, 422}, answer.content
    assert "Traceback" not in answer.content.decode()
    assert not CatalogEntry.objects.exists()
