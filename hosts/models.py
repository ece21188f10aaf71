"""Machines that can run engines."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.secrets import SecretUnreadable, decrypted
from hosts.gpu_models import Gpu as Gpu
from hosts.remote_models import RemoteAccess as RemoteAccess


class Host(models.Model):
    """One place where engines run: this machine's processes, its Docker, or a Docker over SSH."""

    class Type(models.TextChoices):
        SUBPROCESS = "subprocess", "Local processes"
        DOCKER_LOCAL = "docker:local", "Local Docker"
        DOCKER_REMOTE = "docker:remote", "Docker over SSH"

    class State(models.TextChoices):
        DISABLED = "disabled", "Disabled"
        CLIENT_MISSING = "client_missing", "Not installed"
        UNREACHABLE = "unreachable", "Unreachable"
        PERMISSION_DENIED = "permission_denied", "Permission denied"
        TOO_OLD = "too_old", "Version too old"
        STARTING = "starting", "Connecting"
        AVAILABLE = "available", "Available"
        AVAILABLE_NO_GPU = "available_no_gpu", "Available, no GPU runtime"
        DEGRADED = "degraded", "Degraded"
        ERROR = "error", "Error"

    USABLE = (State.AVAILABLE, State.AVAILABLE_NO_GPU, State.DEGRADED)

    host_id = models.CharField(max_length=64, unique=True)
    display_name = models.CharField(max_length=100)
    host_type = models.CharField(max_length=16, choices=Type.choices)
    ssh_url = models.CharField(max_length=300, blank=True)
    is_enabled = models.BooleanField(default=True)
    is_available = models.BooleanField(default=False)
    has_gpu = models.BooleanField(null=True, blank=True, help_text="Unknown until it was read.")
    samples_path = models.CharField(max_length=500, blank=True)
    models_path = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=20, choices=State.choices, default=State.STARTING)
    state_text = models.TextField(blank=True, help_text="Why, in one sentence with the way out.")
    advice = models.JSONField(
        default=dict, blank=True, help_text="The way out: {steps, links, note, skip}."
    )
    facts = models.JSONField(default=dict, blank=True, help_text="HostFacts as read last.")
    strays = models.JSONField(
        default=list, blank=True, help_text="Containers of ours without an engine (engines.strays)."
    )
    disk = models.JSONField(
        default=dict, blank=True, help_text="What takes its disk (engines.storage_work)."
    )
    model_places = models.JSONField(
        default=list, blank=True, help_text="Models by folder and volume (engines.model_places)."
    )
    folders = models.JSONField(
        default=dict, blank=True, help_text="Where samples and models lie (engines.sample_work)."
    )
    brought_samples = models.JSONField(
        default=list,
        blank=True,
        help_text="Files that abm put there (engines.sample_work).",
    )
    disk_at = models.DateTimeField(null=True, blank=True, help_text="When these were read last.")
    disk_asked_at = models.DateTimeField(null=True, blank=True)
    gpu_text = models.TextField(blank=True, help_text="Why cards could not be read, in words.")
    gpu_detail = models.TextField(blank=True, help_text="The raw words.")
    gpus_read_at = models.DateTimeField(null=True, blank=True, help_text="Even if it has none.")
    gpus_asked_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    last_checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    STALE_AFTER = timedelta(seconds=30)
    DISK_FRESH = timedelta(minutes=5)
    DISK_READING = timedelta(minutes=3)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.display_name

    @property
    def is_usable(self) -> bool:
        return self.is_enabled and self.state in self.USABLE

    @property
    def is_docker(self) -> bool:
        return self.host_type != self.Type.SUBPROCESS

    @property
    def is_remote(self) -> bool:
        """Reached by SSH; how stands in `access`."""
        return self.host_type == self.Type.DOCKER_REMOTE

    @property
    def has_our_folders(self) -> bool:
        """Whether abm's own folders are there under their names: on no other machine."""
        return not self.is_remote and bool(self.facts.get("has_our_folders", True))

    @property
    def samples_folder(self) -> str:
        """Where speaker samples lie; empty where that is a volume."""
        return self._folder(self.samples_path, "samples")

    @property
    def models_folder(self) -> str:
        """Where models lie; empty where each engine has a volume for its own."""
        return self._folder(self.models_path, "models")

    def _folder(self, chosen: str, name: str) -> str:
        usual = str(settings.DATA_DIR / name)
        if self.has_our_folders:
            return chosen or usual
        return "" if chosen == usual else chosen

    @property
    def is_away(self) -> bool:
        """It is used, and does not answer just now."""
        return self.is_remote and self.is_enabled and self.state == self.State.UNREACHABLE

    @property
    def lets_work_wait(self) -> bool:
        """What work for it does while it is away: wait until it is back, or fail."""
        fails = RemoteAccess.objects.filter(host=self, waits_while_away=False)
        return self.is_remote and not fails.exists()

    @property
    def address_for_people(self) -> str:
        """Where a browser beside abm reaches what the host publishes."""
        return urlsplit(self.ssh_url).hostname or "localhost"

    @property
    def docker_version(self) -> str:
        """Of the daemon, as it was read last."""
        return str((self.facts.get("versions") or {}).get(self.facts.get("product") or "") or "")

    @property
    def is_disk_read(self) -> bool:
        """Whether what is known of its disk is new enough."""
        return self.disk_at is not None and timezone.now() - self.disk_at < self.DISK_FRESH

    @property
    def is_disk_being_read(self) -> bool:
        """A reading that was asked for longer ago was lost with its worker."""
        asked = self.disk_asked_at
        return asked is not None and timezone.now() - asked < self.DISK_READING

    @property
    def is_stale(self) -> bool:
        return self.seen_at is None or timezone.now() - self.seen_at > self.STALE_AFTER

    @property
    def platform_text(self) -> str:
        """`Debian 12, amd64`, as far as it is known."""
        system = self.facts.get("release") or self.facts.get("system")
        return ", ".join(part for part in (system, self.facts.get("machine")) if part)

    @property
    def memory_share(self) -> float | None:
        """Memory in use, 0 to 100; None where it was not read."""
        return _share(self.facts.get("memory_used"), self.facts.get("memory_total"))

    @property
    def disk_share(self) -> float | None:
        """Disk in use, 0 to 100; None where it was not read."""
        total, free = self.facts.get("disk_total"), self.facts.get("disk_free")
        return _share(total - free, total) if total and free is not None else None


class HostImage(models.Model):
    """An image that engines of this abm run, or ran, on a host: what it may remove there."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="images")
    image_id = models.CharField(max_length=80)
    name = models.CharField(max_length=400, help_text="As it was asked for, with its tag.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["host", "image_id", "name"], name="image_once_per_host")
        ]

    def __str__(self) -> str:
        return self.image_id


class RegistryLogin(models.Model):
    """The login to an image registry; each registry has one.

    saved -> tested: `error` is empty where it was accepted. Saving it again begins anew.
    """

    registry = models.CharField(max_length=255, unique=True, help_text="As `docker.io`.")
    username = models.CharField(max_length=255)
    password = models.TextField(editable=False, help_text="Encrypted; see accounts/secrets.py.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When it was tested last.")
    error = models.TextField(blank=True, help_text="Why the registry did not accept it.")
    is_unproved = models.BooleanField(
        default=False, help_text="The registry lets anybody in and did not look at it."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["registry"]

    def __str__(self) -> str:
        return f"{self.username} at {self.registry}"

    @property
    def state(self) -> str:
        """A key of `parts/_state.html`."""
        if self.trouble:
            return "failed"
        if self.checked_at is None:
            return "starting"
        return "degraded" if self.is_unproved else "available"

    @property
    def state_word(self) -> str:
        """The same for people."""
        return {
            "failed": "Test failed",
            "starting": "Being tested",
            "degraded": "Not needed",
            "available": "Accepted",
        }[self.state]

    @property
    def trouble(self) -> str:
        """Why it is of no use, in words; empty where nothing is known against it."""
        try:
            decrypted(self.password)
        except SecretUnreadable as error:
            return str(error)
        return self.error


def _share(part: float | None, whole: float | None) -> float | None:
    return 100 * part / whole if whole and part is not None else None
