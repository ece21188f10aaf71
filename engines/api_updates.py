"""Updates over the API: is there something newer, pull it, go back."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from functools import partial

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from ninja import Router

from accounts.models import User
from accounts.rest import Shape, VariantId, Wish, bytes_of, endpoint, person
from accounts.roles import has_role
from engines import updates
from engines.api_naming import engine_of, require_image
from engines.api_shapes import EngineDetails, details_of
from engines.image_checks import check_of, local_image_of
from engines.models import Engine, ImageCheck
from jobs.api_answers import (
    JobAnswer,
    answered,
    job_answer,
    joined,
)
from jobs.models import Job
from jobs.waiting import answer_later

router = Router(tags=["updates"], by_alias=True)
OPERATOR = User.Role.OPERATOR
NEW_ENOUGH = timedelta(seconds=60)
LONGEST_ASKING, PAUSE = 25.0, 0.1
"""Seconds; a registry that is silent is given up after fewer."""
DIGEST = len("sha256:") + 12


class Checked(Shape):
    """Whether there is something newer; null where nobody can tell."""

    success: bool
    variant_id: str
    is_installed: bool
    update_available: bool | None
    local_digest: str | None
    remote_digest: str | None
    error: str | None


class CheckedAll(Shape):
    """How many images registries are being asked about."""

    success: bool = True
    images: int


class AutoWish(Wish):
    """Whether abm takes newer images by itself while nobody uses the engine."""

    auto_updates: bool


@endpoint(
    router,
    "GET",
    "/engines/{variant_id}/check-update",
    also=["/engines/docker/{variant_id}/check-update"],
    response=Checked,
    errors=[400, 404],
    summary="Is there a newer image?",
)
def check_update(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    """The last answer if it is a minute old at most; else its registry is asked for operators."""
    engine = engine_of(variant_id, code="VARIANT_NOT_FOUND")
    require_image(engine)
    row, user = check_of(engine), person(request)
    is_new = row is not None and row.checked_at is not None
    is_new = is_new and timezone.now() - row.checked_at < NEW_ENOUGH  # type: ignore[union-attr, operator]
    if is_new or engine.is_built_here or not has_role(user, OPERATOR):
        return bytes_of(_checked(engine))
    updates.check_now([engine], user=user)
    row = check_of(engine)
    return answer_later(
        request,
        wait=partial(_answered, row.pk if row else 0),
        finish=lambda _: bytes_of(_checked(engine_of(variant_id))),
    )


async def _answered(pk: int) -> None:
    """Until the registry has been asked."""
    until = time.monotonic() + LONGEST_ASKING
    while time.monotonic() < until:
        row = await sync_to_async(ImageCheck.objects.filter(pk=pk).first)()
        if row is None or not row.is_being_asked:
            return
        await asyncio.sleep(PAUSE)


def _checked(engine: Engine) -> Checked:
    row = check_of(engine)
    answer = row.answer if row else None
    remote = answer.remote if answer else None
    failure = answer.failure if answer else None
    own = local_image_of(engine).repo_digests
    local = own[0].partition("@")[2] if own else ""
    is_known = remote is not None and not engine.is_built_here
    return Checked(
        success=failure is None,
        variant_id=engine.address,
        is_installed=engine.is_installed,
        update_available=engine.has_update if is_known else None,
        local_digest=local[:DIGEST] or None,
        remote_digest=remote.digest[:DIGEST] if remote else None,
        error=failure.message if failure else None,
    )


@endpoint(
    router,
    "POST",
    "/engines/check-updates",
    response=CheckedAll,
    role=OPERATOR,
    summary="Ask registries about every image",
)
def check_all(request: HttpRequest) -> HttpResponseBase:
    return bytes_of(CheckedAll(images=updates.check_now(None, user=person(request))))


@endpoint(
    router,
    "POST",
    "/engines/{variant_id}/rollback",
    response=JobAnswer,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[404, 409],
    summary="Go back to the image before",
)
def roll_back(request: HttpRequest, variant_id: VariantId, wait: bool = False) -> HttpResponseBase:
    engine = engine_of(variant_id)
    ask = partial(updates.roll_back_engine, engine, user=person(request))
    job = joined(Job.Action.ROLLBACK, ask)
    return answered(request, job, job_answer, wait=wait)


@endpoint(
    router,
    "POST",
    "/engines/{variant_id}/auto-updates",
    response=EngineDetails,
    role=OPERATOR,
    errors=[404],
    summary="Let abm update an engine by itself, or not",
)
def auto_updates(request: HttpRequest, variant_id: VariantId, wish: AutoWish) -> HttpResponseBase:
    engine = engine_of(variant_id)
    updates.set_auto_updates(engine, is_on=wish.auto_updates, user=person(request))
    return bytes_of(details_of(engine_of(variant_id)))
