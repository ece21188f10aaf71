"""Images that are in no catalog, over the API: ask one what it is, and offer it in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponseBase
from ninja import Router
from pydantic import Field, ValidationError

from accounts.models import User
from accounts.plain import PLAIN
from accounts.refused import Refused
from accounts.rest import Name, Shape, Text, Wish, bytes_of, endpoint, person
from catalog.definition import EngineDefinition
from catalog.reading import reason_of
from engines.api_naming import require_docker_now, said_as
from engines.sources import register
from engines.sources.services import Asking, examine_image, tagged
from hosts.api import found
from hosts.services import DOCKER_HOST_ID
from jobs.api_answers import JobAnswer, answered
from jobs.models import Job

router = Router(tags=["images"], by_alias=True)
OPERATOR = User.Role.OPERATOR
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE = rf"^ *([a-zA-Z0-9.:\[\]-]+/)?{_PART}(/{_PART})*$"
TAG = r"^[A-Za-z0-9_][A-Za-z0-9_.-]* *$"
"""For the document: another one is a 400 with a sentence, not a 422."""
Image = Annotated[
    str,
    Field(
        min_length=1,
        max_length=400,
        pattern=PLAIN,
        examples=["ghcr.io/me/my-voice"],
        json_schema_extra={"pattern": IMAGE},
    ),
]
Tag = Annotated[
    str, Field(min_length=1, max_length=128, pattern=PLAIN, json_schema_extra={"pattern": TAG})
]
Values = dict[str, Any]


class DiscoverWish(Wish):
    """An image, and the host whose Docker starts it once."""

    docker_image: Image
    docker_tag: Tag = "latest"
    host_id: Text = DOCKER_HOST_ID
    requires_gpu: bool = False


class Discovered(Shape):
    """What an image says of itself, in the words of its engine.yaml; null where it says nothing."""

    success: bool
    engine_info: Values | None
    error: str | None
    job_id: int


class RegisterWish(Wish):
    """An image as an entry of the catalog; mostly what `discover` told."""

    docker_image: Image
    docker_tag: Tag
    display_name: Name
    engine_type: Literal["tts", "stt", "text", "audio"]
    supported_languages: list[str] = Field(default=[], max_length=300)
    requires_gpu: bool = False
    models: list[Values] = Field(default=[], max_length=500)
    parameters: Values | None = None
    constraints: Values | None = None
    capabilities: Values | None = None
    config: Values | None = None
    default_language: Text | None = Field(None, description="Taken, and set at the engine itself.")


class RegisteredAnswer(Shape):
    """The id under which it can be installed on Docker of this machine; others take it as well."""

    success: bool = True
    variant_id: str
    error: str | None = None


@endpoint(
    router,
    "POST",
    "/engines/docker/discover",
    response=Discovered,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[400, 404, 409, 503],
    summary="Ask an image what it is",
)
def discover(request: HttpRequest, wish: DiscoverWish, wait: bool = True) -> HttpResponseBase:
    """It is started once and asked, pulled first if need be; nothing of it is kept running."""
    host = found(wish.host_id)
    require_docker_now(host)
    job = examine_image(
        f"{wish.docker_image}:{wish.docker_tag}",
        host=host,
        user=person(request),
        asking=Asking(needs_gpu=wish.requires_gpu),
    )
    return answered(request, job, _discovered, wait=wait)


def _discovered(job: Job) -> Discovered:
    is_well = job.status == Job.Status.SUCCEEDED
    return Discovered(
        success=is_well,
        engine_info=dict(job.params.get("found") or {}) if is_well else None,
        error=None if is_well else job.error or "It was cancelled.",
        job_id=job.pk,
    )


@endpoint(
    router,
    "POST",
    "/engines/docker/register",
    response=RegisteredAnswer,
    role=OPERATOR,
    errors=[400],
    summary="Offer an image in the catalog",
)
def register_image(request: HttpRequest, wish: RegisterWish) -> HttpResponseBase:
    """Its name is the last part of the image's. Install it as any other entry."""
    image = f"{wish.docker_image}:{wish.docker_tag}"
    name = tagged(image).repository.rpartition("/")[2]
    known = register.newest_known(image)
    try:
        variant = register.register_image(
            _definition(wish, name, known.found),
            image=image,
            needs_gpu=wish.requires_gpu,
            known=known,
            user=person(request),
        )
    except Refused as refused:
        raise said_as({"ENTRY_EXISTS": ("ENGINE_ALREADY_EXISTS", 400)}, engine=name)(
            refused
        ) from refused
    return bytes_of(RegisteredAnswer(variant_id=f"{variant.entry.name}:{DOCKER_HOST_ID}"))


def _definition(wish: RegisterWish, name: str, found: Mapping[str, Any]) -> EngineDefinition:
    """What was sent, over what the image said of itself. Raises Refused DEFINITION_INVALID."""
    sent: Values = {
        "supported_languages": wish.supported_languages,
        "models": wish.models,
        "parameters": wish.parameters,
        "constraints": wish.constraints,
        "capabilities": wish.capabilities,
        "engine_config": wish.config,
    }
    try:
        return EngineDefinition.model_validate(
            {
                **found,
                **{key: value for key, value in sent.items() if value},
                "name": name,
                "display_name": wish.display_name,
                "engine_type": wish.engine_type,
                "variants": [{"tag": wish.docker_tag, "requires_gpu": wish.requires_gpu}],
            }
        )
    except ValidationError as error:
        raise Refused("DEFINITION_INVALID", reason_of(error), status=400, engine=name) from error
