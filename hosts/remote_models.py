"""How a host of the type `docker:remote` is reached."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from hosts.ssh.address import SshAddress, parse
from hosts.ssh.known import HostKey


class RemoteAccess(models.Model):
    """The SSH way to one host. Without a host it is what a person is adding just now.

    A person adds one at a time; leaving the wizard, or a day, removes it with its key.
    """

    host = models.OneToOneField(
        "hosts.Host", null=True, blank=True, on_delete=models.CASCADE, related_name="access"
    )
    owner_pk = models.BigIntegerField(
        null=True, blank=True, unique=True, help_text="Who is adding it."
    )
    name = models.CharField(max_length=100, help_text="Of the host that is being added.")
    mark = models.CharField(
        max_length=64, unique=True, help_text="The host's id, and what marks abm's key over there."
    )
    address = models.CharField(max_length=300, help_text="ssh://user@host[:port]")
    key = models.TextField(editable=False, help_text="Encrypted; see hosts/ssh/keys.py.")
    pending_key = models.TextField(
        editable=False, blank=True, help_text="The next one, until the host lets it in."
    )
    known_keys = models.JSONField(
        default=list, blank=True, help_text="Host keys that an admin has accepted, as lines."
    )
    offered_keys = models.JSONField(
        default=list, blank=True, help_text="What the host showed last, where that is another."
    )
    checks = models.JSONField(default=list, blank=True, help_text="Rows of hosts.remote_work.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When the last test ended.")
    check_asked_at = models.DateTimeField(null=True, blank=True)
    is_always_on = models.BooleanField(
        default=True, help_text="Off: it may be away without that being a trouble."
    )
    waits_while_away = models.BooleanField(
        default=True, help_text="Off: jobs for it fail while it is away, instead of waiting."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(host=None, owner_pk__isnull=False)
                | Q(host__isnull=False, owner_pk=None),
                name="access_of_host_or_person",
            )
        ]

    def __str__(self) -> str:
        return self.host.display_name if self.host is not None else self.name

    @property
    def place(self) -> SshAddress:
        return parse(self.address)

    @property
    def known(self) -> tuple[HostKey, ...]:
        return tuple(map(HostKey.from_line, self.known_keys))

    @property
    def offered(self) -> tuple[HostKey, ...]:
        return tuple(map(HostKey.from_line, self.offered_keys))

    @property
    def is_being_checked(self) -> bool:
        asked, done = self.check_asked_at, self.checked_at
        return asked is not None and (done is None or done < asked)

    @property
    def is_proved(self) -> bool:
        """Whether the last test got as far as Docker's answer."""
        return self._passed("socket", "version", "ports") and not self.is_being_checked

    @property
    def is_let_in(self) -> bool:
        """Whether the host took the key at the last test."""
        return self._passed("authentication") and not self.is_being_checked

    def _passed(self, *keys: str) -> bool:
        found = {str(row["key"]): row["state"] for row in self.checks}
        return all(found.get(key) in {"passed", "warned"} for key in keys)
