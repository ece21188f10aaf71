"""People and what each of them may do."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


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

    class Meta:
        ordering = ["username"]

    @property
    def can_operate(self) -> bool:
        return self.is_active and self.role in {self.Role.OPERATOR, self.Role.ADMIN}

    @property
    def is_admin(self) -> bool:
        return self.is_active and self.role == self.Role.ADMIN

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's admin asks this: it is for role admin, and for nobody else."""
        return self.is_admin

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_admin
