"""What a person may ask of engines. Each verb checks, writes, announces and rings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_host, require_role
from catalog.models import CatalogEntry, CatalogSource, Variant
from engines.consent import note_consent
from engines.environment import require_variables
from engines.gpu_choice import chosen_at_install
from engines.models import Engine, EngineModel
from engines.noting import note_engine
from engines.sources.recipe import image_of
from engines.state import look_again
from engines.verdict import verdict
from hosts.models import Host
from hosts.oci.reference import BadReference, ImageReference
from jobs.events import announce
from jobs.models import Job
from jobs.services import cancel_job, submit_job

TASK = "engines.run_job"
Action = Job.Action


def _submit(engine: Engine, action: Job.Action, user: User | None, **params: Any) -> Job:
    return submit_job(
        action=action,
        task=TASK,
        subject=f"{engine.display_name} on {engine.host}",
        user=user,
        host=engine.host,
        engine=engine,
        params=params,
        registry=registry_of(engine) if action == Action.INSTALL else "",
    )


def registry_of(engine: Engine) -> str:
    """Where its image comes from; empty for engines without one."""
    try:
        return ImageReference.parse(engine.image).registry if engine.image else ""
    except BadReference:
        return ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person chose in the install dialog beside variant and host."""

    starts: bool = False
    platform: str = ""
    """Of an image, such as `linux/arm64`; empty takes the host's own."""
    overrules: bool = False
    """An admin's word against a refusal for want of a GPU, memory or architecture."""
    consents: bool = False
    """To the licence or warning that the entry names."""


def install_engine(variant: Variant, *, host: Host, user: User | None, wish: Wish = Wish()) -> Job:
    """Install a variant on a host; asked twice, both get the one job that does it.

    Raises Refused ENGINE_EXISTS, ENGINE_NAME_TAKEN, HOST_NOT_READY, DOES_NOT_FIT,
    CONSENT_MISSING or VARIANT_WITHDRAWN.
    """
    require_role(user, User.Role.OPERATOR, host=host.pk)
    entry = variant.entry
    _check_installable(variant, entry, host)
    _check_fit(variant, host, wish, user)
    engine = _row_for(variant, entry, host, wish)
    note_consent(engine, entry, consents=wish.consents, user=user)
    open_job = Job.objects.filter(engine=engine, status__in=Job.OPEN).first()
    if open_job is not None and open_job.action == Action.INSTALL:
        return open_job
    if engine.is_installed:
        raise Refused(
            "ENGINE_EXISTS", f"{engine} is already installed on {host}.", engine=engine.pk
        )
    try:
        return _submit(engine, Action.INSTALL, user, starts=wish.starts)
    except Refused as refusal:
        pk = refusal.params.get("job")
        other = Job.objects.filter(
            pk=pk if isinstance(pk, int) else 0, action=Action.INSTALL
        ).first()
        if other is None:
            raise
        return other


def _check_installable(variant: Variant, entry: CatalogEntry, host: Host) -> None:
    if variant.is_withdrawn or entry.is_withdrawn:
        raise Refused(
            "VARIANT_WITHDRAWN", f"{entry} is no longer offered by {entry.source}.", status=410
        )
    if not host.is_usable:
        why = host.state_text or host.get_state_display()
        raise Refused("HOST_NOT_READY", f"{host} cannot take engines now: {why}")


def _check_fit(variant: Variant, host: Host, wish: Wish, user: User | None) -> None:
    found = verdict(variant, host, platform=wish.platform)
    if found.fits:
        return
    if wish.overrules and found.can_overrule:
        require_role(user, User.Role.ADMIN)
        return
    way = " An admin may install it all the same." if found.can_overrule else ""
    raise Refused("DOES_NOT_FIT", f"{variant.entry} on {host}: {found.text}.{way}")


def _row_for(variant: Variant, entry: CatalogEntry, host: Host, wish: Wish) -> Engine:
    """The engine's row, made if need be; refuses a namesake from another source."""
    values = {
        "variant": variant,
        "display_name": entry.display_name,
        "engine_type": entry.engine_type,
        "tag": variant.tag,
        "image": image_of(variant) if host.is_docker else "",
        "platform": wish.platform,
        **chosen_at_install(variant, host),
    }
    try:
        with transaction.atomic():
            engine, created = Engine.objects.get_or_create(
                host=host, name=entry.name, defaults=values
            )
    except IntegrityError:
        engine, created = Engine.objects.get(host=host, name=entry.name), False
    if created:
        return engine
    if engine.state != Engine.State.ABSENT:
        if engine.variant_id == variant.pk:
            return engine
        raise Refused(
            "ENGINE_NAME_TAKEN",
            f"{host} already has an engine named {entry.name} ({engine}). Uninstall it first.",
            engine=engine.pk,
        )
    for name, value in values.items():
        setattr(engine, name, value)
    engine.save(update_fields=[*values, "updated_at"])
    return engine


def definition_of(entry: CatalogEntry) -> dict[str, Any]:
    """What an engine keeps of its catalog entry, so that a later sync changes nothing here."""
    return {
        "folder": entry.folder,
        "is_in_place": entry.source.kind == CatalogSource.Kind.FOLDER,
        "source": entry.source.kind,
        "description": entry.effective("description"),
        "license": entry.effective("license"),
        "supported_languages": entry.effective("supported_languages"),
        "constraints": entry.effective("constraints"),
        "capabilities": entry.effective("capabilities"),
        "parameters": entry.effective("parameters"),
        "models": entry.effective("model_rows"),
        "default_model": entry.effective("default_model"),
        "installation": entry.extra.get("installation", {}),
        "abm": entry.extra.get("abm", {}),
    }


def _require_installed(engine: Engine) -> None:
    if not engine.is_installed:
        raise Refused(
            "ENGINE_NOT_INSTALLED",
            f"{engine} is {engine.get_state_display().lower()} on {engine.host}. "
            "Install it from the catalog.",
            engine=engine.pk,
        )


@transaction.atomic
def start_engine(engine: Engine, *, user: User | None, model: str = "") -> Job | None:
    """Start an engine and load a model; None if it already runs."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    look_again(engine)
    _require_installed(engine)
    if engine.is_running and not model:
        return None
    require_enabled(engine)
    require_variables(engine)
    _check_model(engine, model)
    return _submit(engine, Action.START, user, model=model)


def require_enabled(engine: Engine) -> None:
    """Refuse for an engine that was switched off."""
    if not engine.is_enabled:
        raise Refused("ENGINE_START_DISABLED", f"{engine} is switched off. Switch it on first.")


@transaction.atomic
def stop_engine(engine: Engine, *, user: User | None) -> Job | None:
    """Stop an engine. A start under way is cancelled instead, which stops it as well."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    look_again(engine)
    _require_installed(engine)
    Engine.objects.filter(pk=engine.pk).update(restart_at=None, crash_count=0)
    starting = Job.objects.filter(
        engine=engine, status__in=Job.OPEN, action__in=[Action.START, Action.RESTART, Action.LOAD]
    ).first()
    if starting is not None:
        return cancel_job(starting, user=user)
    if engine.state == Engine.State.STOPPED:
        return None
    return _submit(engine, Action.STOP, user)


def restart_engine(engine: Engine, *, user: User | None) -> Job:
    """Stop it if it runs, then start it with the model it had."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    _require_installed(engine)
    require_variables(engine)
    return _submit(engine, Action.RESTART, user, model=engine.loaded_model)


def load_model(engine: Engine, *, model: str, user: User | None) -> Job:
    """Load another model: in place where the engine can, else by a restart."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    _require_installed(engine)
    _check_model(engine, model)
    return _submit(engine, Action.LOAD, user, model=model)


def discover_models(engine: Engine, *, user: User | None) -> Job:
    """Ask the engine again which models it has, starting it for that if need be."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    _require_installed(engine)
    return _submit(engine, Action.DISCOVER, user)


def test_engine(engine: Engine, *, user: User | None) -> Job:
    """Run the engine's functional test, starting it for that if need be."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    _require_installed(engine)
    return _submit(engine, Action.TEST, user)


def _check_model(engine: Engine, model: str) -> None:
    names = list(engine.engine_models.values_list("name", flat=True))
    if model and names and model not in names:
        raise Refused(
            "MODEL_NOT_FOUND",
            f"{engine} has no model “{model}”. It has: {', '.join(names[:20])}.",
            status=404,
            model=model,
        )


@transaction.atomic
def set_default_engine(engine: Engine, *, user: User | None) -> Engine:
    """Make it the engine that is meant when only its type is named."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    _require_installed(engine)
    others = Engine.objects.filter(engine_type=engine.engine_type, is_default=True)
    for other in others.exclude(pk=engine.pk):
        require_host(user, other.host_id)
        Engine.objects.filter(pk=other.pk).update(is_default=False)
        announce("engines", "engine.changed", pk=other.pk)
    Engine.objects.filter(pk=engine.pk).update(is_default=True)
    kind = engine.get_engine_type_display().lower()
    announce("engines", "engine.changed", text=f"{engine} is the default for {kind}", pk=engine.pk)
    note_engine("default", engine, user=user)
    engine.refresh_from_db()
    return engine


@transaction.atomic
def set_keep_running(engine: Engine, *, keeps: bool, user: User | None) -> Engine:
    """Start it with abm and again after a crash, or leave it alone."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    Engine.objects.filter(pk=engine.pk).update(keep_running=keeps, crash_count=0, restart_at=None)
    words = "is kept running" if keeps else "is no longer kept running"
    announce("engines", "engine.changed", text=f"{engine} {words}", pk=engine.pk)
    note_engine("keep_running", engine, user=user, after={"is_on": keeps})
    engine.refresh_from_db()
    return engine


@transaction.atomic
def set_default_model(model: EngineModel, *, user: User | None) -> EngineModel:
    """The model that a start loads when none is named."""
    require_role(user, User.Role.OPERATOR, host=model.engine.host_id)
    EngineModel.objects.filter(engine=model.engine, is_default=True).update(is_default=False)
    EngineModel.objects.filter(pk=model.pk).update(is_default=True)
    announce("engines", "engine.changed", pk=model.engine_id)
    note_engine("default_model", model.engine, user=user, after={"model": model.name})
    model.refresh_from_db()
    return model
