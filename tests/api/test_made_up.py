"""Every operation of the OpenAPI document asked with made-up values, good and bad (schemathesis).

All of its checks are on: no 5xx, every status, header and body as declared, what is not valid is
refused, what is valid is taken, no way in without a token. Where a good request may be refused
with 400 all the same, its codes are named here, by operation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from celery import current_app
from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.config import ChecksConfig, OperationConfig, PositiveDataAcceptanceConfig
from schemathesis.filters import FilterSet

from abm.api import document
from accounts.models import ApiToken, User
from accounts.tokens import create_token
from catalog.models import CatalogEntry, CatalogSource
from engines import host_work, work
from engines.api_through import OPERATIONS as THROUGH
from engines.models import Engine
from hosts.models import Host
from hosts.runners.container import ImageState
from hosts.runners.fake import FakeEngine, FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from hosts.work import EXAMINERS, Examined, probe_asked
from jobs.models import Job
from tests.engines.factories import PARAMETERS, make_engine, make_host, variant_of
from tests.engines.speaking import speaking_engine
from tests.pages.factories import make_job, make_user, write_lines

pytestmark = [pytest.mark.engine, pytest.mark.made_up]
IS_SOAK = os.environ.get("ABM_SOAK") == "1"
EXAMPLES = 100 if IS_SOAK else 25
IMAGE = "registry.example/voice"
RUNS, STANDS = "voice:docker:local", "still:docker:local"
KNOWN = {
    "host_id": "docker:local",
    "variant_id": RUNS,
    "engine_type": "tts",
    "container": "0123456789ab",
    "key": "languages",
    "field": "displayName",
    "token": "gone",
    "kind": "samples",
    **dict.fromkeys(("job_id", "user_id", "token_id", "entry_id", "source_id", "sample_id"), 1),
}
"""What is there, so that not every address leads to a 404."""


def there(path: str) -> dict[str, Any]:
    """What is there for the operations of this path.

    Sound and text on their way to an engine that runs need the server's one loop, which
    tests/api/test_streams.py has; here they meet one that stands.
    """
    is_through = path.rpartition("/")[2] in THROUGH
    return KNOWN | {"variant_id": STANDS} if is_through else KNOWN


def known_document() -> dict[str, Any]:
    """The document, with examples that name what the database has."""
    made = document()
    for path, operations in made["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in KNOWN:
                    parameter["schema"]["examples"] = [there(path)[parameter["name"]]]
    return made


ENGINE_400 = {"ENGINE_NOT_FOUND"}
GOOD_BUT_REFUSED = {
    # The contract's clients know these as 400.
    "DELETE /api/engine-hosts/{host_id}": {"HOST_HAS_ENGINES", "HOST_DELETE_FORBIDDEN"},
    "DELETE /api/engines/{engine_type}/default": {"ENGINE_CLEAR_DEFAULT_FAILED"},
    "POST /api/engines/{engine_type}/default/{variant_id}": {
        "ENGINE_NOT_FOUND",
        "ENGINE_SET_DEFAULT_FAILED",
    },
    "POST /api/engines/{engine_type}/{variant_id}/disable": ENGINE_400,
    "POST /api/engines/{engine_type}/{variant_id}/enable": ENGINE_400,
    "POST /api/engines/{engine_type}/{variant_id}/keep-running": ENGINE_400,
    "POST /api/engines/{engine_type}/{variant_id}/start": {
        "ENGINE_NOT_FOUND",
        "ENGINE_START_DISABLED",
    },
    "POST /api/engines/{engine_type}/{variant_id}/stop": ENGINE_400,
    "POST /api/engines/{variant_id}/install": {"HOST_NOT_FOUND", "INVALID_VARIANT_ID"},
    "POST /api/engines/docker/register": {
        "DEFINITION_INVALID",
        "ENGINE_ALREADY_EXISTS",
        "IMAGE_INVALID",
    },
    "PUT /api/settings/{key}": {"SETTINGS_INVALID"},  # what fits is another thing for each key
    # What a schema cannot say: parts of an address, a password that is easy to guess, sizes as
    # people write them, what the engine in question takes, which cards its host has.
    "PATCH /api/engines/{variant_id}/container": {"CONTAINER_INVALID"},
    "POST /api/engine-hosts": {"HOST_ADDRESS_INVALID"},
    "POST /api/engine-hosts/prepare": {"HOST_ADDRESS_INVALID"},
    "POST /api/catalog/sources": {"SOURCE_INVALID"},
    "PATCH /api/catalog/sources/{source_id}": {"SOURCE_INVALID"},
    "PATCH /api/catalog/entries/{entry_id}/overrides": {"ENTRY_INVALID"},
    "POST /api/images/build": {"BUILD_INVALID", "PATH_INVALID", "SOURCE_INVALID"},
    "POST /api/images/load": {"PATH_INVALID"},
    "POST /api/samples": {"SAMPLE_NAME_INVALID", "SAMPLE_UNFIT"},
    "POST /api/engine-hosts/{host_id}/volumes": {"PATH_INVALID"},
    "PUT /api/engine-hosts/{host_id}/volumes": {"PATH_INVALID"},
    "POST /api/images/push": {"IMAGE_INVALID"},
    "POST /api/engines/docker/discover": {"IMAGE_INVALID"},
    "POST /api/users": {"NAME_INVALID", "PASSWORD_WEAK"},
    "PATCH /api/users/{user_id}": {"PASSWORD_WEAK", "PASSWORD_WRONG"},
    "PUT /api/engines/{engine_type}/{variant_id}/settings": {
        "ENGINE_NOT_FOUND",
        "LANGUAGE_UNKNOWN",
        "MODEL_NOT_FOUND",
        "PARAMETERS_INVALID",
    },
    "PUT /api/engines/{variant_id}/environment": {"ENVIRONMENT_INVALID"},
    "PUT /api/engines/{variant_id}/gpus": {"GPUS_INVALID"},
}
"""The only good requests that may be answered with 400, and the codes that are allowed there."""


def _only(label: str) -> FilterSet:
    chosen = FilterSet()
    chosen.include(name=label)
    return chosen


schema = schemathesis.openapi.from_dict(known_document()).exclude(path="/api/events/subscribe")
schema.app = WSGIHandler()
# No text of abm's holds NUL, and free values have no schema to say so; test_bad_input.py sends it.
schema.config.generation.allow_x00 = False
schema.config.operations.operations += [
    OperationConfig(
        filter_set=_only(label),
        checks=ChecksConfig(
            positive_data_acceptance=PositiveDataAcceptanceConfig(
                expected_statuses=[*PositiveDataAcceptanceConfig().expected_statuses, "400"]
            )
        ),
    )
    for label in GOOD_BUT_REFUSED
]
OPERATIONS = {found.label: found for found in (one.ok() for one in schema.get_all_operations())}


@schemathesis.check
def good_requests_are_refused_as_named(context: Any, response: Any, case: Any) -> None:
    """A 400 for what the schema allows has one of the codes that are named for its operation."""
    if response.status_code == 400 and case.meta.generation.mode.is_positive:
        code = response.json()["detail"].partition("]")[0].removeprefix("[")
        assert code in GOOD_BUT_REFUSED.get(case.operation.label, ()), code


@schemathesis.serializer("audio/wav")
def sound(context: Any, value: Any) -> bytes:
    """Bytes as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A log that is followed has no end; tests/api/test_streams.py follows one."""
    if case.query and "follow" in case.query:
        case.query["follow"] = "false"


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """Does each job at once, on a host in memory; registries and remote hosts are never asked."""
    fake = FakeHost(engines={"voice": FakeEngine(port=1), "still": FakeEngine()})
    fake.offered[f"{IMAGE}:latest"] = ImageState("sha256:" + "1" * 64)
    fake.images |= {image.id: image for image in fake.offered.values()} | fake.offered
    for kind in RUNNERS:
        monkeypatch.setitem(RUNNERS, kind, lambda setup: FakeRunner(fake))
        monkeypatch.setitem(EXAMINERS, kind, lambda host: Examined(Host.State.AVAILABLE, ""))
    tasks = {
        "engines.run_job": work.run,
        "engines.run_host_job": host_work.run,
        "hosts.probe": probe_asked,
    }

    def send(name: str, args: list[int], **options: object) -> None:
        if name in tasks:
            tasks[name](*args)
        elif name == "catalog.run_job":
            values = {"status": Job.Status.FAILED, "error": "Nothing is fetched here."}
            Job.objects.filter(pk=args[0]).update(finished_at=timezone.now(), **values)

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send)
    for place in (
        "engines.api_updates.LONGEST_ASKING",
        "hosts.api_looks.LONGEST_LOOK",
        "hosts.api_looks.LONGEST_CHECK",
    ):
        monkeypatch.setattr(place, 0.01)
    with speaking_engine() as engine:
        fake.url = engine.url
        yield fake


@pytest.fixture
def key(transactional_db: None, worker: FakeHost, settings: Any) -> str:
    """An admin's, and one of everything to be asked for."""
    settings.API_WRITES_PER_MINUTE = settings.API_READS_PER_MINUTE = 0
    settings.ALLOWED_HOSTS = ["*"]
    host = make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    make_host(host_id="local")
    CatalogSource.objects.create(pk=1, name="test source", kind=CatalogSource.Kind.BUNDLED)
    CatalogEntry.objects.create(
        pk=1, source_id=1, name="new", display_name="New", engine_type="tts", parameters=PARAMETERS
    ).variants.create(tag="latest", image=IMAGE)
    images = {"image": IMAGE, "tag": "latest", "host": host}
    for name in ("voice", "still"):
        engine = make_engine(name=name, variant=variant_of(IMAGE, name=name), **images)
        engine.engine_models.create(name="small", is_default=True)
    Engine.objects.filter(name="voice").update(state=Engine.State.RUNNING, url=worker.url)
    write_lines(make_job("failed", pk=1, engine=engine, host=host), 1, 2, 3)
    User.objects.create_user("vera", id=1, role="viewer")
    ApiToken.objects.create(
        pk=1, user_id=1, name="x", prefix="abm_", sha256="0" * 64, role="viewer"
    )
    admin = make_user("admin")
    return create_token(admin, name="made up", role=User.Role.ADMIN, user=None)[1]


def cases(operation: Any) -> st.SearchStrategy[Any]:
    """Good ones and bad ones; most of them at an address where something is."""
    known = there(operation.path)
    named = {name: known[name] for name in re.findall(r"{(\w+)}", operation.path)}
    addresses = [named, named | {"variant_id": STANDS}] if "variant_id" in named else [named]
    made = [operation.as_strategy(mode) for mode in GenerationMode]
    if named:
        made += [
            operation.as_strategy(mode, path_parameters=one)
            for mode in GenerationMode
            for one in addresses * 2
        ]
    return st.one_of(made)


@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_made_up_requests_are_answered_as_declared(label: str, key: str) -> None:
    # Packed answers are tried in test_door.py; this client cannot read them.
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not IS_SOAK,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(case=cases(OPERATIONS[label]))
    def asked(case: Any) -> None:
        case.call_and_validate(headers=headers)

    asked()
