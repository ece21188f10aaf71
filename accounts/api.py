"""People and their tokens over the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, cast

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router
from pydantic import Field

from accounts import services
from accounts.host_grants import GRANTS, hosts_of, limit_to_hosts
from accounts.models import ApiToken, User
from accounts.refused import Refused
from accounts.rest import WHOLE, Id, Name, Said, Shape, Text, Wish, bytes_of, endpoint, person
from accounts.tokens import MOST_DAYS, create_token, revoke_token

router = Router(tags=["people"], by_alias=True)
ADMIN = User.Role.ADMIN
Role = Literal["viewer", "operator", "admin"]
Password = Annotated[str, Field(min_length=1, max_length=500)]


class PersonShape(Shape):
    """Somebody who signs in."""

    user_id: int
    name: str
    role: Role
    is_active: bool
    hosts: list[str] | None = Field(description="Operates these only; null is all.")
    last_login: datetime | None
    created_at: datetime


class PeopleAnswer(Shape):
    """Everybody."""

    success: bool = True
    users: list[PersonShape]
    count: int


class PersonWish(Wish):
    """Somebody new."""

    name: Name
    password: Password
    role: Role = "viewer"


class PersonChange(Wish):
    """What is absent stays as it is."""

    role: Role | None = None
    is_active: bool | None = None
    password: Password | None = None
    old_password: Password | None = Field(None, description="Wanted with one's own new one.")
    hosts: list[Text] | None = Field(
        None, max_length=1_000, description="Operates these only, by their ids; null is all."
    )


class TokenShape(Shape):
    """A token; its key is not among what is kept."""

    token_id: int
    name: str
    prefix: str
    role: Role
    user: str
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


class TokensAnswer(Shape):
    """Tokens, the newest first."""

    success: bool = True
    tokens: list[TokenShape]
    count: int


class TokenWish(Wish):
    """A token for oneself; without `days` it is good until it is revoked."""

    name: Name
    role: Role = "viewer"
    days: Annotated[int, Field(ge=1, le=MOST_DAYS), WHOLE] | None = None


class TokenMade(Shape):
    """A new token and its key, which is never told again."""

    success: bool = True
    token: TokenShape
    key: str


def person_shape(user: User) -> PersonShape:
    return PersonShape(
        user_id=user.pk,
        name=user.username,
        role=cast(Role, user.role),
        is_active=user.is_active,
        hosts=hosts_of(user),
        last_login=user.last_login,
        created_at=user.date_joined,
    )


def token_shape(token: ApiToken) -> TokenShape:
    return TokenShape(
        token_id=token.pk,
        name=token.name,
        prefix=token.prefix,
        role=cast(Role, token.role),
        user=token.user.username,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        created_at=token.created_at,
    )


def _found(pk: int) -> User:
    user = User.objects.filter(pk=pk).first()
    if user is None:
        raise Refused("USER_NOT_FOUND", "There is no such person.", status=404, userId=pk)
    return user


@endpoint(router, "GET", "/users/me", response=PersonShape, summary="Who am I")
def me(request: HttpRequest) -> HttpResponse:
    """The role is that of the token, which may be lower than one's own."""
    return bytes_of(person_shape(person(request)))


@endpoint(router, "GET", "/users", response=PeopleAnswer, role=ADMIN, summary="List people")
def list_users(request: HttpRequest) -> HttpResponse:
    shapes = [person_shape(user) for user in User.objects.prefetch_related(GRANTS)]
    return bytes_of(PeopleAnswer(users=shapes, count=len(shapes)))


@endpoint(
    router,
    "POST",
    "/users",
    response=PersonShape,
    role=ADMIN,
    errors=[400, 409],
    summary="Add a person",
)
def add_user(request: HttpRequest, wish: PersonWish) -> HttpResponse:
    made = services.add_user(
        name=wish.name, password=wish.password, role=wish.role, user=person(request)
    )
    return bytes_of(person_shape(made))


@endpoint(
    router,
    "PATCH",
    "/users/{user_id}",
    response=PersonShape,
    role=ADMIN,
    errors=[400, 404, 409],
    summary="Change a person's role, password, hosts, or whether they may sign in",
)
def change_user(request: HttpRequest, user_id: Path[Id], wish: PersonChange) -> HttpResponse:
    changed, user = _found(user_id), person(request)
    if wish.role is not None:
        services.set_role(changed, role=wish.role, user=user)
    if wish.is_active is not None:
        services.set_active(changed, is_active=wish.is_active, user=user)
    if wish.password is not None:
        services.set_password(
            changed, password=wish.password, old=wish.old_password or "", user=user
        )
    if "hosts" in wish.model_fields_set:
        limit_to_hosts(changed, hosts=wish.hosts, user=user)
    return bytes_of(person_shape(_found(user_id)))


@endpoint(
    router,
    "DELETE",
    "/users/{user_id}",
    response=Said,
    role=ADMIN,
    errors=[404, 409],
    summary="Delete a person",
)
def remove_user(request: HttpRequest, user_id: Path[Id]) -> HttpResponse:
    """Their tokens and sessions end. Jobs and the audit keep what they did."""
    removed = _found(user_id)
    services.remove_user(removed, user=person(request))
    return bytes_of(Said(message=f"'{removed.username}' was deleted"))


class TokensWanted(Shape):
    """Whose: one's own, or for admins everybody's."""

    all: bool = False


@endpoint(router, "GET", "/tokens", response=TokensAnswer, summary="List tokens")
def list_tokens(request: HttpRequest, wanted: Query[TokensWanted]) -> HttpResponse:
    user = person(request)
    tokens = ApiToken.objects.select_related("user")
    if not (wanted.all and user.is_admin):
        tokens = tokens.filter(user_id=user.pk)
    shapes = [token_shape(token) for token in tokens]
    return bytes_of(TokensAnswer(tokens=shapes, count=len(shapes)))


@endpoint(router, "POST", "/tokens", response=TokenMade, errors=[400, 409], summary="Make a token")
def add_token(request: HttpRequest, wish: TokenWish) -> HttpResponse:
    user = person(request)
    token, key = create_token(
        _found(user.pk), name=wish.name, role=wish.role, days=wish.days, user=user
    )
    return bytes_of(TokenMade(token=token_shape(token), key=key))


@endpoint(
    router,
    "DELETE",
    "/tokens/{token_id}",
    response=Said,
    errors=[404],
    summary="Revoke a token",
)
def remove_token(request: HttpRequest, token_id: Path[Id]) -> HttpResponse:
    """One's own; an admin may revoke anybody's."""
    user = person(request)
    token = ApiToken.objects.select_related("user").filter(pk=token_id).first()
    if token is None or (token.user_id != user.pk and not user.is_admin):
        raise Refused("TOKEN_NOT_FOUND", "There is no such token.", status=404, tokenId=token_id)
    revoke_token(token, user=user)
    return bytes_of(Said(message=f"Token '{token.name}' was revoked"))
