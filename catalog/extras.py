"""What abm adds to engine.yaml: everything under the one optional key `abm`."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

Option = StrictInt | StrictFloat | StrictStr
Megabytes = Annotated[float, Field(ge=0, le=10_000_000)]


def _text(limit: int) -> StringConstraints:
    return StringConstraints(strict=True, strip_whitespace=True, max_length=limit)


# Text, and only text, of at most so many characters.
Text20 = Annotated[str, _text(20)]
Text50 = Annotated[str, _text(50)]
Text64 = Annotated[str, _text(64)]
Text100 = Annotated[str, _text(100)]
Text200 = Annotated[str, _text(200)]
Text500 = Annotated[str, _text(500)]
Text5000 = Annotated[str, _text(5000)]


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


EnvironmentName = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
]


class EnvironmentVariable(BaseModel):
    """A variable that an engine reads, so that a form can ask for it."""

    name: EnvironmentName
    type: Literal["str", "int", "float", "bool", "choice", "secret"] = "str"
    description: Text500 = ""
    default: StrictBool | Option | None = None
    """What the engine takes by itself when it is not set."""
    options: list[Text200] = Field(default=[], max_length=200)
    """For a `choice`."""
    is_required: bool = False
    is_secret: bool = False

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.type == "choice") != bool(self.options):
            raise ValueError(f"{self.name}: type choice and options belong together")
        if self.is_secret and self.type == "str":
            self.type = "secret"
        self.is_secret = self.type == "secret"
        return self


class HealthProbe(BaseModel):
    """How abm asks whether it is ready, for engines that do not speak the whole contract."""

    path: Annotated[str, StringConstraints(strict=True, pattern=r"^/[!-~]*$", max_length=200)] = (
        "/health"
    )
    expect: Text200 = ""
    """Words that a good answer holds; without them status 200 is enough."""
    start_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """How long a start may take until it answers, model downloads included."""
    start_seconds_by_tag: dict[Text100, Annotated[int, Field(ge=1, le=86_400)]] = {}
    """The same for variants that are slower or quicker."""


class Extras(BaseModel):
    """Sizes are what is fetched and what lies on disk afterwards, in decimal megabytes."""

    version: Text50 = ""
    runs_anywhere: bool = False
    """Small, on any processor, without a GPU."""
    download_mb: Megabytes | None = None
    disk_mb: Megabytes | None = None
    memory_mb: Megabytes | None = None
    vram_mb: Megabytes | None = None
    environment: list[EnvironmentVariable] = Field(default=[], max_length=100)
    probe: dict[str, JsonValue] = {}
    """What the functional test should say instead of abm's own phrase."""
    python: Text20 = ""
    """Which Python it runs on, such as `>=3.11`; the seed's `python_version` knows one only."""
    options: dict[Text100, Annotated[list[Option], Field(max_length=200)]] = {}
    """The values that a parameter may have, by its name."""
    consent: Text5000 = ""
    """A licence or warning that a person must agree to before installing."""
    consent_environment: dict[EnvironmentName, Text200] = {}
    """Variables that tell the engine so, such as `COQUI_TOS_AGREED: "1"`."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 8766
    """Where it listens inside its container."""
    health: HealthProbe = HealthProbe()
    speaks_contract: bool = True
    """False for a container that abm starts, watches and updates but cannot use."""
    page: Annotated[
        str, StringConstraints(strict=True, pattern=r"^(/[!-~]*)?$", max_length=200)
    ] = ""
    """Path of a web page of its own."""
    shm_mb: Megabytes | None = None
    min_driver: Text20 = ""
    """The oldest NVIDIA driver that it runs with, such as `550.54`."""
    min_cuda: Text20 = ""
