"""The API: every app's endpoints behind one door, errors in one form, one OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, re_path
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError, ValidationErrorContext
from ninja.parser import Parser

from abm import api_about, events_stream
from abm.api_door import door, refusal, shutdown
from abm.api_examples import add_examples
from accounts import api as people
from accounts import api_audit
from accounts.refused import Refused
from catalog import api as catalog
from catalog import api_sources as sources
from engines import (
    api,
    api_container,
    api_gpus,
    api_hosts,
    api_images,
    api_install,
    api_lists,
    api_more,
    api_samples,
    api_settings,
    api_sources,
    api_through,
    api_updates,
    api_uploads,
)
from hosts import api as hosts
from hosts import api_looks, api_remote
from jobs import api as jobs

LISTS = {
    "health",
    "engine-hosts",
    "engines/status",
    "engines/catalog",
    "catalog/sources",
    "catalog/entries",
}
"""Answered from memory until something changes."""
LARGE = {f"engines/<variant_id>/{name}" for name in api_through.OPERATIONS} | {
    *(api_uploads.PART, "samples"),
}
"""May be sent MAX_UPLOAD_MB: sound on its way to an engine, or to be kept, a part of an image."""
ROOMS = (
    api_about,
    events_stream,
    api_looks,
    api_remote,
    hosts,
    api_hosts,
    api_samples,
    api_lists,
    api_install,
    api_updates,
    api_sources,
    api_images,
    api_uploads,
    api,
    api_more,
    api_container,
    api_gpus,
    api_through,
    sources,
    catalog,
    jobs,
    api_settings,
    people,
    api_audit,
)
"""In this order: an address that is written out stands before one that takes any name."""
BARE = (
    "",
    "health",
    "engine-hosts",
    "engine-hosts/prepare",
    "engine-hosts/<host_id>",
    "engine-hosts/<host_id>/test",
    "engine-hosts/<host_id>/volumes",
    "engine-hosts/<host_id>/public-key",
    "engines/catalog/sync",
    "engines/<variant_id>/install",
    "engines/<variant_id>/uninstall",
    "engines/<variant_id>/check-update",
    "engines/<variant_id>/pull-update",
)
"""Paths that the contract writes without `/api`: they are there for tokens alone."""
SHOWN_INPUT = 100
PRIVATE_FIELDS = {"password", "oldpassword", "old_password", "token", "secret", "value"}

MEANINGS = {
    202: "It is on its way: the job that does it.",
    401: "No token, or one that does not count.",
    403: "The role does not suffice.",
    413: "The body is too large.",
    422: "What was sent does not fit: each value with its place.",
    429: "Too many requests: Retry-After says when to come again.",
    499: "It was cancelled.",
}
DESCRIPTION = """\
Everything that abm's pages do. Send a token, made on your profile page:
`Authorization: Bearer <token>` or `X-API-Key: <token>`.

Keys are camelCase; requests may use snake_case as well. A trailing slash changes nothing.
Errors are `{"detail": "[CODE]key:value;key:value", "message": "A sentence."}`; `;`, `%` and line
ends in values are percent-encoded. Times are UTC, sizes bytes, what is unknown is null.
"""


UNKEPT = Refused(
    "TEXT_INVALID",
    "The text holds NUL characters or halves of signs (lone surrogates), which nothing can keep.",
    status=400,
)


class StrictParser(Parser):
    """JSON as it is defined, of text that any database can keep: no NaN, no NUL, no half signs."""

    def parse_body(self, request: HttpRequest) -> Any:
        found = json.loads(request.body, parse_constant=_no_number)
        try:
            text = json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise UNKEPT from error
        if b"\\u0000" in text:
            raise UNKEPT
        return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


class TellingAPI(NinjaAPI):
    """Keeps what was sent beside what is wrong with it, which the framework drops."""

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        made = super().validation_error_from_error_contexts(error_contexts)
        sent = [
            row["input"]
            for context in error_contexts
            for row in context.pydantic_validation_error.errors(include_url=False)
        ]
        rows = zip(made.errors, sent, strict=True)
        return ValidationError([{**row, "input": value} for row, value in rows])


rest = TellingAPI(
    title="abm",
    version=settings.VERSION,
    description=DESCRIPTION,
    docs_url=None,
    openapi_url=None,
    parser=StrictParser(),
    urls_namespace="api",
    servers=[{"url": "/", "description": "This abm"}],
)
for room in ROOMS:
    rest.add_router("", room.router)


@rest.exception_handler(Refused)
def refused(request: HttpRequest, error: Refused) -> HttpResponse:
    return refusal(error)


@rest.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return JsonResponse({"detail": "Not Found"}, status=404)


@rest.exception_handler(ValidationError)
def unfit(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """What does not fit, value by value; the value itself where it is short and no secret."""
    rows = [_unfit_row(row) for row in error.errors[:50]]
    return JsonResponse({"detail": rows}, status=422)


def _unfit_row(row: dict[str, Any]) -> dict[str, Any]:
    place = [part for part in row.get("loc", ()) if part not in {"wish", "wanted"}]
    told = {"type": row["type"], "loc": place, "msg": row["msg"]}
    given = row["input"]
    is_plain = isinstance(given, str | int | float) or given is None
    is_private = bool(PRIVATE_FIELDS & {str(part).lower() for part in place})
    if is_plain and not is_private and len(str(given)) <= SHOWN_INPUT:
        told["input"] = given
    return told


@rest.exception_handler(HttpError)
def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    """The framework itself says no: a body that is no JSON, or what `StrictParser` refused."""
    if isinstance(error.__cause__, Refused):
        return refusal(error.__cause__)
    row = {"type": "json_invalid", "loc": ["body"], "msg": "The body is no JSON that can be read."}
    return JsonResponse({"detail": [row]}, status=422)


@rest.exception_handler(Exception)
def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """A bug: the middleware logs it and answers without a word of it."""
    raise error


def openapi(request: HttpRequest) -> HttpResponse:
    """The document of all this."""
    return JsonResponse(document())


def document() -> dict[str, Any]:
    """OpenAPI 3.1, without the spellings that are there for others' clients."""
    made = dict(rest.get_openapi_schema(path_prefix="api/"))
    for operations in made["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                # The framework copies a schema's list to where the standard wants a map.
                parameter.pop("examples", None)
            for status, answer in operation["responses"].items():
                answer["description"] = MEANINGS.get(int(status), answer["description"])
    add_examples(made)
    return made


def _nowhere(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"detail": "Not Found"}, status=404)


def _addresses() -> Iterator[tuple[str, Any]]:
    """Each operation's address and its view behind the door."""
    for pattern in rest.urls[0]:
        if not isinstance(pattern, URLPattern) or pattern.name == "api-root":
            continue  # the framework's own, without an answer
        route = str(pattern.pattern).rstrip("/")
        yield route, door(pattern.callback, is_list=route in LISTS, is_large=route in LARGE)


def both(route: str, view: Any) -> list[URLPattern]:
    """With and without a slash at its end."""
    return [path(route, view), path(f"{route}/", view)] if route else [path("", view)]


addresses = dict(_addresses())
document_view = door(openapi, is_list=True)
nowhere = re_path(r"", door(_nowhere))
forbidden = both("shutdown", shutdown)
urlpatterns: list[Any] = [
    *forbidden,
    path("openapi.json", document_view, name="openapi"),
    *(pattern for route, view in addresses.items() for pattern in both(route, view)),
    nowhere,
]
"""Below `/api/`."""
