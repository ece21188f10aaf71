"""Events as the API's contract has them on its stream: names, keys and order.

The contract is Audiobook Maker 1.1.2's: the type stands inside the data, as
`data: {"event": TYPE, ..., "_timestamp", "_channel"}`. What abm tells beside it (jobs, other
changes of engines and hosts, the catalog) has names that it does not use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from abm.events_codes import error_code
from engines.models import Engine
from engines.stored_settings import setting_of
from hosts.models import Host
from jobs.models import Event, Job

S = Engine.State
CHANNELS = [
    "jobs",
    "projects",
    "export",
    "import",
    "health",
    "engines",
    "speakers",
    "settings",
    "pronunciation",
    "quality",
    "catalog",
]
"""Those of the contract, and `catalog`. Some of them never say anything here."""
DEFAULT_CHANNELS = "jobs,health,engines"
DOWN = {S.STOPPED, S.STOPPING, S.ABSENT, S.INSTALLING, S.MISSING}
PULLS = (Job.Action.INSTALL, Job.Action.UPDATE)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the stream; `id` is that of the last Event that is told completely by it."""

    channel: str
    event: str
    payload: dict[str, Any]
    at: datetime
    id: int

    def text(self, *, is_typed: bool = False) -> str:
        """As it goes over the wire; `is_typed` adds the line that the contract leaves out."""
        data = {
            "event": self.event,
            **self.payload,
            "_timestamp": stamp(self.at),
            "_channel": self.channel,
        }
        kind = f"event: {self.event}\n" if is_typed else ""
        return f"id: {self.id}\n{kind}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def frames_of(events: Sequence[Event]) -> list[Frame]:
    """What these events say on the stream, in their order; some say nothing.

    Of several frames of one event only the last has its id: a client whose connection breaks
    between them hears all of them again rather than never the rest.
    """
    rows = _Rows(events)
    frames = []
    for event in events:
        told = list(_told(event, rows))
        for left, (channel, name, payload) in zip(reversed(range(len(told))), told, strict=True):
            last_heard = event.pk - 1 if left else event.pk
            frames.append(Frame(channel, name, payload, event.created_at, last_heard))
    return frames


class _Rows:
    """The rows that some events speak of, read at once."""

    def __init__(self, events: Sequence[Event]) -> None:
        wanted: dict[str, set[int]] = {"engines": set(), "hosts": set(), "jobs": set()}
        for event in events:
            if event.topic in wanted and isinstance(event.ids.get("pk"), int):
                wanted[event.topic].add(event.ids["pk"])
        self.jobs = {
            job.pk: job for job in Job.objects.filter(pk__in=wanted["jobs"]).select_related("host")
        }
        engines = wanted["engines"] | {job.engine_id or 0 for job in self.jobs.values()}
        self.engines = {
            engine.pk: engine
            for engine in Engine.objects.filter(pk__in=engines)
            .select_related("host")
            .defer("definition")
        }
        self.hosts = Host.objects.in_bulk(list(wanted["hosts"]))


Told = Iterator[tuple[str, str, dict[str, Any]]]


def _told(event: Event, rows: _Rows) -> Told:
    pk = event.ids.get("pk")
    if event.name == "engine.changed":
        yield from _engine(event.ids, rows.engines.get(pk or 0))
    elif event.name == "engine.removed" and event.ids.get("variant"):
        if event.ids.get("is_docker"):
            payload = {"variantId": event.ids["variant"], "isInstalled": False}
            yield "engines", "docker.image.uninstalled", payload
    elif event.name == "host.changed":
        yield from _host(event.ids, rows.hosts.get(pk or 0))
    elif event.name == "job.changed" and event.ids.get("status") and pk in rows.jobs:
        job = rows.jobs[pk]
        yield "jobs", "job.changed", job_payload(job, status=event.ids["status"])
        yield from _image(job, event.ids["status"], rows.engines.get(job.engine_id or 0))
    elif event.topic == "settings":
        yield from _settings(event)
    elif event.topic == "catalog":
        yield "catalog", event.name, {"sourceId": pk}


def _engine(ids: dict[str, Any], engine: Engine | None) -> Told:
    """By what the event itself remembers, so that a replay tells what was then."""
    state = ids.get("state")
    if state is None:
        if engine is None:
            return
        who = _who(engine.engine_type, engine.name, engine.address)
        if "is_enabled" in ids:
            name = "engine.enabled" if ids["is_enabled"] else "engine.disabled"
            yield "engines", name, {**who, "isEnabled": ids["is_enabled"]}
        else:
            yield "engines", "engine.changed", {**who, "state": engine.state}
        return
    who = _who(ids["kind"], ids["name"], ids["variant"])
    for name, payload in STATES.get(state, _quiet)(ids):
        yield "engines", name, {**who, **payload}
    if state == S.UNINSTALLING and ids.get("is_docker"):
        yield "engines", "docker.image.uninstalling", {"variantId": ids["variant"]}


def _who(kind: str, name: str, variant: str) -> dict[str, str]:
    return {"engineType": kind, "engineName": name, "variantId": variant}


Said = Iterator[tuple[str, dict[str, Any]]]


def _starting(ids: dict[str, Any]) -> Said:
    if ids.get("was") != ids["state"]:
        yield "engine.starting", {}


def _running(ids: dict[str, Any]) -> Said:
    if ids.get("model"):
        yield "engine.model_loaded", {"loadedModel": ids["model"]}
    version = {"version": ids["version"]} if ids.get("version") else {}
    yield "engine.started", {"status": "running", "port": ids.get("port"), **version}


def _stopping(ids: dict[str, Any]) -> Said:
    reason = "auto_stop" if ids.get("reason") == "inactivity" else "manual"
    yield "engine.stopping", {"reason": reason}


def _stopped(ids: dict[str, Any]) -> Said:
    if ids.get("was") not in DOWN - {S.STOPPING}:
        yield "engine.stopped", {"status": "stopped", "reason": ids.get("reason") or "manual"}


def _failed(ids: dict[str, Any]) -> Said:
    if ids.get("was") == S.RUNNING:
        yield "engine.stopped", {"status": "stopped", "reason": "error"}
    yield "engine.error", {"error": ids.get("error", "")}


def _quiet(ids: dict[str, Any]) -> Said:
    yield "engine.changed", {"state": ids["state"]}


STATES: dict[str, Callable[[dict[str, Any]], Said]] = {
    S.STARTING: _starting,
    S.RUNNING: _running,
    S.STOPPING: _stopping,
    S.STOPPED: _stopped,
    S.FAILED: _failed,
}


def _host(ids: dict[str, Any], host: Host | None) -> Told:
    if host is None:
        return
    state = ids.get("state")
    if state is None or not host.is_docker:
        yield "engines", "host.changed", {"hostId": host.host_id, "state": state or host.state}
    elif state in Host.USABLE:
        yield (
            "engines",
            "docker.host.connected",
            {
                "hostId": host.host_id,
                "dockerVersion": host.docker_version or None,
                "os": host.facts.get("release") or host.facts.get("system"),
                "isAvailable": True,
                "hasGpu": bool(host.has_gpu),
            },
        )
    elif state == Host.State.STARTING:
        yield "engines", "docker.host.connecting", {"hostId": host.host_id, "attempt": 1}
    else:
        payload = {
            "hostId": host.host_id,
            "reason": host.state_text or host.get_state_display(),
            "errorCode": error_code(Host.State(state), ids.get("code", "")),
            "isAvailable": False,
        }
        yield "engines", "docker.host.disconnected", payload


def _image(job: Job, status: str, engine: Engine | None) -> Told:
    """A pull that began or ended; nothing for other jobs, and for engines that are processes."""
    if job.action not in PULLS or engine is None or not engine.host.is_docker:
        return
    which = {"variantId": engine.address}
    if status == Job.Status.RUNNING:
        image = f"{engine.image}:{engine.tag}" if engine.tag else engine.image
        payload = {**which, "imageName": image, "hostId": engine.host.host_id}
        yield "engines", "docker.image.installing", payload
    elif status == Job.Status.SUCCEEDED:
        yield "engines", "docker.image.installed", {**which, "isInstalled": True}
    elif status == Job.Status.CANCELLED:
        yield "engines", "docker.image.cancelled", which
    elif status == Job.Status.FAILED:
        payload = {**which, "error": job.error, "operation": job.action}
        yield "engines", "docker.image.error", payload


def _settings(event: Event) -> Told:
    if event.name == "settings.reset":
        yield "settings", event.name, {"reset": True}
    elif event.ids.get("key"):
        key = str(event.ids["key"])
        yield "settings", event.name, {"key": key, "value": setting_of(key)}


def job_payload(job: Job, *, status: str = "") -> dict[str, Any]:
    """A job as its events tell it; `status` is what it was when the event was written."""
    return {
        "jobId": job.pk,
        "action": job.action,
        "subject": job.subject,
        "status": status or job.status,
        "percent": round(job.percent, 1),
        "step": job.step_title or None,
        "hostId": job.host.host_id if job.host else None,
        "error": job.error or None,
    }


def progress_frames(pks: set[int], *, after: int, shares: dict[int, int]) -> list[Frame]:
    """How far these jobs are; `shares` keeps what was told last, so pulls move in steps of 2 %."""
    now, frames = timezone.now(), []
    running = Job.objects.filter(pk__in=pks, status=Job.Status.RUNNING)
    for job in running.select_related("host", "engine__host"):
        frames.append(Frame("jobs", "job.progress", job_payload(job), now, after))
        engine, share = job.engine, int(job.percent)
        if job.action not in PULLS or engine is None or not engine.host.is_docker:
            continue
        if abs(share - shares.get(job.pk, -2)) < 2:
            continue
        shares[job.pk] = share
        payload = {"variantId": engine.address, "progressPercent": share, **_pull(job)}
        frames.append(Frame("engines", "docker.image.progress", payload, now, after))
    return frames


def _pull(job: Job) -> dict[str, Any]:
    """Which phase a pull is in, in the contract's three words, and the layer that moves."""
    moving = [layer for layer in job.moved.layers if layer.is_moving]
    unpacks = bool(moving) and all(layer.state == "extracting" for layer in moving)
    word = "extracting" if unpacks else "downloading" if job.transfer else "pulling"
    layer = moving[0].id if moving else None
    return {"status": word, "currentLayer": layer, "message": job.step_title}
