"""Which graphics cards an engine may use, over the API."""

from __future__ import annotations

from typing import Literal, Self

from django.http import HttpRequest, HttpResponseBase, QueryDict
from ninja import Router
from pydantic import ConfigDict, Field, model_validator

from accounts.models import User
from accounts.rest import Shape, Text, VariantId, Wish, bytes_of, endpoint, person
from engines.api_naming import engine_of
from engines.gpu_choice import gpu_context, set_gpus
from engines.models import Engine

router = Router(tags=["engine settings"], by_alias=True)
Mode = Literal["none", "all", "chosen"]


class GpuWish(Wish):
    """`none` keeps it on the CPU; `chosen` gives it the cards of these UUIDs and no other."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"mode": {"const": "chosen"}}},
            "then": {"required": ["uuids"], "properties": {"uuids": {"minItems": 1}}},
        }
    )

    mode: Mode
    uuids: list[Text] = Field(default=[], max_length=64)
    forbids_cpu: bool = Field(False, description="Whether taking the CPU instead is a failure.")

    @model_validator(mode="after")
    def _chosen_are_named(self) -> Self:
        if self.mode == "chosen" and not self.uuids:
            raise ValueError("Name at least one card in uuids, or choose none or all.")
        return self


class CardChoice(Shape):
    """A card that it could have; `isGone` for one that was chosen and is not there any more."""

    uuid: str
    name: str
    text: str
    is_chosen: bool
    is_gone: bool


class GpuChoice(Shape):
    """What is set, and what there is; bytes."""

    success: bool = True
    variant_id: str
    mode: Mode
    uuids: list[str]
    forbids_cpu: bool
    needs_bytes: int | None
    cards: list[CardChoice]


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/gpus",
    response=GpuChoice,
    errors=[404],
    summary="Read which cards an engine may use",
)
def get_gpus(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    return bytes_of(_choice(engine_of(variant_id)))


@endpoint(
    router,
    "PUT",
    "/engines/{variant_id}/gpus",
    response=GpuChoice,
    role=User.Role.OPERATOR,
    errors=[400, 404],
    summary="Set which cards an engine may use",
)
def put_gpus(request: HttpRequest, variant_id: VariantId, wish: GpuWish) -> HttpResponseBase:
    """It counts from the next start."""
    form = QueryDict(mutable=True)
    form["gpu-mode"] = wish.mode
    form.setlist("gpu", wish.uuids)
    if wish.forbids_cpu:
        form["forbids-cpu"] = "on"
    set_gpus(engine_of(variant_id), form, user=person(request))
    return bytes_of(_choice(engine_of(variant_id)))


def _choice(engine: Engine) -> GpuChoice:
    context = gpu_context(engine)
    return GpuChoice(
        variant_id=engine.address,
        mode=context["gpu_mode"],
        uuids=[str(uuid) for uuid in engine.gpus],
        forbids_cpu=engine.forbids_cpu,
        needs_bytes=context["gpu_need"],
        cards=[
            CardChoice(
                uuid=row.uuid,
                name=row.name,
                text=row.text,
                is_chosen=row.uuid in engine.gpus,
                is_gone=row.is_gone,
            )
            for row in context["gpu_options"]
        ],
    )
