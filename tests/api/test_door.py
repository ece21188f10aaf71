"""Who is let in, by which way, how often, and in what form a no comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import ApiToken, User
from accounts.refused import Refused
from accounts.rest import detail_of
from accounts.tokens import create_token
from tests.api.conftest import As, Program, program_of
from tests.engines.factories import make_host
from tests.pages.factories import browser_of, make_user

pytestmark = pytest.mark.django_db


def test_without_a_token_nobody_gets_in(client: Client) -> None:
    answer = client.get("/api/engine-hosts")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["detail"] == "[TOKEN_REQUIRED]"


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
def test_both_headers_take_the_token(client: Client, name: str) -> None:
    key = create_token(make_user("viewer"), name="x", role="viewer", user=None)[1]
    value = f"Bearer {key}" if name == "Authorization" else key

    assert client.get("/api/users/me", headers={name: value}).status_code == 200
    assert client.get("/api/users/me", headers={name: f"{value}x"}).status_code == 401


def test_a_wrong_token_is_not_made_good_by_a_cookie() -> None:
    browser = browser_of(make_user("admin"))

    answer = browser.get("/api/users/me", headers={"X-API-Key": "abm_wrong"})

    assert answer.status_code == 401
    assert answer.json()["detail"] == "[TOKEN_INVALID]"


def test_a_token_ends_by_being_revoked_by_time_and_with_its_person() -> None:
    for ending in ("revoked", "expired", "switched off"):
        user = make_user("viewer", ending.replace(" ", "-"))
        program = program_of(user)
        assert program.get("/api/users/me").status_code == 200
        if ending == "revoked":
            ApiToken.objects.filter(user=user).delete()
        elif ending == "expired":
            past = timezone.now() - timedelta(seconds=1)
            ApiToken.objects.filter(user=user).update(expires_at=past)
        else:
            User.objects.filter(pk=user.pk).update(is_active=False)

        assert program.get("/api/users/me").status_code == 401, ending


def test_a_token_has_its_own_role_and_never_more_than_its_person(client: Client) -> None:
    admin = make_user("admin")
    key = create_token(admin, name="weak", role="viewer", user=None)[1]
    weak = Program(key)

    assert weak.get("/api/users/me").json()["role"] == "viewer"
    assert weak.get("/api/users").status_code == 403
    refused = weak.post("/api/tokens", {"name": "strong", "role": "admin"})
    assert refused.status_code == 400
    assert refused.json()["detail"] == "[TOKEN_ROLE_TOO_HIGH]role:admin"
    User.objects.update(role="viewer")
    strong = ApiToken.objects.create(
        user=admin, name="old", prefix="abm_", sha256="0" * 64, role="admin"
    )
    assert strong.role == "admin"


def test_a_person_who_loses_a_role_takes_it_from_their_tokens() -> None:
    user = make_user("admin")
    program = program_of(user)
    assert program.get("/api/users").status_code == 200

    User.objects.update(role="operator")

    assert program.get("/api/users").status_code == 403


def test_use_is_noted_at_most_once_a_minute() -> None:
    program = program_of(make_user("viewer"))
    program.get("/api/users/me")
    first = ApiToken.objects.get().last_used_at
    program.get("/api/users/me")

    assert first is not None
    assert ApiToken.objects.get().last_used_at == first


def test_only_the_hash_of_a_key_is_kept() -> None:
    key = create_token(make_user("viewer"), name="x", role="viewer", user=None)[1]
    kept = ApiToken.objects.values().get()

    assert key not in str(kept)
    assert key.startswith(kept["prefix"])


def test_a_session_reads_and_needs_the_csrf_token_to_change() -> None:
    user = make_user("admin")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    make_host(host_id="docker:x", host_type="docker:local")

    assert strict.get("/api/engine-hosts").status_code == 200
    refused = strict.post("/api/engine-hosts/docker:x/disable")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "[CSRF_FAILED]"
    token = strict.get("/accounts/profile/").cookies["csrftoken"].value
    headers = {"X-CSRFToken": token}
    assert strict.post("/api/engine-hosts/docker:x/disable", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/engine-hosts", "/engine-hosts/", "/engine-hosts/local", "/health", "/health/"]
)
def test_paths_without_the_prefix_are_for_tokens_alone(path: str, client: Client) -> None:
    make_host(host_id="local")
    program = program_of(make_user("viewer"))

    assert program.get(path).status_code == 200
    assert program.get(path)["Content-Type"] == "application/json"
    browser = browser_of(make_user("admin"))
    assert "json" not in browser.get(path)["Content-Type"]
    assert client.get(path).status_code in {302, 404}
    assert "json" not in client.get(path)["Content-Type"]


def test_a_cookie_changes_nothing_without_the_prefix() -> None:
    host = make_host(host_id="docker:x", host_type="docker:local")
    browser = browser_of(make_user("admin"))

    for path in ("/engine-hosts/docker:x", "/engine-hosts/docker:x/"):
        assert browser.delete(path).status_code == 405
        assert browser.delete(path, headers={"X-API-Key": "wrong"}).status_code == 401
    host.refresh_from_db()


def test_the_front_page_is_a_page_for_browsers_and_json_for_tokens() -> None:
    program = program_of(make_user("viewer"))

    assert program.get("/").json()["status"] == "online"
    assert "html" in browser_of(make_user("admin")).get("/")["Content-Type"]


@pytest.mark.parametrize("path", ["/shutdown", "/api/shutdown", "/api/shutdown/"])
def test_nobody_shuts_abm_down(client: Client, program: Program, path: str) -> None:
    assert client.post(path).status_code == 403
    assert program.post(path).json()["detail"] == "[SHUTDOWN_FORBIDDEN]"


def test_what_is_nowhere_is_json(viewing: Program) -> None:
    for path in ("/api/nowhere", "/api/engine-hosts/a/b/c/d", "/api/"):
        assert viewing.get(path)["Content-Type"] == "application/json", path
    assert viewing.get("/api/nowhere").json() == {"detail": "Not Found"}
    wrong = viewing.ask("DELETE", "/api/engine-hosts")
    assert wrong.status_code == 405
    assert wrong.json() == {"detail": "Method Not Allowed"}
    assert "GET" in wrong["Allow"]


def test_a_token_that_asks_too_often_is_told_when_to_come_again(
    viewing: Program, settings: Settings
) -> None:
    settings.API_READS_PER_MINUTE = 12

    answers = [viewing.get("/api/users/me") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[-1]["Retry-After"].isdecimal()
    assert "[TOO_MANY_REQUESTS]" in answers[-1].json()["detail"]


def test_tokens_have_buckets_of_their_own(as_role: As, settings: Settings) -> None:
    settings.API_READS_PER_MINUTE = 6
    assert as_role("viewer").get("/api/users/me").status_code == 200
    assert as_role("viewer").get("/api/users/me").status_code == 429

    assert as_role("operator").get("/api/users/me").status_code == 200


def test_a_large_body_is_refused(program: Program) -> None:
    answer = program.post("/api/tokens", {"name": "x" * 2_000_000})

    assert answer.status_code == 413
    assert answer.json()["detail"] == "[BODY_TOO_LARGE]limit:1000000"


def test_lists_are_told_apart_by_an_etag(program: Program) -> None:
    make_host(host_id="docker:local", host_type="docker:local")
    first = program.get("/api/engine-hosts")
    again = program.get("/api/engine-hosts", **{"If-None-Match": first["ETag"]})

    assert again.status_code == 304
    assert again.content == b""
    assert program.get("/api/engine-hosts", **{"If-None-Match": "*"}).status_code == 304
    program.patch("/api/engine-hosts/docker:local", {"name": "Other"})
    changed = program.get("/api/engine-hosts", **{"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert changed.json()["hosts"][0]["displayName"] == "Other"


def test_a_long_answer_is_packed(program: Program) -> None:
    for _ in range(20):
        make_host()

    plain = program.get("/api/engine-hosts")
    packed = program.get("/api/engine-hosts", **{"Accept-Encoding": "gzip"})

    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(plain.content) / 4
    assert packed["ETag"] == plain["ETag"]


def test_values_of_errors_survive_the_contract_s_parser() -> None:
    refused = Refused("X_Y", "No.", error="a;b:c\nd%", **{"odd:key;": 1})

    assert detail_of(refused) == "[X_Y]error:a%3Bb:c%0Ad%25;odd%3Akey%3B:1"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        '{"name": NaN}',
        "[" * 100_000,
        '{"name": 1' + "0" * 5_000 + "}",
    ],
)
def test_what_is_no_object_of_json_is_a_422(program: Program, body: str) -> None:
    answer = program.post("/api/tokens", body)

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)
    assert "Traceback" not in answer.content.decode()


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "surprise": 1},
        {"name": 1},
        {"name": "x", "role": "emperor"},
        {"name": "x", "days": "7"},
        {"name": "x", "days": 10**30},
        {"name": ["x"]},
    ],
)
def test_what_does_not_fit_is_named(program: Program, body: object) -> None:
    answer = program.post("/api/tokens", body)

    assert answer.status_code == 422
    assert {"type", "loc", "msg"} <= answer.json()["detail"][0].keys()


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_nothing_can_keep_is_refused(program: Program, text: str) -> None:
    for body in ({"name": text}, {"name": "x", text: 1}, {"deep": [{"deeper": text}]}):
        answer = program.post("/api/tokens", body)

        assert answer.status_code == 400
        assert answer.json()["detail"] == "[TEXT_INVALID]"


def test_what_does_not_fit_is_told_back_where_it_is_short(program: Program) -> None:
    def told(body: object) -> list[object]:
        rows = program.post("/api/tokens", body).json()["detail"]
        return [row.get("input", "left out") for row in rows]

    assert told({"name": 7}) == [7]
    assert told({"name": None}) == [None]
    assert told({"name": "x", "role": "emperor"}) == ["emperor"]
    assert told({"name": "x" * 101}) == ["left out"]
    assert told({"name": ["x"]}) == ["left out"]
    assert told({}) == ["left out"]
    rows = program.get("/api/events/subscribe?channels=nothing").json()["detail"]
    assert [row["input"] for row in rows] == ["nothing"]


def test_a_password_is_not_told_back(program: Program) -> None:
    for password in (["geheim"], "geheim" * 90, {"geheim": 1}):
        wish = {"name": "x", "password": password, "role": "viewer"}
        answer = program.post("/api/users", wish)

        assert answer.status_code == 422
        assert "geheim" not in answer.content.decode()
