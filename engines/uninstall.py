"""Uninstalling with choices: what goes, what stays, and what comes free by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from django.db import transaction
from django.http import QueryDict

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.model_places import named_volumes, own_folder, users_of, volume_users
from engines.models import Engine
from engines.noting import note_engine
from engines.services import TASK
from engines.storage import image_needs, way_back_needs
from jobs.events import announce
from jobs.models import Job
from jobs.services import submit_job


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes with an engine, and what stays."""

    keeps_image: bool = False
    volumes: tuple[str, ...] = ()
    """Names of those that go."""
    removes_models: bool = False
    keeps_settings: bool = False

    @classmethod
    def read(cls, form: QueryDict) -> Self:
        """From the dialog; what is not said is as the dialog proposes it."""
        return cls(
            keeps_image=form.get("keeps_image") == "on",
            volumes=tuple(dict.fromkeys(form.getlist("volumes"))),
            removes_models=form.get("removes_models") == "on",
            keeps_settings=form.get("keeps_settings") == "on",
        )

    @classmethod
    def of_job(cls, params: Mapping[str, Any]) -> Self:
        """As `uninstall_engine` wrote it."""
        said = params.get("removal") or {}
        return cls(**{**said, "volumes": tuple(said.get("volumes") or ())})


@dataclass(frozen=True, slots=True)
class VolumeOption:
    """A volume by name. `size` in bytes, None if unknown."""

    name: str
    size: int | None
    is_chosen: bool
    kept_for: str = ""
    """Why it cannot go, in words."""


@dataclass(frozen=True, slots=True)
class UninstallOptions:
    """What the dialog shows. Sizes are bytes, None if unknown."""

    removal: Removal
    files: int | None
    """What the engine takes by itself: its files, or what its container has written."""
    image: int | None
    image_at_most: int | None
    image_kept_for: str
    """Who else needs it; empty if it may go."""
    volumes: tuple[VolumeOption, ...]
    models_folder: str
    """Empty where it has none to itself."""
    models: int | None
    models_kept_for: str
    has_images: bool
    read_at: datetime | None
    is_being_read: bool

    @property
    def removes_image(self) -> bool:
        return self.has_images and not (self.removal.keeps_image or self.image_kept_for)

    @property
    def free(self) -> int:
        """What comes free by the choice, as far as it is known."""
        return sum(size or 0 for size in self._chosen)

    @property
    def is_free_known(self) -> bool:
        return None not in self._chosen

    @property
    def _chosen(self) -> list[int | None]:
        sizes = [self.files, *(one.size for one in self.volumes if one.is_chosen)]
        if self.removes_image:
            sizes.append(self.image)
        if self.removal.removes_models:
            sizes.append(self.models)
        return sizes


def uninstall_options(engine: Engine, removal: Removal) -> UninstallOptions:
    """What can be chosen for `engine`, with sizes as they were read last."""
    host = engine.host
    sizes: dict[str, Any] = (host.disk.get("engines") or {}).get(str(engine.pk)) or {}
    folder = own_folder(engine)
    return UninstallOptions(
        removal=removal,
        files=sizes.get("container") if host.is_docker else engine.disk_bytes,
        image=sizes.get("image"),
        image_at_most=engine.disk_bytes,
        image_kept_for=_listed(image_users(engine)) if host.is_docker else "",
        volumes=tuple(_volume(engine, name, sizes, removal) for name in named_volumes(engine)),
        models_folder=folder.source if folder else "",
        models=sizes.get("models"),
        models_kept_for=_listed(models_users(engine)),
        has_images=host.is_docker,
        read_at=host.disk_at,
        is_being_read=host.is_disk_being_read,
    )


def _volume(engine: Engine, name: str, sizes: Mapping[str, Any], removal: Removal) -> VolumeOption:
    kept_for = _listed(volume_users(engine.host, name, but=engine))
    if not kept_for and "ours" in sizes and name not in sizes["ours"]:
        kept_for = "others, as abm did not make it"
    is_chosen = name in removal.volumes and not kept_for
    return VolumeOption(name, (sizes.get("volumes") or {}).get(name), is_chosen, kept_for)


def image_users(engine: Engine) -> list[Engine]:
    """Other engines of the host that run the image, or can be rolled back to it."""
    needs = [image_needs(engine.host), way_back_needs(engine.host)]
    users = [
        user
        for found in needs
        for name, engines in found.items()
        if engine in image_needs(engine.host).get(name, ())
        for user in engines
        if user != engine
    ]
    return list(dict.fromkeys(users))


def models_users(engine: Engine) -> list[Engine]:
    """Other engines that see the engine's own folder of models."""
    folder = own_folder(engine)
    if folder is None:
        return []
    return [user for user in users_of(engine.host, folder) if user != engine]


def _listed(engines: list[Engine]) -> str:
    return ", ".join(dict.fromkeys(str(engine) for engine in engines))


def uninstall_engine(engine: Engine, *, user: User | None, removal: Removal = Removal()) -> Job:
    """Stop it and delete what installing it made, and what else was chosen.

    Raises Refused VOLUME_NEEDED or JOB_RUNNING.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    options = uninstall_options(engine, removal)
    for volume in options.volumes:
        if volume.name in removal.volumes and volume.kept_for:
            raise Refused(
                "VOLUME_NEEDED", f"The volume {volume.name} is kept for {volume.kept_for}."
            )
    if not {one.name for one in options.volumes}.issuperset(removal.volumes):
        raise Refused("VOLUME_NEEDED", f"{engine} has no volume of that name.", status=400)
    if removal.removes_models and (options.models_kept_for or not options.models_folder):
        raise Refused(
            "MODELS_NEEDED",
            f"The models of {engine} are kept for {options.models_kept_for or 'others'}.",
        )
    return submit_job(
        action=Job.Action.UNINSTALL,
        task=TASK,
        subject=f"{engine.display_name} on {engine.host}",
        user=user,
        host=engine.host,
        engine=engine,
        params={"removal": asdict(removal)},
    )


@transaction.atomic
def forget_settings(engine: Engine, *, user: User | None) -> None:
    """Delete the settings that were kept of an engine that is not installed.

    Raises Refused STILL_INSTALLED.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    kept = Engine.objects.filter(pk=engine.pk, state=Engine.State.ABSENT)
    if Job.objects.filter(engine=engine, status__in=Job.OPEN).exists() or not kept.delete()[0]:
        raise Refused("STILL_INSTALLED", f"{engine} is installed, or about to be. Uninstall it.")
    text = f"Settings of {engine} are gone"
    announce("engines", "engine.removed", text=text, pk=engine.pk)
    note_engine("forget_settings", engine, user=user)
