"""People and what each of them may do."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone
from django.utils.functional import cached_property

from accounts.audit_models import AuditEntry as AuditEntry


class User(AbstractUser):
    """A person who signs in, with one of three roles; each role includes the ones before it."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer"
        """Sees everything except secrets."""
        OPERATOR = "operator", "Operator"
        """Installs, starts, stops and tries engines."""
        ADMIN = "admin", "Admin"
        """Everything: people, settings, sources, Django's admin."""

    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    is_limited = models.BooleanField(
        default=False, help_text="Operates the hosts of their grants only (accounts.host_grants)."
    )

    class Meta:
        ordering = ["username"]

    @property
    def can_operate(self) -> bool:
        return self.is_active and self.role in {self.Role.OPERATOR, self.Role.ADMIN}

    @property
    def is_admin(self) -> bool:
        return self.is_active and self.role == self.Role.ADMIN

    @cached_property
    def granted_hosts(self) -> frozenset[int]:
        """Primary keys of the hosts that one who is limited may operate."""
        return frozenset(self.grants.values_list("host_id", flat=True))

    def can_operate_on(self, host_pk: int | None) -> bool:
        """Whether they may change what is on that host; None is what concerns no host alone."""
        if not self.can_operate or not self.is_limited or self.is_admin:
            return self.can_operate
        return host_pk is None or host_pk in self.granted_hosts

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's admin asks this: it is for role admin, and for nobody else."""
        return self.is_admin

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_admin


class HostGrant(models.Model):
    """A host that a limited operator may operate; the grant goes with its host or its person."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    host = models.ForeignKey("hosts.Host", on_delete=models.CASCADE, related_name="grants")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "host"], name="host_granted_once")]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.host_id}"


class ApiToken(models.Model):
    """A key for programs: it acts as its person, with a role of its own that is not higher.

    Only the SHA-256 of the key is kept; 32 random bytes need no slow hash.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, help_text="Its first characters, to know it by.")
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=16, choices=User.Role.choices)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="token_name_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.user_id}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()
