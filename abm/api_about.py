"""What the API says of abm itself."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from accounts.rest import Shape, bytes_of, endpoint
from catalog.models import EngineType
from engines.models import Engine
from jobs.models import Job

router = Router(tags=["about"], by_alias=True)


class About(Shape):
    """What this is."""

    name: str
    version: str
    status: str


class Health(Shape):
    """How abm is; `ttsEngines` are those that are installed and switched on."""

    status: str
    version: str
    timestamp: datetime
    database: bool
    tts_engines: list[str]
    busy: bool
    active_jobs: int
    has_tts_engine: bool
    has_text_engine: bool
    has_stt_engine: bool


@endpoint(router, "GET", "/", response=About, summary="What this is")
def about(request: HttpRequest) -> HttpResponse:
    return bytes_of(About(name="abm API", version=settings.VERSION, status="online"))


@endpoint(router, "GET", "/health", response=Health, summary="How abm is")
def health(request: HttpRequest) -> HttpResponse:
    """It asks the database, so an answer says that there is one."""
    return bytes_of(health_now())


def health_now() -> Health:
    """The same for the stream of events."""
    usable = Engine.objects.filter(is_enabled=True, state__in=Engine.INSTALLED)
    rows = list(usable.values_list("engine_type", "name", "host__host_id"))
    types = {kind for kind, _, _ in rows}
    jobs = Job.objects.filter(status=Job.Status.RUNNING).count()
    return Health(
        status="ok",
        version=settings.VERSION,
        timestamp=timezone.now(),
        database=True,
        tts_engines=[f"{name}:{host}" for kind, name, host in rows if kind == EngineType.TTS],
        busy=bool(jobs),
        active_jobs=jobs,
        has_tts_engine=EngineType.TTS in types,
        has_text_engine=EngineType.TEXT in types,
        has_stt_engine=EngineType.STT in types,
    )
