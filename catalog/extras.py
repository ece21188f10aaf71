"""What abm adds to engine.yaml: everything under the one optional key `abm`."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

Gigabytes = Annotated[float, Field(strict=True, ge=0, le=10_000)]


class Text:
    """`Text[100]` is text, and only text, of at most 100 characters."""

    def __class_getitem__(cls, limit: int) -> Any:
        return Annotated[
            str, StringConstraints(strict=True, strip_whitespace=True, max_length=limit)
        ]


def _web_address(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address that begins with http:// or https://")
    return url


WebAddress = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, max_length=500),
    AfterValidator(_web_address),
]
