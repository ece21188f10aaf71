"""Links that let one person do one thing once: signed, with no row to be kept or forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.core import signing
from django.utils.crypto import salted_hmac

from accounts.models import User
from accounts.refused import Refused


@dataclass(frozen=True, slots=True)
class OnceLink:
    """A kind of such links: good for `seconds`, and until `state` of the person is another."""

    salt: str
    seconds: int
    state: Callable[[User], str]
    used_up: str
    """What is said of one that is good no more."""

    def token(self, person: User) -> str:
        """What stands in the link."""
        return signing.dumps({"pk": person.pk, "state": self._digest(person)}, salt=self.salt)

    def person_of(self, token: str) -> User:
        """Whom the link is for. Raises Refused LINK_INVALID."""
        refused = Refused("LINK_INVALID", self.used_up, status=404)
        try:
            said = signing.loads(token, salt=self.salt, max_age=self.seconds)
        except signing.BadSignature as error:
            raise refused from error
        person = User.objects.filter(pk=said["pk"], is_active=True).first()
        if person is None or said["state"] != self._digest(person):
            raise refused
        return person

    def _digest(self, person: User) -> str:
        return salted_hmac(self.salt, self.state(person)).hexdigest()
