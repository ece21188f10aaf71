"""What could be installed, and where abm learned of it."""

from __future__ import annotations

from typing import Any

from django.db import models


class EngineType(models.TextChoices):
    """What an engine does."""

    TTS = "tts", "Text to speech"
    STT = "stt", "Speech to text"
    TEXT = "text", "Text"
    AUDIO = "audio", "Audio analysis"


class CatalogSource(models.Model):
    """A place that lists engines: a file shipped with abm, a URL, a folder, or the admin."""

    class Kind(models.TextChoices):
        BUNDLED = "bundled", "Comes with abm"
        ONLINE = "online", "Online catalog"
        FOLDER = "folder", "Engines under development"
        CUSTOM = "custom", "Made by an admin"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.ONLINE)
    url = models.CharField(max_length=500, blank=True, help_text="http(s) address of a catalog.")
    is_enabled = models.BooleanField(default=True)
    allows_private_addresses = models.BooleanField(
        default=False, help_text="Let this source be fetched from loopback or a private network."
    )
    etag = models.CharField(max_length=300, blank=True, editable=False)
    last_modified = models.CharField(max_length=100, blank=True, editable=False)
    content_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    read_by = models.CharField(
        max_length=50,
        blank=True,
        editable=False,
        help_text="The abm that read it; another one reads it again, also when it is unchanged.",
    )
    registry = models.CharField(max_length=300, blank=True)
    synced_at = models.DateTimeField(null=True, blank=True, help_text="Last good sync.")
    checked_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why the last sync failed, in words.")
    problems = models.JSONField(default=list, blank=True, help_text="Entries left out, and why.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name


class CatalogEntry(models.Model):
    """One engine as a source describes it. Vanished upstream = withdrawn, never deleted.

    The columns hold what the source says, `overrides` what an admin says instead: `effective()`
    and `said` give what counts.
    """

    OVERRIDABLE = (
        "display_name",
        "description",
        "supported_languages",
        "license",
        "default_model",
        "constraints",
        "capabilities",
        "parameters",
        "model_rows",
    )

    source = models.ForeignKey(CatalogSource, on_delete=models.CASCADE, related_name="entries")
    name = models.CharField(max_length=64)
    engine_type = models.CharField(max_length=8, choices=EngineType.choices)
    display_name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    version = models.CharField(max_length=50, blank=True)
    upstream_name = models.CharField(max_length=200, blank=True)
    upstream_url = models.CharField(max_length=500, blank=True)
    license = models.CharField(max_length=100, blank=True)
    supported_languages = models.JSONField(default=list, blank=True)
    constraints = models.JSONField(default=dict, blank=True)
    capabilities = models.JSONField(default=dict, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    model_rows = models.JSONField(default=list, blank=True, help_text="The definition's `models`.")
    default_model = models.CharField(max_length=200, blank=True)
    extra = models.JSONField(default=dict, blank=True, help_text="What engine.yaml's `abm` says.")
    folder = models.CharField(max_length=500, blank=True, help_text="Where its source lies here.")
    content_hash = models.CharField(max_length=64, blank=True)
    is_withdrawn = models.BooleanField(default=False)
    offered_variants: list[Variant]
    """Filled by `queries.known()`."""
    overrides = models.JSONField(
        default=dict, blank=True, help_text="What an admin says instead of the columns above."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["engine_type", "name"]
        verbose_name_plural = "catalog entries"
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="entry_name_per_source")
        ]

    def __str__(self) -> str:
        return str(self.effective("display_name"))

    def effective(self, field: str) -> Any:
        """What counts for one of OVERRIDABLE: the admin's word, else the source's."""
        return self.overrides.get(field, getattr(self, field))

    @property
    def said(self) -> dict[str, Any]:
        """What counts for every overridable field, for templates."""
        return {field: self.effective(field) for field in self.OVERRIDABLE}

    @property
    def is_offered(self) -> bool:
        """Whether it can be installed anew."""
        return not self.is_withdrawn and self.source.is_enabled

    @property
    def runs_anywhere(self) -> bool:
        """Small, on any processor, without a GPU."""
        return bool((self.extra.get("abm") or {}).get("runs_anywhere"))

    @property
    def gpu_need(self) -> str:
        """What its variants on offer need, in words."""
        needs = {variant.needs_gpu for variant in self.offered_variants}
        if len(needs) > 1:
            return "a GPU or none, by variant"
        return "a GPU" if True in needs else "no GPU"

    @property
    def memory_bytes(self) -> int | None:
        """What it takes while it runs, where the source says so."""
        size = (self.extra.get("abm") or {}).get("memory_mb")
        return int(size * 1_000_000) if isinstance(size, int | float) else None

    @property
    def vram_bytes(self) -> int | None:
        """What it, or the smallest of its models, needs, where the source says so."""
        own = (self.extra.get("abm") or {}).get("vram_mb")
        if isinstance(own, int | float):
            return int(own * 1_000_000)
        sizes = [row.get("vram_gb") for row in self.effective("model_rows")]
        known = [size for size in sizes if isinstance(size, int | float)]
        return int(min(known) * 1_000_000_000) if known else None


class Variant(models.Model):
    """One installable form of an entry: an image tag, or the source folder for local processes."""

    entry = models.ForeignKey(CatalogEntry, on_delete=models.CASCADE, related_name="variants")
    tag = models.CharField(max_length=128, default="latest")
    image = models.CharField(max_length=300, blank=True, help_text="Without the tag.")
    platforms = models.JSONField(default=list, blank=True)
    needs_gpu = models.BooleanField(default=False)
    position = models.PositiveSmallIntegerField(default=0, help_text="0 is the default variant.")
    digest = models.CharField(max_length=80, blank=True)
    download_bytes = models.BigIntegerField(null=True, blank=True)
    disk_bytes = models.BigIntegerField(null=True, blank=True)
    measured_image = models.CharField(
        max_length=430,
        blank=True,
        editable=False,
        help_text="Whose registry told digest and sizes; empty = they are the source's.",
    )
    measured_at = models.DateTimeField(null=True, blank=True, editable=False)
    measure_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Not asked before; empty = at once."
    )
    measure_failures = models.PositiveSmallIntegerField(default=0, editable=False)
    measure_error = models.TextField(blank=True, editable=False)
    has_measured_platforms = models.BooleanField(
        default=False, editable=False, help_text="They are the registry's word, not the source's."
    )
    is_withdrawn = models.BooleanField(default=False)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "tag"], name="variant_tag_per_entry")
        ]

    def __str__(self) -> str:
        return f"{self.entry.name}:{self.tag}"

    @property
    def reference(self) -> str:
        """The image with its tag; empty for what comes as a folder."""
        return f"{self.image}:{self.tag}" if self.image else ""

    @property
    def is_measured(self) -> bool:
        """Whether digest and sizes are those that the registry told of this very image."""
        return bool(self.image) and self.measured_image == self.reference

    @property
    def has_engines(self) -> bool:
        """Whether it is installed anywhere."""
        return any(engine.is_installed for engine in self.engines.all())
