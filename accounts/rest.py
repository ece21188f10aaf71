"""What every endpoint of the API shares: shapes, who calls, errors as the contract has them.

The contract is that of Audiobook Maker's backend: camelCase out, both cases in, and errors as
`{"detail": "[CODE]key:value;key:value"}`. Its clients read that with `^\\[([A-Z_]+)\\](.*)$`, cut
the rest at each `;` and each part at its first `:`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Protocol, TypeVar

from django.http import HttpRequest, HttpResponse
from ninja import Path, Router
from ninja.security import APIKeyHeader, HttpBearer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from accounts.models import User
from accounts.plain import NAMED, PLAIN
from accounts.refused import Refused
from accounts.roles import require_role

BREAKS = re.compile(r"[;%\x00-\x1f\x7f\u2028\u2029]")
Text = Annotated[str, Field(max_length=500, pattern=PLAIN)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=NAMED)]


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 5.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Stands after the limits of an int, so that the document tells them."""
Id = Annotated[int, Field(ge=1, le=2**53, examples=[1])]
HostId = Path[Annotated[str, Field(description="As in the list.", examples=["docker:local"])]]
VariantId = Path[
    Annotated[
        str,
        Field(
            description="`engine:host`; without a host it is on `local`.",
            examples=["xtts:docker:local"],
        ),
    ]
]
TypeName = Path[
    Annotated[
        str, Field(examples=["tts"], json_schema_extra={"enum": ["tts", "stt", "text", "audio"]})
    ]
]
"""Another one is the contract's 400, not a 422."""
Function = TypeVar("Function", bound=Callable[..., Any])


class Registered(Protocol):
    """A decorator that gives a function back as it is."""

    def __call__(self, function: Function, /) -> Function: ...


ALWAYS = (400, 401, 403, 413, 422, 429)
"""What any endpoint may answer: text that cannot be kept, no or a wrong token, a role too low, a
body too large or unfit, too many requests."""


class Shape(BaseModel):
    """What the API gives out: camelCase keys."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )


class Wish(Shape):
    """What the API takes: both cases; unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(Shape):
    """An error: its code with its values, and a sentence for people."""

    detail: str = Field(examples=["[HOST_NOT_FOUND]hostId:docker:1a2b3c4d"])
    message: str | None = Field(None, examples=["There is no host docker:1a2b3c4d."])


class Unfit(Shape):
    """One value that does not fit."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any = None


class Unfits(Shape):
    """What does not fit, value by value; the sentence where there is but one."""

    detail: list[Unfit] | str
    message: str | None = None


class Said(Shape):
    """A verb was done."""

    success: bool = True
    message: str


def detail_of(refused: Refused) -> str:
    """`[CODE]key:value;key:value`; what would cut a value in two is percent-encoded."""
    values = ";".join(
        f"{_escaped(key).replace(':', '%3A')}:{_escaped(value)}"
        for key, value in refused.params.items()
    )
    return f"[{refused.code}]{values}"


def _escaped(value: object) -> str:
    return BREAKS.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), str(value)
    )


def problem(refused: Refused) -> dict[str, str]:
    """The body of a refusal."""
    return {"detail": detail_of(refused), "message": refused.message}


def is_api(request: HttpRequest) -> bool:
    """Whether a program asks, so that every answer is JSON."""
    return request.path.startswith("/api/") or getattr(request, "is_bare_api", False)


class Bearer(HttpBearer):
    """`Authorization: Bearer <token>`. A page's session counts as well, with its CSRF token."""

    def __init__(self, role: User.Role) -> None:
        super().__init__()
        self.role = role

    def __call__(self, request: HttpRequest) -> User:
        user = person(request)
        require_role(user, self.role)
        return user

    def authenticate(self, request: HttpRequest, token: str) -> None:
        """Never asked: abm.api_door has looked at the token by then."""


class Key(APIKeyHeader):
    """`X-API-Key: <token>`."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> None:
        """Never asked: `Bearer` stands before it and lets in or refuses."""


def person(request: HttpRequest) -> User:
    """Who calls. Raises Refused 401 for nobody."""
    user: User | None = getattr(request, "caller", None)
    if user is None:
        raise Refused(
            "TOKEN_REQUIRED",
            "Send a token: Authorization: Bearer <token>. Your profile page makes one.",
            status=401,
        )
    return user


WHEN_AWAY = {
    "in": "query",
    "name": "whenAway",
    "required": False,
    "schema": {"type": "string", "enum": ["", "wait", "fail"]},
    "description": "What the job does while its host by SSH is away; else as the host's way says.",
}
"""Of every request that makes a job; read at the door (`abm.api_door`)."""


def endpoint(
    router: Router,
    method: str,
    path: str,
    *,
    response: Any,
    role: User.Role = User.Role.VIEWER,
    errors: Iterable[int] = (),
    also: Iterable[str] = (),
    summary: str = "",
    answers: dict[int, Any] | None = None,
    extra: dict[str, Any] | None = None,
    **more: Any,
) -> Registered:
    """Register a function; `also` are spellings that stay out of the OpenAPI document.

    `answers` are good answers beside 200, `extra` is more for the document. The role is asked for
    before anything is read.
    """
    makes_job = 202 in (answers or {})
    told = {"x-role": role.value, **({"parameters": [WHEN_AWAY]} if makes_job else {})}
    bad = dict.fromkeys({*ALWAYS, *errors}, Problem) | {422: Unfits}
    values = {"response": {200: response, **(answers or {}), **bad}, **more}
    auth = [Bearer(role), Key()]

    def registered(function: Function) -> Function:
        for spelling in (path, *also):
            router.api_operation(
                [method],
                spelling,
                auth=auth,
                by_alias=True,
                summary=summary or None,
                include_in_schema=spelling == path,
                openapi_extra={**told, **(extra or {})},
                **values,
            )(function)
        return function

    return registered


def bytes_of(shape: BaseModel, *, status: int = 200) -> HttpResponse:
    """A shape as it is, without being looked at a second time."""
    return HttpResponse(
        shape.model_dump_json(by_alias=True), status=status, content_type="application/json"
    )
