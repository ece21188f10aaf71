"""Every operation of the OpenAPI document asked with made-up values, good and bad (schemathesis).

All of its checks are on: no 5xx, every status, header and body as declared, what is not valid is
refused, no way in without a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings

from abm.api import document
from accounts.models import User
from accounts.tokens import create_token
from catalog.models import CatalogSource
from engines.models import Engine
from hosts.models import Host
from hosts.runners.fake import FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from tests.engines.factories import make_engine, make_host, variant_of
from tests.pages.factories import make_job, make_user, write_lines

pytestmark = pytest.mark.made_up
EXAMPLES = 25
KNOWN = {
    "host_id": "docker:local",
    "variant_id": "voice:docker:local",
    "engine_type": "tts",
}
"""What the document's own examples are replaced by: something that is there."""


def known_document() -> dict[str, Any]:
    """The document, with examples that name what the database has."""
    made = document()
    for operations in made["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in KNOWN:
                    parameter["schema"]["examples"] = [KNOWN[parameter["name"]]]
    return made


schema = schemathesis.openapi.from_dict(known_document())
schema.config.generation.update(max_examples=EXAMPLES)
schema.app = WSGIHandler()


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A log that is followed has no end; tests/api/test_streams.py follows one."""
    return {**query, "follow": "false"} if query and "follow" in query else query


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """Requests share the test's transaction, as those of Django's own client do."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def key(db: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> str:
    """An admin's, and one of everything to be asked for."""
    settings.API_WRITES_PER_MINUTE = settings.API_READS_PER_MINUTE = 0
    settings.ALLOWED_HOSTS = ["*"]
    fake = FakeHost()
    for kind in RUNNERS:
        monkeypatch.setitem(RUNNERS, kind, lambda setup: FakeRunner(fake))
    host = make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL)
    make_host(host_id="local")
    variant = variant_of("registry.example/voice")
    engine = make_engine(
        host=host, name="voice", image="registry.example/voice", tag="latest", variant=variant
    )
    engine.engine_models.create(name="small", is_default=True)
    CatalogSource.objects.create(name="custom", kind=CatalogSource.Kind.CUSTOM)
    write_lines(make_job("failed", engine=engine, host=host), 1, 2, 3)
    make_user("viewer")
    admin = make_user("admin")
    assert Engine.objects.count() == 1
    return create_token(admin, name="made up", role=User.Role.ADMIN, user=None)[1]


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_made_up_requests_are_answered_as_declared(case: Any, key: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"})
