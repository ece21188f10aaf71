"""The work of examining an image: it is started once, asked what it is, and removed again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.conf import settings
from pydantic import ValidationError

from accounts.secrets import SecretUnreadable, decrypted
from catalog.definition import EngineDefinition
from catalog.reading import reason_of
from engines.fetching import follow_install
from engines.following import follow
from engines.sources.notes import note
from engines.sources.services import Asking
from hosts.deployment import deployment_id
from hosts.models import Host
from hosts.oci.reference import ImageReference
from hosts.runners.base import EngineFailed, EngineRunner, EngineSpec
from hosts.runners.container import ContainerSpec
from hosts.runners.docker.discover import DISCOVER_STEPS, DiscoveredImage
from jobs.work import JobRun

PULLED = 70.0
"""Percent of the job at which an image that was not on the host has come."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An image and what it says of itself."""

    image: DiscoveredImage
    definition: EngineDefinition


def examine(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Keep on the job what an image says of itself, for the form that registers it."""
    params = run.job.params
    image = ImageReference.parse(params["image"])
    begins = 0.0
    if runner.workshop().find(image) is None:
        run.line(f"{image} is not on {host} yet.")
        spec = ContainerSpec(image=image.canonical, deployment=deployment_id())
        follow_install(run, runner, EngineSpec("examined", container=spec), whole=PULLED)
        begins = PULLED
    found = ask(run, runner, image, _asking(params), begins=begins)
    state = runner.workshop().find(image)
    note(
        run.job,
        found=found.definition.model_dump(mode="json", exclude_defaults=True),
        platform=found.image.platform,
        size=found.image.size,
        is_local=state is None or not state.repo_digests,
    )


def ask(
    run: JobRun,
    runner: EngineRunner,
    image: ImageReference,
    asking: Asking,
    *,
    begins: float,
    ends: float = 100.0,
) -> Asked:
    """Start an image of the host and read its `/info`.

    Raises EngineFailed and StartFailed for an image that does not say what it is, other
    RunnerErrors, and Cancelled.
    """
    told = runner.workshop().discover(
        image,
        deployment=deployment_id(),
        cancel=run.token,
        environment=asking.environment,
        port=asking.port,
        needs_gpu=asking.needs_gpu,
        network=settings.ENGINE_NETWORK,
        seconds=float(asking.seconds),
    )
    found = follow(run, DISCOVER_STEPS, told, begins=begins, ends=ends)
    try:
        return Asked(found, EngineDefinition.model_validate(dict(found.definition)))
    except ValidationError as error:
        raise EngineFailed(
            f"{image} says what it is, but not as abm understands it: {reason_of(error)}. Register "
            "it by the form instead.",
            detail=json.dumps(dict(found.definition), indent=2)[:10_000],
        ) from error


def _asking(params: dict[str, object]) -> Asking:
    try:
        environment = json.loads(decrypted(str(params["environment"])))
    except SecretUnreadable as error:
        raise EngineFailed(
            "The variables that this was asked for with cannot be read any more, because "
            "SECRET_KEY is another one now. Ask again from the page."
        ) from error
    return Asking(
        port=int(str(params["port"])),
        seconds=int(str(params["seconds"])),
        needs_gpu=bool(params["needs_gpu"]),
        environment={str(name): str(value) for name, value in environment.items()},
    )
