"""The list of hosts over the API, and adding one by SSH in the contract's steps; its keys.

Prepare, test, save. The contract believes whatever host key it is shown first. abm does not: a
test that meets a key nobody has accepted answers with its fingerprint, and `accept-key` says that
it is the right one.
"""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest, HttpResponseBase
from ninja import Router
from pydantic import Field

from accounts.models import User
from accounts.plain import PLAIN, UNSEEN
from accounts.refused import Refused
from accounts.rest import HostId, Name, Said, Shape, Text, Wish, bytes_of, endpoint, person
from accounts.secrets import SecretUnreadable
from hosts import remote
from hosts.api import found
from hosts.api_looks import draft_of
from hosts.api_shapes import HostsAnswer, HostShape, host_shape, hosts_answer
from hosts.models import RemoteAccess
from hosts.queries import hosts_shown
from hosts.ssh.key_line import key_line
from hosts.ssh.keys import opened

router = Router(tags=["hosts"], by_alias=True)
ADMIN = User.Role.ADMIN
WAY = rf"^ *([sS][sS][hH]://)?[^\s@/{UNSEEN}]+@[^\s@/{UNSEEN}]+/* *$"
"""For the document: another one is the contract's 400, not a 422."""
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=300,
        pattern=PLAIN,
        examples=["ssh://me@box"],
        json_schema_extra={"pattern": WAY},
    ),
]


class PrepareWish(Wish):
    """A host to be added: its name, and `ssh://user@host[:port]`."""

    name: Name
    ssh_url: Url


class AddWish(PrepareWish):
    """The same again once its test went well; abm itself finds out what it has."""

    host_id: Text | None = None
    has_gpu: bool | None = Field(None, description="Ignored: abm looks by itself.")


class AcceptWish(Wish):
    """The fingerprint of a host key, as `hostKeys` told it: `SHA256:...`."""

    fingerprint: Text


class Prepared(Shape):
    """A host's key, and how it gets there: paste the command over there."""

    success: bool = True
    host_id: str
    public_key: str
    install_command: str
    authorized_keys_entry: str


class PublicKey(Shape):
    """abm's key for a host; `success` is false for one that needs none."""

    success: bool
    host_id: str
    public_key: str | None
    install_command: str | None


def prepared_shape(access: RemoteAccess) -> Prepared:
    """How its key gets on a host. Raises Refused SSH_KEY_UNREADABLE."""
    public, command = _key_of(access)
    return Prepared(
        host_id=access.mark,
        public_key=public,
        install_command=command,
        authorized_keys_entry=key_line(public, access.mark),
    )


def _key_of(access: RemoteAccess) -> tuple[str, str]:
    """The public half of its key, or of its next one, and the command for Linux."""
    try:
        public = opened(access.pending_key or access.key).public
        return public, remote.guides_of(access)[0].command
    except SecretUnreadable as error:
        raise Refused("SSH_KEY_UNREADABLE", str(error), hostId=access.mark) from error


@endpoint(router, "GET", "/engine-hosts", response=HostsAnswer, summary="List hosts")
def list_hosts(request: HttpRequest) -> HttpResponseBase:
    return bytes_of(hosts_answer(hosts_shown().defer("strays", "disk", "model_places")))


@endpoint(
    router,
    "POST",
    "/engine-hosts/prepare",
    response=Prepared,
    role=ADMIN,
    errors=[409],
    summary="Begin adding a host: make its key",
)
def prepare(request: HttpRequest, wish: PrepareWish) -> HttpResponseBase:
    """Everybody adds one at a time; another address throws the former key away."""
    draft = remote.begin_adding(name=wish.name, url=wish.ssh_url, user=person(request))
    return bytes_of(prepared_shape(draft))


@endpoint(
    router,
    "DELETE",
    "/engine-hosts/prepare/{host_id}",
    response=Said,
    role=ADMIN,
    summary="Give up adding a host",
)
def give_up(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    """Its key is thrown away. A host that was saved keeps its own."""
    draft = draft_of(person(request), host_id)
    if draft is None:
        return bytes_of(Said(message="Nothing to clean up"))
    remote.cancel_adding(draft, user=person(request))
    return bytes_of(Said(message=f"Cleaned up host {draft.mark}"))


@endpoint(
    router,
    "POST",
    "/engine-hosts",
    response=HostShape,
    role=ADMIN,
    errors=[404, 409],
    summary="Add the host that was prepared and tested",
)
def add_host(request: HttpRequest, wish: AddWish) -> HttpResponseBase:
    """One that was not prepared is prepared now, and refused until its test went well."""
    user = person(request)
    draft = remote.being_added(user)
    if wish.host_id and (draft is None or draft.mark != wish.host_id):
        raise Refused(
            "HOST_NOT_FOUND",
            f"{wish.host_id[:80]} is not being added. Prepare it first.",
            status=404,
            hostId=wish.host_id[:80],
        )
    draft = remote.begin_adding(name=wish.name, url=wish.ssh_url, user=user)
    host = remote.save_host(draft, user=user)
    return bytes_of(host_shape(found(host.host_id)))


@endpoint(
    router,
    "GET",
    "/engine-hosts/{host_id}/public-key",
    response=PublicKey,
    role=ADMIN,
    errors=[404, 409],
    summary="Read abm's public key for a host",
)
def public_key(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    access = _access(request, host_id)
    if access is None:
        return bytes_of(
            PublicKey(success=False, host_id=host_id, public_key=None, install_command=None)
        )
    public, command = _key_of(access)
    return bytes_of(
        PublicKey(success=True, host_id=host_id, public_key=public, install_command=command)
    )


@endpoint(
    router,
    "POST",
    "/engine-hosts/{host_id}/accept-key",
    response=Said,
    role=ADMIN,
    errors=[404, 409],
    summary="Accept a host key that was compared",
)
def accept_key(request: HttpRequest, host_id: HostId, wish: AcceptWish) -> HttpResponseBase:
    """From now on this key is believed, and no other."""
    access = _remote(request, host_id)
    remote.accept_key(access, fingerprint=wish.fingerprint, user=person(request))
    return bytes_of(Said(message=f"Host key of '{access}' accepted"))


@endpoint(
    router,
    "POST",
    "/engine-hosts/{host_id}/next-key",
    response=Prepared,
    role=ADMIN,
    errors=[404, 409],
    summary="Make the next key for a host",
)
def next_key(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    """The present one is used until a test finds that the host lets the new one in."""
    access = remote.begin_rotation(_remote(request, host_id), user=person(request))
    return bytes_of(prepared_shape(access))


@endpoint(
    router,
    "DELETE",
    "/engine-hosts/{host_id}/next-key",
    response=Said,
    role=ADMIN,
    errors=[404, 409],
    summary="Keep the key that a host has",
)
def keep_key(request: HttpRequest, host_id: HostId) -> HttpResponseBase:
    access = remote.cancel_rotation(_remote(request, host_id), user=person(request))
    return bytes_of(Said(message=f"'{access}' keeps its key"))


def _access(request: HttpRequest, host_id: str) -> RemoteAccess | None:
    """Of a host, or of the one being added; None for a host of this machine. Raises Refused."""
    draft = draft_of(person(request), host_id)
    if draft is not None:
        return draft
    return RemoteAccess.objects.select_related("host").filter(host=found(host_id)).first()


def _remote(request: HttpRequest, host_id: str) -> RemoteAccess:
    access = _access(request, host_id)
    if access is None:
        raise Refused(
            "HOST_NOT_REMOTE", f"{host_id} is part of this machine; it has no keys.", hostId=host_id
        )
    return access
