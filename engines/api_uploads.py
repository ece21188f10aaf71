"""Uploading a file of images over the API: begun, sent in parts, loaded into its host."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest, HttpResponseBase
from ninja import Path, Router
from pydantic import Field

from accounts.models import User
from accounts.plain import NAMED
from accounts.rest import WHOLE, Shape, Text, Wish, bytes_of, endpoint, person
from engines.api_images import docker_now
from engines.sources import uploading
from engines.sources.uploading import Upload
from jobs.api_answers import (
    JobAnswer,
    answered,
    job_answer,
)

router = Router(tags=["images"], by_alias=True)
OPERATOR = User.Role.OPERATOR
PART = "images/uploads/<token>"
Token = Path[Annotated[str, Field(description="As the beginning of the upload told it.")]]
Offset = Annotated[int, Field(ge=0, le=2**53, description="Where this part begins; bytes.")]


class UploadWish(Wish):
    """A file as `docker save` writes it, and the host that is to have its images."""

    host_id: Text
    name: Annotated[str, Field(min_length=1, max_length=200, pattern=NAMED)]
    size: Annotated[int, Field(ge=1, le=2**53, description="Bytes."), WHOLE]


class UploadShape(Shape):
    """An upload: send parts of up to `partBytes`, each where `received` says."""

    success: bool = True
    token: str
    size: int
    received: int
    part_bytes: int


def _shape(upload: Upload) -> UploadShape:
    return UploadShape(
        token=upload.token,
        size=upload.size,
        received=upload.received,
        part_bytes=uploading.part_bytes(),
    )


@endpoint(
    router,
    "POST",
    "/images/uploads",
    response=UploadShape,
    role=OPERATOR,
    errors=[404, 409, 503, 507],
    summary="Begin to upload images",
)
def begin(request: HttpRequest, wish: UploadWish) -> HttpResponseBase:
    """What nobody finishes is deleted after a day."""
    host = docker_now(wish.host_id)
    upload = uploading.start_upload(wish.name, size=wish.size, host=host, user=person(request))
    return bytes_of(_shape(upload))


@endpoint(
    router,
    "GET",
    "/images/uploads/{token}",
    response=UploadShape,
    role=OPERATOR,
    errors=[404],
    summary="How much of an upload is here",
)
def progress(request: HttpRequest, token: Token) -> HttpResponseBase:
    return bytes_of(_shape(uploading.read_upload(token, user=person(request))))


@endpoint(
    router,
    "PUT",
    "/images/uploads/{token}",
    response=UploadShape,
    role=OPERATOR,
    errors=[404, 416],
    summary="Send a part of an upload",
    extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
def send_part(request: HttpRequest, token: Token, offset: Offset) -> HttpResponseBase:
    """A part that came before may be sent again, which changes nothing."""
    upload = uploading.read_upload(token, user=person(request))
    uploading.write_part(upload, request.body, offset=offset)
    return bytes_of(_shape(upload))


@endpoint(
    router,
    "POST",
    "/images/uploads/{token}/load",
    response=JobAnswer,
    answers={202: JobAnswer},
    role=OPERATOR,
    errors=[404, 409],
    summary="Load the images of an upload",
)
def load_upload(request: HttpRequest, token: Token, wait: bool = False) -> HttpResponseBase:
    upload = uploading.read_upload(token, user=person(request))
    job = uploading.finish_upload(upload, user=person(request))
    return answered(request, job, job_answer, wait=wait)
