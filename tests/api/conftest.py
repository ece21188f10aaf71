"""A program with a token, and what it talks about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app
from django.http import HttpResponse
from django.test import Client

from abm import api_answers, api_rates
from accounts.models import User
from accounts.tokens import create_token
from engines import stored_settings
from tests.pages.factories import make_user


class Program:
    """Calls the API with a token, as JSON."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._client = Client(headers={"Authorization": f"Bearer {key}"})

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        answer: HttpResponse = self._client.generic(
            method,
            path,
            "" if body is None else data,
            content_type="application/json",
            headers=headers,
        )
        return answer

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        return self.ask("POST", path, body)

    def put(self, path: str, body: Any = None) -> HttpResponse:
        return self.ask("PUT", path, body)

    def patch(self, path: str, body: Any = None) -> HttpResponse:
        return self.ask("PATCH", path, body)

    def delete(self, path: str) -> HttpResponse:
        return self.ask("DELETE", path)


def program_of(user: User) -> Program:
    """A program of this person, with their own role."""
    return Program(create_token(user, name="test", role=user.role, user=None)[1])


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """What a web process keeps in memory belongs to one test."""
    api_answers.forget()
    api_rates.forget()
    stored_settings.forget()


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is sent to a worker; what would have been."""
    sent: list[str] = []
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda name, *args, **options: sent.append(name))
    return sent


@pytest.fixture
def program(db: None) -> Program:
    """An admin's."""
    return program_of(make_user("admin"))


@pytest.fixture
def operating(db: None) -> Program:
    return program_of(make_user("operator"))


@pytest.fixture
def viewing(db: None) -> Program:
    return program_of(make_user("viewer"))


As = Callable[[str], Program]


@pytest.fixture
def as_role(db: None) -> Iterator[As]:
    """A program of somebody with a role."""
    made: dict[str, Program] = {}

    def of(role: str) -> Program:
        if role not in made:
            made[role] = program_of(make_user(role, f"{role}-program"))
        return made[role]

    yield of
