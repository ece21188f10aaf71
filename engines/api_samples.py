"""Speaker samples over the API, and the places on hosts that they and models lie in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from django.http import FileResponse, HttpRequest, HttpResponseBase
from ninja import Path, Query, Router
from pydantic import Field

from accounts.models import User
from accounts.refused import Refused
from accounts.rest import HostId, Id, Said, Shape, Text, Wish, bytes_of, endpoint, person
from engines import samples
from engines.api_hosts import verb
from engines.models import Sample
from hosts.api import found
from hosts.models import Host
from jobs.api_answers import (
    answered,
    job_answer,
)

router = Router(tags=["samples"], by_alias=True)
OPERATOR, ADMIN = User.Role.OPERATOR, User.Role.ADMIN


class SampleShape(Shape):
    """A recording; sizes in bytes. `advice` says in sentences what may sound better."""

    sample_id: int
    name: str
    file: str = Field(description="What it is called in the folders of hosts.")
    rate: int = Field(description="Hz.")
    channels: int
    seconds: float
    size: int
    advice: list[str]
    created_at: datetime


class SyncShape(Shape):
    """Whether a host has the samples. `shared`: it reads abm's own folder."""

    host_id: str
    name: str
    state: Literal["shared", "complete", "lacking", "unknown"]
    missing: list[str] = Field(description="Files that are still to be brought.")
    obsolete: list[str] = Field(description="Files that abm brought and has no more.")


class SamplesAnswer(Shape):
    """All samples, and how far the hosts have them."""

    success: bool = True
    samples: list[SampleShape]
    hosts: list[SyncShape]


class SampleAnswer(Shape):
    """One sample."""

    success: bool = True
    sample: SampleShape


class FolderShape(Shape):
    """A place on a host, as it was read last; null is unknown. Size in bytes."""

    kind: Literal["samples", "models"]
    source: str = Field(description="A path of the host, or the name of a volume.")
    is_folder: bool
    is_there: bool | None
    is_abms_own: bool
    size: int | None
    is_whole: bool = Field(description="False where there are more files than were counted.")
    names: list[str]
    error: str


class FoldersAnswer(Shape):
    """Where a host's samples and models lie, and whether it has all samples."""

    success: bool = True
    host_id: str
    read_at: datetime | None
    folders: list[FolderShape]
    samples: SyncShape


class NewSample(Wish):
    """What the sample is to be called."""

    name: Text


def sample_shape(sample: Sample) -> SampleShape:
    """A sample as the API tells it."""
    return SampleShape(
        sample_id=sample.pk,
        name=sample.name,
        file=sample.file,
        rate=sample.rate,
        channels=sample.channels,
        seconds=sample.seconds,
        size=sample.size,
        advice=sample.advice,
        created_at=sample.created_at,
    )


def sync_shape(host: Host, files: Iterable[str]) -> SyncShape:
    """How far a host has these files, by what abm brought it."""
    wanted, brought = set(files), set(host.brought_samples)
    missing, obsolete = sorted(wanted - brought), sorted(brought - wanted)
    is_gone = (host.folders.get("samples") or {}).get("is_there") is False
    state: Any = "lacking" if missing or obsolete else "complete"
    if is_gone and wanted:
        state, missing = "lacking", sorted(wanted)
    elif not samples.needs_samples(host):
        state, missing, obsolete = "shared", [], []
    elif not host.is_usable:
        state = "unknown"
    return SyncShape(
        host_id=host.host_id, name=str(host), state=state, missing=missing, obsolete=obsolete
    )


def _sample(pk: int) -> Sample:
    """Raises Refused 404."""
    sample = Sample.objects.filter(pk=pk).first()
    if sample is None:
        raise Refused("SAMPLE_NOT_FOUND", "There is no such sample.", status=404, sampleId=pk)
    return sample


@endpoint(router, "GET", "/samples", response=SamplesAnswer, summary="List the speaker samples")
def list_samples(request: HttpRequest) -> HttpResponseBase:
    """With each host's state: what it still lacks of them."""
    rows = list(Sample.objects.all())
    files = [row.file for row in rows]
    hosts = [sync_shape(host, files) for host in Host.objects.filter(is_enabled=True)]
    return bytes_of(SamplesAnswer(samples=[sample_shape(row) for row in rows], hosts=hosts))


@endpoint(
    router,
    "POST",
    "/samples",
    response=SampleAnswer,
    role=OPERATOR,
    errors=[400, 409],
    summary="Add a speaker sample",
    extra={
        "requestBody": {
            "required": True,
            "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def add_sample(request: HttpRequest, wish: Query[NewSample]) -> HttpResponseBase:
    """The body is the WAV itself. It is judged first, then brought to the hosts that need it."""
    sample = samples.add_sample(name=wish.name, data=request.body, user=person(request))
    return bytes_of(SampleAnswer(sample=sample_shape(sample)))


@endpoint(
    router,
    "GET",
    "/samples/{sample_id}",
    response=SampleAnswer,
    errors=[404],
    summary="Get a speaker sample",
)
def get_sample(request: HttpRequest, sample_id: Path[Id]) -> HttpResponseBase:
    return bytes_of(SampleAnswer(sample=sample_shape(_sample(sample_id))))


@endpoint(
    router,
    "GET",
    "/samples/{sample_id}/audio",
    response=Any,
    errors=[404],
    summary="Download a speaker sample",
    extra={"x-gives": "audio/wav"},
)
def get_audio(request: HttpRequest, sample_id: Path[Id]) -> HttpResponseBase:
    """The WAV as it was sent."""
    sample = _sample(sample_id)
    try:
        file = sample.path.open("rb")
    except FileNotFoundError as error:
        raise Refused(
            "SAMPLE_FILE_GONE",
            f"The file of {sample} is gone from abm's folder. Delete the sample and add it anew.",
            status=404,
            sampleId=sample_id,
        ) from error
    return FileResponse(file, content_type="audio/wav", filename=sample.file)


@endpoint(
    router,
    "DELETE",
    "/samples/{sample_id}",
    response=Said,
    role=OPERATOR,
    errors=[404],
    summary="Delete a speaker sample, here and on hosts",
)
def delete_sample(request: HttpRequest, sample_id: Path[Id]) -> HttpResponseBase:
    sample = _sample(sample_id)
    samples.delete_sample(sample, user=person(request))
    return bytes_of(Said(message=f"The speaker sample '{sample.name}' was deleted"))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/folders",
    response=FoldersAnswer,
    errors=[404],
    summary="Where samples and models lie on a host, and what is in there",
)
def get_folders(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    """As they were read last, with the disk (`disk/read` reads both again)."""
    host = found(host_id)
    rows = [FolderShape(kind=kind, **row) for kind, row in host.folders.items()]
    return bytes_of(
        FoldersAnswer(
            host_id=host.host_id,
            read_at=host.disk_at,
            folders=rows,
            samples=sync_shape(host, Sample.objects.values_list("file", flat=True)),
        )
    )


@verb("POST", "folders/{kind}", "Make the folder of samples or models on a host", ADMIN)
def make_folder(
    request: HttpRequest, host_id: HostId, kind: str, wait: bool = False
) -> HttpResponseBase:
    job = samples.make_folder(found(host_id), kind=kind, user=person(request))
    return answered(request, job, job_answer, wait=wait)


@verb("POST", "samples/bring", "Bring a host the samples that it lacks", OPERATOR)
def bring_samples(request: HttpRequest, host_id: HostId, wait: bool = False) -> HttpResponseBase:
    job = samples.bring_samples(found(host_id), user=person(request))
    return answered(request, job, job_answer, wait=wait)
