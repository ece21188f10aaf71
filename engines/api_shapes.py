"""Engines and images in the words of the API's contract."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from django.utils import timezone

from accounts.rest import Shape
from catalog.models import CatalogEntry, EngineType
from engines.models import Engine
from engines.stored_settings import setting_of
from hosts.models import Host
from jobs.models import Job

S = Engine.State
MB = 2**20
"""As the engines themselves count, by torch.cuda."""
Word = Literal["not_installed", "disabled", "stopping", "starting", "running", "stopped", "error"]
WORDS: dict[str, Word] = {
    S.ABSENT: "not_installed",
    S.INSTALLING: "not_installed",
    S.MISSING: "not_installed",
    S.STOPPING: "stopping",
    S.UNINSTALLING: "stopping",
    S.STARTING: "starting",
    S.DOWNLOADING: "starting",
    S.LOADING: "starting",
    S.RUNNING: "running",
    S.STOPPED: "stopped",
    S.FAILED: "error",
}
NARROWED = (EngineType.TTS, EngineType.TEXT)
"""Types whose languages are narrowed to the allowed ones."""
PULLS = (Job.Action.INSTALL, Job.Action.UPDATE)


class EngineShape(Shape):
    """An engine on a host, with the keys of the contract."""

    variant_id: str
    display_name: str
    version: str
    engine_type: str
    is_enabled: bool
    is_running: bool
    is_default: bool
    is_pulling: bool
    status: Word
    port: int | None
    error_message: str | None
    idle_timeout_seconds: int | None
    seconds_until_auto_stop: int | None
    keep_running: bool
    supported_languages: list[str]
    all_supported_languages: list[str]
    device: str
    gpu_memory_used_mb: float | None
    gpu_memory_total_mb: float | None
    available_models: list[str]
    loaded_model: str | None
    default_model_name: str | None
    default_language: str | None
    base_engine_name: str
    runner_id: str
    runner_type: str
    runner_host: str | None
    source: Literal["local", "catalog", "custom"]
    docker_image: str | None
    docker_tag: str | None
    is_installed: bool
    parameters: dict[str, Any] | None


class EngineDetails(EngineShape):
    """What the contract lacks, beside its keys."""

    state: str
    state_text: str
    error_code: str
    error_detail: str
    job_id: int | None
    image_digest: str | None
    update_available: bool
    can_roll_back: bool
    auto_updates: bool
    disk_bytes: int | None
    memory_bytes: int | None
    started_at: datetime | None
    installed_at: datetime | None
    tested_at: datetime | None
    test_passed: bool | None
    test_text: str


class StatusAnswer(Shape):
    """Every engine by type."""

    success: bool = True
    tts: list[EngineShape]
    text: list[EngineShape]
    stt: list[EngineShape]
    audio: list[EngineShape]
    has_tts_engine: bool
    has_text_engine: bool
    has_stt_engine: bool
    variant_groups: dict[str, Any] | None = None


class ImageVariant(Shape):
    """A tag of an image."""

    tag: str
    requires_gpu: bool


class ImageShape(Shape):
    """An engine of the catalog that comes as an image."""

    engine_name: str
    image: str
    engine_type: str
    display_name: str
    description: str
    requires_gpu: bool
    tags: list[str]
    default_tag: str
    supported_languages: list[str]
    models: list[str]
    variants: list[ImageVariant]


class ImagesAnswer(Shape):
    """Every image that can be installed."""

    success: bool = True
    images: list[ImageShape]


def engine_values(engine: Engine, allowed: list[str]) -> dict[str, Any]:
    """The contract's keys; `engine` has `open_jobs`, its host and its models with it."""
    definition, host = engine.definition, engine.host
    languages = [str(code) for code in definition.get("supported_languages") or []]
    is_narrowed = engine.engine_type in NARROWED
    names = [row.name for row in engine.engine_models.all()]
    first = next((row.name for row in engine.engine_models.all() if row.is_default), None)
    word = WORDS[engine.state]
    is_off = not engine.is_enabled and engine.is_installed
    return {
        "variant_id": engine.address,
        "display_name": f"{engine.display_name} ({_place(host)})",
        "version": engine.package_version or engine.version if engine.is_running else "",
        "engine_type": engine.engine_type,
        "is_enabled": engine.is_enabled,
        "is_running": engine.is_running,
        "is_default": engine.is_default,
        "is_pulling": any(job.action in PULLS for job in open_jobs(engine)),
        "status": "disabled" if is_off and word in ("stopped", "error") else word,
        "port": engine.port if engine.is_alive else None,
        "error_message": engine.error or None,
        **_idle(engine),
        "keep_running": engine.keep_running,
        "supported_languages": [code for code in languages if not is_narrowed or code in allowed],
        "all_supported_languages": languages,
        "device": engine.device or ("gpu" if engine.uses_gpu else "cpu"),
        **_gpu_memory(engine),
        "available_models": names,
        "loaded_model": engine.loaded_model or None,
        "default_model_name": first,
        "default_language": engine.default_language or None,
        "base_engine_name": engine.name,
        "runner_id": host.host_id,
        "runner_type": host.host_type,
        "runner_host": host.ssh_url or None,
        **_origin(engine),
        "is_installed": engine.is_installed,
        "parameters": engine.parameters or None,
    }


def _gpu_memory(engine: Engine) -> dict[str, float | None]:
    """Of the cards that it holds memory on, as they were read last; null where that is unknown."""
    used, total = 0, 0
    for card in engine.host.gpus.all() if engine.is_alive and engine.uses_gpu else ():
        held = [row["memory"] for row in card.holders if row["engine"] == engine.pk]
        if any(held):
            used += sum(memory or 0 for memory in held)
            total += card.memory_total or 0
    return {
        "gpu_memory_used_mb": round(used / MB, 1) if used else None,
        "gpu_memory_total_mb": round(total / MB, 1) if total else None,
    }


def _origin(engine: Engine) -> dict[str, str | None]:
    return {
        "source": _source(engine),
        "docker_image": engine.image or None,
        "docker_tag": engine.tag if engine.image else None,
    }


def open_jobs(engine: Engine) -> list[Job]:
    """Its job under way, as `engines_shown` brought it along."""
    found: list[Job] = getattr(engine, "open_jobs", [])
    return found


def _place(host: Host) -> str:
    """The contract's word for a host behind an engine's name."""
    words = {Host.Type.SUBPROCESS: "venv", Host.Type.DOCKER_LOCAL: "local"}
    return words.get(Host.Type(host.host_type), host.display_name)


def _source(engine: Engine) -> str:
    said = str(engine.definition.get("source") or "")
    return {"folder": "local", "attached": "local", "custom": "custom"}.get(said, "catalog")


def _idle(engine: Engine) -> dict[str, int | None]:
    """Null where it is kept running, or where nothing stops it."""
    stops_at = engine.stops_at
    left = (stops_at - timezone.now()).total_seconds() if stops_at else None
    limit = None if engine.keep_running or not engine.idle_limit else engine.idle_limit * 60
    return {
        "idle_timeout_seconds": limit,
        "seconds_until_auto_stop": None if left is None else max(0, int(left)),
    }


def details_of(engine: Engine) -> EngineDetails:
    """All of an engine."""
    jobs = open_jobs(engine)
    return EngineDetails(
        **engine_values(engine, setting_of("languages.allowedLanguages")),
        state=engine.state,
        state_text=engine.state_text,
        error_code=engine.error_code,
        error_detail=engine.error_detail,
        job_id=jobs[0].pk if jobs else None,
        image_digest=engine.image_digest or None,
        update_available=engine.has_update,
        can_roll_back=bool(engine.previous_image_id),
        auto_updates=engine.auto_updates,
        disk_bytes=engine.disk_bytes,
        memory_bytes=engine.memory_bytes,
        started_at=engine.started_at,
        installed_at=engine.installed_at,
        tested_at=engine.tested_at,
        test_passed=engine.test_passed,
        test_text=engine.test_text,
    )


def status_answer(engines: Iterable[Engine]) -> StatusAnswer:
    """Engines by type; which types have one that may be used."""
    allowed = setting_of("languages.allowedLanguages")
    shapes = [EngineShape(**engine_values(engine, allowed)) for engine in engines]
    by_type = {kind: [row for row in shapes if row.engine_type == kind] for kind in EngineType}
    has = {row.engine_type for row in shapes if row.is_installed and row.is_enabled}
    return StatusAnswer(
        tts=by_type[EngineType.TTS],
        text=by_type[EngineType.TEXT],
        stt=by_type[EngineType.STT],
        audio=by_type[EngineType.AUDIO],
        has_tts_engine=EngineType.TTS in has,
        has_text_engine=EngineType.TEXT in has,
        has_stt_engine=EngineType.STT in has,
    )


def image_shape(entry: CatalogEntry) -> ImageShape | None:
    """An entry with its variants that are images; None where it has none."""
    variants = [variant for variant in entry.offered_variants if variant.image]
    if not variants:
        return None
    models = [str(row.get("name")) for row in entry.effective("model_rows")]
    return ImageShape(
        engine_name=entry.name,
        image=variants[0].image,
        engine_type=entry.engine_type,
        display_name=entry.effective("display_name"),
        description=entry.effective("description"),
        requires_gpu=all(variant.needs_gpu for variant in variants),
        tags=[variant.tag for variant in variants],
        default_tag=variants[0].tag,
        supported_languages=entry.effective("supported_languages"),
        models=models,
        variants=[
            ImageVariant(tag=variant.tag, requires_gpu=variant.needs_gpu) for variant in variants
        ],
    )
