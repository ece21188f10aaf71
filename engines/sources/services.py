"""What a person may ask of images that are in no catalog yet. Each asks for a job, and for one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from accounts.secrets import encrypted
from catalog.models import Variant
from engines.models import Engine
from engines.sources.places import allowed_file, allowed_folder
from engines.sources.recipe import Recipe, place_of, reference_of_variant
from hosts.models import Host
from hosts.oci.reference import BadReference, ImageReference
from hosts.runners.base import InstallFailed
from hosts.runners.docker.git_source import check_ref, checked_address
from jobs.models import Job
from jobs.services import submit_once

TASK = "engines.run_host_job"
Action = Job.Action


@dataclass(frozen=True, slots=True)
class Asking:
    """How an image is started when it is asked what it is."""

    port: int = 8766
    seconds: int = 90
    """How long it may take until it answers."""
    needs_gpu: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def build_image(recipe: Recipe, *, image: str, host: Host, user: User | None) -> Job:
    """Build an image on a host and offer it in the catalog.

    Raises Refused HOST_NOT_DOCKER, HOST_NOT_READY, IMAGE_INVALID, PATH_INVALID or SOURCE_INVALID.
    """
    require_role(user, User.Role.ADMIN)
    require_docker(host)
    named = tagged(image)
    if recipe.url:
        try:
            checked_address(recipe.url)
            check_ref(recipe.ref)
        except InstallFailed as failure:
            raise Refused("SOURCE_INVALID", failure.message, status=400) from failure
    else:
        allowed_folder(recipe.folder)
    params = {"recipe": recipe.row, "image": named.canonical}
    return _submit_once(Action.BUILD, f"{named} on {host}", host, user, params)


def examine_image(image: str, *, host: Host, user: User | None, asking: Asking = Asking()) -> Job:
    """Start an image once and read what it says of itself, pulled if it is not on the host.

    Raises Refused HOST_NOT_DOCKER, HOST_NOT_READY or IMAGE_INVALID.
    """
    require_role(user, User.Role.OPERATOR, host=host.pk)
    require_docker(host)
    named = tagged(image)
    params = {
        "image": named.canonical,
        "port": asking.port,
        "seconds": asking.seconds,
        "needs_gpu": asking.needs_gpu,
    }
    # Variables are secrets more often than not.
    hidden = {"environment": json.dumps(dict(asking.environment), sort_keys=True)}
    return _submit_once(Action.EXAMINE, f"{named} on {host}", host, user, params, hidden)


def load_path(path: str, *, host: Host, user: User | None) -> Job:
    """Load the images of a file of this machine. Raises Refused as above, or PATH_INVALID."""
    require_role(user, User.Role.ADMIN)
    require_docker(host)
    file = allowed_file(path)
    params = {"path": str(file), "is_upload": False}
    return _submit_once(Action.LOAD_IMAGE, f"from {file.name} on {host}", host, user, params)


def load_upload(file: Path, *, name: str, host: Host, user: User | None) -> Job:
    """Load the images of a file that was uploaded; it is deleted afterwards."""
    require_role(user, User.Role.OPERATOR, host=host.pk)
    require_docker(host)
    params = {"path": str(file), "is_upload": True}
    return _submit_once(Action.LOAD_IMAGE, f"from {name} on {host}", host, user, params)


def push_image(variant: Variant, *, to: str, host: Host, user: User | None) -> Job:
    """Push the image of a variant made here; afterwards it is pulled from there.

    Raises Refused NOT_MADE_HERE, IMAGE_INVALID, HOST_NOT_DOCKER or HOST_NOT_READY.
    """
    require_role(user, User.Role.OPERATOR, host=host.pk)
    require_docker(host)
    entry = variant.entry
    if not is_made_here(variant):
        raise Refused("NOT_MADE_HERE", f"{entry} has its image from a registry already.")
    target = tagged(to)
    params = {
        "variant": variant.pk,
        "image": reference_of_variant(variant).canonical,
        "to": target.canonical,
    }
    return _submit_once(Action.PUSH, f"{entry} from {host} to {target}", host, user, params)


def save_image(engine: Engine, *, user: User | None) -> Job:
    """Write the image of an installed engine to a file that can be fetched for a day.

    Raises Refused NO_IMAGE or HOST_NOT_READY.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    if not engine.image or not engine.is_installed or not engine.host.is_docker:
        raise Refused("NO_IMAGE", f"{engine} has no image that could be saved.")
    require_docker(engine.host)
    image = f"{engine.image}:{engine.tag}"
    subject = f"the image of {engine} on {engine.host}"
    return _submit_once(Action.SAVE, subject, engine.host, user, {"image": image})


def copy_image(engine: Engine, *, to: Host, user: User | None) -> Job:
    """Copy the image of an installed engine to another host, which then need not pull it.

    Raises Refused NO_IMAGE, SAME_HOST, HOST_NOT_DOCKER or HOST_NOT_READY.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    require_role(user, User.Role.OPERATOR, host=to.pk)
    if not engine.image or not engine.is_installed or not engine.host.is_docker:
        raise Refused("NO_IMAGE", f"{engine} has no image that could be copied.")
    if engine.host_id == to.pk:
        raise Refused("SAME_HOST", f"{engine} has its image on {to} already. Choose another host.")
    require_docker(engine.host)
    require_docker(to)
    image = f"{engine.image}:{engine.tag}"
    subject = f"the image of {engine} from {engine.host} to {to}"
    return _submit_once(Action.COPY, subject, to, user, {"image": image, "from": engine.host_id})


def is_made_here(variant: Variant) -> bool:
    """Whether its image was built or loaded by this abm and is in no registry yet."""
    recipes = variant.entry.extra.get("recipes") or {}
    return bool(variant.image) and (variant.tag in recipes or bool(place_of(variant)))


def tagged(text: str) -> ImageReference:
    """The image that a person named, with a tag. Raises Refused IMAGE_INVALID."""
    try:
        found = ImageReference.parse(text.strip())
    except BadReference as error:
        raise Refused("IMAGE_INVALID", str(error), status=400) from error
    if found.digest:
        raise Refused("IMAGE_INVALID", "Name the image by a tag, not by a digest.", status=400)
    return found


def require_docker(host: Host) -> None:
    """Raises Refused HOST_NOT_DOCKER or HOST_NOT_READY."""
    if not host.is_docker:
        raise Refused("HOST_NOT_DOCKER", f"{host} runs processes; images need a Docker host.")
    if not host.is_usable:
        why = host.state_text or host.get_state_display()
        raise Refused("HOST_NOT_READY", f"{host} cannot be reached now: {why}")


def _submit_once(
    action: Job.Action,
    subject: str,
    host: Host,
    user: User | None,
    params: Mapping[str, Any],
    hidden: Mapping[str, str] | None = None,
) -> Job:
    """Ask for a job; asked twice for the same, both get the one that waits or runs."""
    hidden = hidden or {}
    whole = json.dumps([str(action), dict(params), dict(hidden)], sort_keys=True)
    key = hashlib.sha256(whole.encode()).hexdigest()
    kept = {name: encrypted(text) for name, text in hidden.items()}
    return submit_once(
        at=host,
        alike=["key"],  # encrypting the same twice makes two texts
        action=action,
        task=TASK,
        subject=subject[:200],
        user=user,
        host=host,
        params={**params, **kept, "key": key},
    )
