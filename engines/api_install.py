"""Installing, updating and uninstalling over the API.

The contract has two spellings, that of its server (`/engines/docker/{variant}/...`) and that of
its release notes (`/engines/{variant}/...`); both answer when the work is done, unless they are
asked not to wait.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from django.http import HttpRequest, HttpResponseBase
from ninja import Query, Router

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import Said, Shape, Text, VariantId, bytes_of, endpoint, person
from accounts.roles import require_role
from engines import services, uninstall, updates
from engines.api_naming import engine_of, require_docker_now, require_image, wanted_variant
from engines.models import Engine
from engines.services import Wish
from engines.uninstall import Removal
from jobs.api_answers import JobAnswer, answered, joined
from jobs.models import Job
from jobs.services import cancel_job

router = Router(tags=["install"], by_alias=True)
OPERATOR = User.Role.OPERATOR


class InstallWanted(Shape):
    """How it is to be installed. `wait=false` answers at once with 202 and the job."""

    tag: Text = ""
    force: bool = False
    wait: bool = True
    start: bool = False
    platform: Text = ""
    consent: bool = False
    overrule: bool = False


class RemovalWanted(Shape):
    """What stays. `wait=false` answers at once with 202 and the job."""

    wait: bool = True
    keep_image: bool = False
    keep_settings: bool = False


class Installed(Shape):
    """What became of an install or an uninstall."""

    success: bool = True
    variant_id: str
    message: str
    is_installed: bool


@endpoint(
    router,
    "POST",
    "/engines/{variant_id}/install",
    also=["/engines/docker/{variant_id}/install"],
    response=Installed,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[400, 404, 409, 410, 499, 500, 503],
    summary="Install an engine",
)
def install(
    request: HttpRequest, variant_id: VariantId, wanted: Query[InstallWanted]
) -> HttpResponseBase:
    """`force` pulls anew what is installed already, as an update."""
    variant, host = wanted_variant(variant_id, wanted.tag)
    there = Engine.objects.filter(host=host, name=variant.entry.name).first()
    if there is not None and there.is_installed:
        if not wanted.force:
            way = " Send force=true to pull it anew." if there.image else ""
            raise Refused(
                "IMAGE_ALREADY_INSTALLED",
                f"{there} is installed on {host} already.{way}",
                variantId=there.address,
            )
        return _pull(request, there, wait=wanted.wait)
    require_docker_now(host)
    job = services.install_engine(
        variant,
        host=host,
        user=person(request),
        wish=Wish(
            starts=wanted.start,
            platform=wanted.platform[:40],
            overrules=wanted.overrule,
            consents=wanted.consent,
        ),
    )
    finish = partial(_installed, f"{variant.entry.name}:{host.host_id}")
    return answered(request, job, finish, wait=wanted.wait)


CODES = {
    "IMAGE_NOT_FOUND": ("DOCKER_IMAGE_NOT_FOUND", 404),
    "HOST_UNREACHABLE": ("DOCKER_HOST_NOT_CONNECTED", 503),
}
"""How an install failed, in the contract's words; any other way is its DOCKER_PULL_FAILED."""


def _installed(address: str, job: Job) -> Installed:
    if job.status == Job.Status.CANCELLED:
        raise Refused("DOCKER_PULL_CANCELLED", "It was cancelled.", status=499, variantId=address)
    if job.status == Job.Status.FAILED:
        code, status = CODES.get(job.error_code, ("DOCKER_PULL_FAILED", 500))
        raise Refused(code, job.error, status=status, variantId=address, error=job.error)
    return Installed(variant_id=address, message=f"{address} installed", is_installed=True)


@endpoint(
    router,
    "POST",
    "/engines/{variant_id}/pull-update",
    also=["/engines/docker/{variant_id}/pull-update"],
    response=Installed,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[400, 404, 409, 499, 500, 503],
    summary="Pull the newest image",
)
def pull_update(request: HttpRequest, variant_id: VariantId, wait: bool = True) -> HttpResponseBase:
    """The engine is tried with it and goes back by itself if it does not pass."""
    return _pull(request, engine_of(variant_id), wait=wait)


def _pull(request: HttpRequest, engine: Engine, *, wait: bool) -> HttpResponseBase:
    user = person(request)
    require_role(user, OPERATOR, host=engine.host_id)
    require_image(engine)
    require_docker_now(engine.host)
    ask = partial(updates.update_engine, engine, user=user, is_forced=True)
    return answered(
        request, joined(Job.Action.UPDATE, ask), partial(_installed, engine.address), wait=wait
    )


@endpoint(
    router,
    "DELETE",
    "/engines/{variant_id}/pull",
    also=["/engines/docker/{variant_id}/pull"],
    response=Said,
    role=OPERATOR,
    errors=[404, 409],
    summary="Cancel an install or update",
)
def cancel_pull(request: HttpRequest, variant_id: VariantId) -> HttpResponseBase:
    engine = engine_of(variant_id, code="VARIANT_NOT_FOUND", absent="NO_ACTIVE_PULL")
    pulls = [Job.Action.INSTALL, Job.Action.UPDATE]
    job = Job.objects.filter(engine=engine, status__in=Job.OPEN, action__in=pulls).first()
    if job is None:
        raise Refused(
            "NO_ACTIVE_PULL",
            f"Nothing is being pulled for {engine}.",
            status=404,
            variantId=engine.address,
        )
    cancel_job(job, user=person(request))
    return bytes_of(Said(message=f"Cancellation of {job} was asked for"))


@endpoint(
    router,
    "DELETE",
    "/engines/{variant_id}/uninstall",
    also=["/engines/docker/{variant_id}/uninstall"],
    response=Installed,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[400, 404, 409, 500],
    summary="Uninstall an engine",
)
def uninstall_engine(
    request: HttpRequest, variant_id: VariantId, wanted: Query[RemovalWanted]
) -> HttpResponseBase:
    """Its volumes and models stay; the image goes unless another engine needs it."""
    engine = engine_of(variant_id, code="VARIANT_NOT_FOUND", absent="IMAGE_NOT_INSTALLED")
    if engine.state in (Engine.State.ABSENT, Engine.State.INSTALLING):
        raise Refused(
            "IMAGE_NOT_INSTALLED",
            f"{engine} is not installed.",
            status=404,
            variantId=engine.address,
        )
    removal = Removal(keeps_image=wanted.keep_image, keeps_settings=wanted.keep_settings)
    ask = partial(uninstall.uninstall_engine, engine, user=person(request), removal=removal)
    job = joined(Job.Action.UNINSTALL, ask, removal=asdict(removal))
    return answered(request, job, partial(_removed, engine.address), wait=wanted.wait)


def _removed(address: str, job: Job) -> Installed:
    if job.status != Job.Status.SUCCEEDED:
        raise Refused(
            "DOCKER_REMOVE_FAILED", job.error, status=500, variantId=address, error=job.error
        )
    return Installed(variant_id=address, message=f"{address} uninstalled", is_installed=False)
