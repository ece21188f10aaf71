"""What is installed where, and how it is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from catalog.models import EngineType, Variant
from engines.image_models import ImageCheck as ImageCheck
from engines.sample_models import Sample as Sample
from engines.sources.recipe import is_local
from engines.stored_settings import StoredSettings as StoredSettings
from engines.stored_settings import engine_setting
from engines.trial_models import Trial as Trial
from hosts.models import Host


class Engine(models.Model):
    """One engine on one host.

    absent -> installing -> stopped | absent
    stopped | failed -> starting -> loading -> running -> stopping -> stopped
    starting -> downloading -> loading
    starting | downloading | loading | running -> failed; any -> missing (removed behind abm's back)
    """

    class State(models.TextChoices):
        ABSENT = "absent", "Not installed"
        """Asked for; its install has not succeeded yet."""
        INSTALLING = "installing", "Installing"
        STOPPED = "stopped", "Stopped"
        STARTING = "starting", "Starting"
        """Its process or container was asked for and does not answer yet."""
        DOWNLOADING = "downloading", "Downloading its model"
        """It does not answer yet because it fetches its model, which happens once."""
        LOADING = "loading", "Loading"
        """It answers and loads its model."""
        RUNNING = "running", "Running"
        STOPPING = "stopping", "Stopping"
        FAILED = "failed", "Failed"
        """It ended by itself or could not be started; `error` says why."""
        MISSING = "missing", "Missing"
        """Its files or container are gone."""
        UNINSTALLING = "uninstalling", "Uninstalling"

    ALIVE = (State.STARTING, State.DOWNLOADING, State.LOADING, State.RUNNING)
    INSTALLED = (*ALIVE, State.STOPPED, State.STOPPING, State.FAILED)

    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="engines")
    variant = models.ForeignKey(
        Variant, null=True, blank=True, on_delete=models.SET_NULL, related_name="engines"
    )
    name = models.CharField(max_length=64)
    display_name = models.CharField(max_length=100)
    engine_type = models.CharField(max_length=8, choices=EngineType.choices)
    tag = models.CharField(max_length=128, blank=True)
    version = models.CharField(max_length=100, blank=True)
    definition = models.JSONField(
        default=dict, blank=True, help_text="The entry as it was installed (engine.yaml's keys)."
    )
    content_hash = models.CharField(max_length=64, blank=True)
    attached_url = models.CharField(
        max_length=300, blank=True, help_text="Runs elsewhere, under a debugger; abm only asks it."
    )

    image = models.CharField(max_length=300, blank=True, help_text="Without the tag.")
    platform = models.CharField(max_length=40, blank=True, help_text="Empty takes the host's.")
    image_id = models.CharField(max_length=80, blank=True, help_text="What a start runs.")
    image_digest = models.CharField(max_length=80, blank=True, help_text="Of its registry.")
    image_found = models.JSONField(
        default=dict, blank=True, help_text="Its digests and platform, as the host said last."
    )
    previous_image_id = models.CharField(max_length=80, blank=True)
    previous_image_digest = models.CharField(max_length=80, blank=True)
    previous = models.JSONField(
        default=dict, blank=True, help_text="All that Roll back brings again (engines.versions)."
    )
    uses_gpu = models.BooleanField(default=False)
    gpus = models.JSONField(default=list, blank=True, help_text="UUIDs; empty takes every card.")
    forbids_cpu = models.BooleanField(
        default=False, help_text="A start that ends up on the CPU instead of its GPU fails."
    )
    ports = models.JSONField(default=list, blank=True, help_text="[PortBinding]")
    mounts = models.JSONField(default=list, blank=True, help_text="[Mount]")
    limits = models.JSONField(
        default=dict, blank=True, help_text="The rest of ContainerSpec that a user set."
    )

    state = models.CharField(max_length=16, choices=State.choices, default=State.ABSENT)
    state_at = models.DateTimeField(default=timezone.now)
    state_text = models.TextField(blank=True, help_text="More about the state, in words.")
    seen_at = models.DateTimeField(null=True, blank=True, help_text="When the host last told.")
    error_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    error_detail = models.TextField(blank=True, help_text="The last log lines, or the raw text.")
    port = models.PositiveIntegerField(null=True, blank=True)
    url = models.CharField(max_length=300, blank=True)
    device = models.CharField(max_length=16, blank=True)
    loaded_model = models.CharField(max_length=200, blank=True)
    package_version = models.CharField(max_length=100, blank=True)
    memory_bytes = models.BigIntegerField(null=True, blank=True)
    disk_bytes = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    installed_at = models.DateTimeField(null=True, blank=True)
    busy_until = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True, help_text="End of the last request.")
    idle_minutes = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Stopped after so long unused; 0 never; empty = setting."
    )

    auto_updates = models.BooleanField(default=False)
    skipped_digest = models.CharField(
        max_length=80, blank=True, help_text="Failed or rolled back from: not taken by itself."
    )
    update_checked_at = models.DateTimeField(null=True, blank=True)
    update_digest = models.CharField(max_length=80, blank=True, help_text="Newer, at its registry.")
    update_text = models.TextField(blank=True, help_text="What the last check found, in words.")
    consent_text = models.TextField(blank=True, help_text="What was agreed to, as it stood.")
    consented_at = models.DateTimeField(null=True, blank=True)
    consented_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    parameters = models.JSONField(default=dict, blank=True, help_text="Set by users.")
    environment = models.JSONField(default=dict, blank=True)
    secrets = models.JSONField(default=dict, blank=True, help_text="{NAME: encrypted value}")
    default_language = models.CharField(max_length=16, blank=True)
    is_default = models.BooleanField(default=False)
    is_enabled = models.BooleanField(default=True, help_text="Off: it cannot be started.")
    keep_running = models.BooleanField(default=False)
    restarts_on_change = models.BooleanField(default=False)
    crash_count = models.PositiveIntegerField(default=0, help_text="In a row.")
    restart_at = models.DateTimeField(null=True, blank=True, help_text="After a crash.")
    tested_at = models.DateTimeField(null=True, blank=True)
    test_passed = models.BooleanField(null=True, blank=True)
    test_text = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["engine_type", "name", "host_id"]
        indexes = [models.Index(fields=["engine_type", "name", "host"], name="engine_list_order")]
        constraints = [
            models.UniqueConstraint(fields=["host", "name"], name="engine_name_per_host"),
            models.UniqueConstraint(
                fields=["engine_type"], condition=Q(is_default=True), name="one_default_per_type"
            ),
        ]

    def __str__(self) -> str:
        return self.display_name

    @property
    def address(self) -> str:
        return f"{self.name}:{self.host.host_id}"

    @property
    def place(self) -> str:
        """Where it answers, in words."""
        if self.host.is_remote:
            return f"port {self.port} of {self.host}, through SSH"
        return self.url

    @property
    def is_installed(self) -> bool:
        return self.state in self.INSTALLED

    @property
    def is_alive(self) -> bool:
        return self.state in self.ALIVE

    @property
    def is_running(self) -> bool:
        return self.state == self.State.RUNNING

    @property
    def fell_back(self) -> bool:
        """It runs on the CPU and was to use a GPU."""
        return self.is_running and self.uses_gpu and self.device.lower().startswith("cpu")

    @property
    def has_update(self) -> bool:
        """There is a newer image, and not one that this engine came back from."""
        return self.update_digest not in ("", self.skipped_digest)

    @property
    def is_built_here(self) -> bool:
        """Its image was built or loaded on its host, so that no registry knows it."""
        is_unknown = is_local(self.image) or not self.image_found.get("repo_digests")
        return bool(self.image_found) and is_unknown

    @property
    def idle_limit(self) -> int:
        """Minutes unused after which it is stopped; 0 for never."""
        if self.idle_minutes is not None:
            return self.idle_minutes
        return int(engine_setting("inactivityTimeoutMinutes"))

    @property
    def stops_at(self) -> datetime | None:
        """When it is stopped if nobody uses it till then; None for never."""
        if self.state != self.State.RUNNING or self.keep_running or not self.idle_limit:
            return None
        since = max(filter(None, (self.used_at, self.state_at, self.busy_until)))
        return since + timedelta(minutes=self.idle_limit)

    @property
    def definition_text(self) -> str:
        """The definition for reading."""
        return json.dumps(self.definition, indent=2, ensure_ascii=False)


class EngineModel(models.Model):
    """A model that an engine says it has (a row of its `/models`)."""

    engine = models.ForeignKey(Engine, on_delete=models.CASCADE, related_name="engine_models")
    name = models.CharField(max_length=200)
    display_name = models.CharField(max_length=200, blank=True)
    languages = models.JSONField(default=list, blank=True)
    fields = models.JSONField(default=list, blank=True, help_text="[{key, value, fieldType}]")
    size_bytes = models.BigIntegerField(null=True, blank=True)
    is_default = models.BooleanField(default=False)
    discovered_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["engine", "name"], name="model_name_per_engine"),
            models.UniqueConstraint(
                fields=["engine"], condition=Q(is_default=True), name="one_default_model"
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.name
