"""`manage.py abm ...`: the same services as pages and the API, from a shell."""

from __future__ import annotations

import io
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from rich.console import Console

from abm.embedded import Tail
from abm.management.commands.abm import THINGS, Command
from accounts.audit_models import AuditEntry
from accounts.models import ApiToken, User
from catalog.models import CatalogSource
from engines import work
from engines.models import Engine
from hosts.models import Host
from hosts.runners.base import ImageState, InstallFailed
from hosts.runners.fake import FakeEngine, FakeHost, FakeRunner
from hosts.runners.registry import RUNNERS
from hosts.work import EXAMINERS, Examined
from jobs import terminal
from jobs.models import Event, Job
from jobs.terminal import Bar
from tests.engines.factories import make_engine, make_host, variant_of
from tests.engines.speaking import speaking_engine
from tests.pages.factories import make_job, make_user, write_lines

pytestmark = pytest.mark.django_db
VOICE = "voice:docker:local"


def abm(*words: object) -> str:
    out = io.StringIO()
    call_command("abm", *map(str, words), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def told(*words: object) -> Any:
    return json.loads(abm(*words, "--json"))


@pytest.fixture
def docker() -> Host:
    return make_host(
        host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL, display_name="Docker here"
    )


@pytest.fixture
def fake(
    transactional_db: None, docker: Host, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeHost]:
    """A host in memory, and a worker that does each job as soon as it is asked for."""
    fake = FakeHost()
    fake.offered["registry.example/voice:latest"] = ImageState("sha256:" + "1" * 64)
    monkeypatch.setitem(RUNNERS, Host.Type.DOCKER_LOCAL, lambda setup: FakeRunner(fake))

    def send(name: str, args: list[int], **options: object) -> None:
        if name == "engines.run_job":
            work.run(args[0])

    monkeypatch.setattr(current_app._get_current_object(), "send_task", send)
    with speaking_engine() as engine:
        fake.url = engine.url
        yield fake


def installed(fake: FakeHost) -> Engine:
    """The voice, as if it had been installed before."""
    fake.engines["voice"] = FakeEngine()
    image = fake.offered["registry.example/voice:latest"]
    fake.images |= {image.id: image, "registry.example/voice:latest": image}
    host = Host.objects.get()
    return make_engine(host=host, name="voice", image="registry.example/voice", tag="latest")


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes what is asked for."""
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda *args, **options: None)
    monkeypatch.setattr(terminal, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(terminal, "NOBODY_SECONDS", 0.05)


class TestHosts:
    def test_they_are_listed_for_people_and_for_programs(self, docker: Host) -> None:
        lines = abm("hosts", "list").splitlines()

        assert lines[0].split() == ["HOST", "NAME", "STATE", "ENGINES", "GPU", "ADDRESS", "WHY"]
        assert lines[1].startswith("docker:local  Docker here  available")
        assert told("hosts", "list")[0]["hostId"] == "docker:local"

    def test_one_is_renamed_switched_and_removed(self, docker: Host) -> None:
        assert told("hosts", "rename", "docker:local", "Box")["displayName"] == "Box"
        assert told("hosts", "disable", "docker:local")["isEnabled"] is False
        assert told("hosts", "enable", "docker:local")["isEnabled"] is True
        assert told("hosts", "remove", "docker:local")["success"] is True
        assert not Host.objects.exists()

    def test_one_with_engines_is_not_removed(self, docker: Host) -> None:
        make_engine(host=docker)

        with pytest.raises(CommandError, match="Uninstall it first"):
            abm("hosts", "remove", "docker:local")

    def test_one_is_looked_at_here_and_now(
        self, docker: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = Examined(Host.State.PERMISSION_DENIED, "The socket is not yours.")
        monkeypatch.setitem(EXAMINERS, Host.Type.DOCKER_LOCAL, lambda host: state)

        assert told("hosts", "test", "docker:local")["errorCategory"] == "DOCKER_PERMISSION_DENIED"
        with pytest.raises(CommandError, match="The socket is not yours"):
            abm("hosts", "test", "docker:local")

    def test_what_is_not_there_is_named(self) -> None:
        with pytest.raises(CommandError, match="There is no host nowhere"):
            abm("hosts", "show", "nowhere")

    def test_facts_and_cards_are_told(self, docker: Host) -> None:
        Host.objects.update(facts={"cpu_count": 4})

        assert told("hosts", "facts", "docker:local")["facts"] == {"cpu_count": 4}
        assert told("hosts", "gpus", "docker:local") == []


class TestEngines:
    def test_an_engine_is_installed_started_stopped_and_uninstalled(self, fake: FakeHost) -> None:
        variant_of("registry.example/voice")

        assert "done" in abm("engines", "install", VOICE)
        assert told("engines", "list")[0]["variantId"] == VOICE
        assert told("engines", "start", VOICE)["job"]["status"] == "succeeded"
        assert Engine.objects.get().is_running
        assert abm("engines", "start", VOICE) == "Voice runs already.\n"
        abm("engines", "stop", VOICE)
        assert abm("engines", "list").splitlines()[1].startswith(f"{VOICE}  tts   stopped")
        abm("engines", "uninstall", VOICE)
        assert told("engines", "list") == []

    def test_what_it_did_is_in_the_audit(self, fake: FakeHost) -> None:
        installed(fake)

        abm("engines", "start", VOICE)

        entry = AuditEntry.objects.get(verb="engine.start")
        assert (entry.via, entry.username) == (AuditEntry.Via.COMMAND, "")

    def test_a_failed_job_fails_the_command(self, fake: FakeHost) -> None:
        variant_of("registry.example/voice")
        fake.fails["install"] = InstallFailed("The registry is closed on Sundays.")

        with pytest.raises(CommandError, match="closed on Sundays"):
            abm("engines", "install", VOICE)

    def test_a_log_is_read(self, fake: FakeHost) -> None:
        make_engine(host=Host.objects.get(), name="voice")
        fake.engines["voice"] = FakeEngine(log=["one", "two", "three"])

        assert abm("engines", "log", VOICE, "--tail", 2) == "two\nthree\n"

    def test_it_is_switched_and_kept_running(self, docker: Host) -> None:
        make_engine(host=docker, name="voice")

        assert told("engines", "disable", VOICE)["isEnabled"] is False
        assert told("engines", "enable", VOICE)["isEnabled"] is True
        assert told("engines", "keep-running", VOICE, "on")["keepRunning"] is True

    def test_without_a_worker_it_says_so_and_leaves_the_job(
        self, transactional_db: None, unheard: None
    ) -> None:
        make_engine(host=make_host(host_id="docker:local"), name="voice")

        with pytest.raises(CommandError, match="Start abm"):
            abm("engines", "start", VOICE)
        assert Job.objects.get().status == Job.Status.QUEUED

    def test_it_need_not_be_waited_for(self, transactional_db: None, unheard: None) -> None:
        make_engine(host=make_host(host_id="docker:local"), name="voice")

        said = json.loads(abm("engines", "start", VOICE, "--no-wait", "--json"))

        assert said["job"]["status"] == "queued"

    def test_it_waits_for_its_host_or_fails_as_is_chosen(
        self, transactional_db: None, unheard: None
    ) -> None:
        make_engine(host=make_host(host_id="docker:local"), name="voice")

        abm("engines", "start", VOICE, "--no-wait", "--when-away", "fail")

        assert Job.objects.get().params["when_away"] == "fail"


class TestJobs:
    def test_they_are_listed_shown_and_cancelled(self) -> None:
        job = make_job("queued", subject="Tiny")
        make_job("failed", error="No room.")

        assert [row["status"] for row in told("jobs", "list")] == ["failed", "queued"]
        assert [row["jobId"] for row in told("jobs", "list", "--status", "open")] == [job.pk]
        assert told("jobs", "show", job.pk)["job"]["subject"] == "Tiny"
        assert abm("jobs", "cancel", job.pk) == "Install Tiny was cancelled.\n"
        with pytest.raises(CommandError, match="cancelled"):
            abm("jobs", "wait", job.pk)

    def test_a_log_tells_its_gaps(self) -> None:
        job = make_job("failed", error="No room.")
        write_lines(job, 1, 5)

        text = abm("jobs", "log", job.pk)

        assert "3 lines skipped" in text
        assert text.rstrip().endswith("No room.")

    def test_one_is_done_again(self, fake: FakeHost) -> None:
        engine = installed(fake)
        job = make_job(
            "failed", engine=engine, host=engine.host, action="start", task="engines.run_job"
        )

        assert told("jobs", "retry", job.pk)["job"]["retryOf"] == job.pk

    def test_its_progress_is_drawn_with_bytes_and_the_time_that_is_left(self) -> None:
        job = make_job(
            "running",
            subject="[voice] on box",
            percent=40,
            progress_unit="bytes",
            progress_done=400_000_000,
            progress_total=1_000_000_000,
            rate=10_000_000,
        )
        screen = io.StringIO()
        bar = Bar.of(job, console=Console(file=screen, force_terminal=True, width=160))
        with bar.progress:
            bar.show(job)

        drawn = screen.getvalue()
        assert "Install [voice] on box" in drawn
        assert "40%" in drawn
        assert "400.0 MB of 1,000.0 MB" in drawn
        assert "60 s left" in drawn


class TestCatalog:
    def test_entries_and_sources_are_listed(self) -> None:
        variant_of("registry.example/voice")

        assert "voice" in abm("catalog", "list", "--type", "tts")
        assert told("catalog", "list", "--type", "stt") == []
        assert told("catalog", "show", "voice")["variants"][0]["tag"] == "latest"
        assert told("catalog", "sources")[0]["name"] == "test source"

    def test_sources_come_and_go(self) -> None:
        made = told("catalog", "add", "ours", "https://engines.example/catalog.yaml")
        pk = made["sourceId"]

        assert told("catalog", "disable", pk)["isEnabled"] is False
        Job.objects.all().delete()
        assert abm("catalog", "remove", pk) == "ours was removed.\n"
        assert told("catalog", "sources") == []
        with pytest.raises(CommandError, match="begins with http"):
            abm("catalog", "add", "ours", "file:///etc/passwd")

    def test_a_sync_without_sources_says_so(self) -> None:
        assert abm("catalog", "sync") == "No online source is switched on.\n"

    def test_a_source_that_is_not_there_is_named(self) -> None:
        with pytest.raises(CommandError, match="no source 4711"):
            abm("catalog", "sync", 4711)

    def test_a_source_made_here_has_nothing_to_fetch(self) -> None:
        source = CatalogSource.objects.create(name="custom", kind=CatalogSource.Kind.CUSTOM)

        with pytest.raises(CommandError, match="nothing to sync"):
            abm("catalog", "sync", source.pk)


def test_a_job_of_another_process_is_taken_up_within_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """abm without servers beside it has a queue in memory, which a command cannot reach."""
    rung: list[tuple[str, list[int]]] = []
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda name, args, **more: rung.append((name, args)))
    waiting, ended = make_job("queued"), make_job("succeeded")
    for job in (waiting, ended):
        Event.objects.create(
            topic="jobs", name="job.changed", ids={"pk": job.pk}, origin="another process"
        )

    Tail()._push_after(0)

    assert rung == [("engines.run_job", [waiting.pk])]


def test_a_token_is_printed_once_listed_and_ended() -> None:
    make_user("operator", "olga")
    key = abm("token", "create", "--user", "olga", "--name", "ci", "--role", "viewer").strip()

    assert key.startswith("abm_")
    row = told("token", "list")[0]
    assert (row["user"], row["name"], row["role"]) == ("olga", "ci", "viewer")
    assert key not in abm("token", "list")
    abm("token", "revoke", "--user", "olga", "--name", "ci")
    assert not ApiToken.objects.exists()


def test_every_verb_can_answer_in_json() -> None:
    things = next(action for action in _parser()._actions if action.dest == "thing").choices
    assert things is not None
    silent = {
        f"{thing} {name}"
        for thing in THINGS
        for action in things[thing]._actions  # type: ignore[call-overload]
        for name, verb in (action.choices.items() if action.dest == "verb" else ())
        if "--json" not in verb.format_help()
    }

    assert silent == set()


def _parser() -> ArgumentParser:
    return Command().create_parser("manage.py", "abm")


def test_logs_are_told_in_json_as_well() -> None:
    job = make_job("failed")
    write_lines(job, 1, 2)

    said = told("jobs", "log", job.pk)

    assert [line["number"] for line in said["lines"]] == [1, 2]
    assert said["lastNumber"] == 2
    engine = make_engine(attached_url="http://127.0.0.1:1", name="lines")
    assert told("engines", "log", engine.address) == {
        "success": True,
        "variantId": engine.address,
        "lines": [],
        "count": 0,
    }


def test_a_model_is_chosen_and_an_engine_made_the_default(fake: FakeHost) -> None:
    engine = installed(fake)
    for name in ("one", "two"):
        engine.engine_models.create(name=name)

    assert told("engines", "start", VOICE, "--model", "two")["job"]["status"] == "succeeded"
    assert told("engines", "show", VOICE)["loadedModel"] == "two"
    abm("engines", "load", VOICE, "one")
    assert told("engines", "show", VOICE)["loadedModel"] == "one"
    with pytest.raises(CommandError, match="has no model"):
        abm("engines", "load", VOICE, "nine")
    assert told("engines", "default", VOICE)["isDefault"] is True


def test_people_and_tokens_are_told_in_the_words_of_the_api() -> None:
    made = told("users", "add", "olga", "--role", "operator", "--random")

    assert (made["name"], made["role"], made["isActive"]) == ("olga", "operator", True)
    assert User.objects.get().check_password(made["password"])
    assert told("users", "list")[0] == {key: made[key] for key in made if key != "password"}
    assert abm("users", "list").split()[:2] == ["NAME", "ROLE"]
    assert told("users", "link", "olga")["url"].startswith("http")
    assert told("users", "role", "olga", "viewer")["success"] is True
    token = told("token", "create", "--user", "olga", "--name", "ci")
    assert token["key"].startswith(token["token"]["prefix"])
    assert told("token", "list") == [token["token"]]
    assert (
        "ci of olga was revoked"
        in told("token", "revoke", "--user", "olga", "--name", "ci")["message"]
    )


def test_a_refusal_is_json_as_well() -> None:
    out = io.StringIO()

    with pytest.raises(CommandError, match="There is no engine nope"):
        call_command("abm", "engines", "start", "nope", "--json", stdout=out)

    assert json.loads(out.getvalue())["detail"] == "[ENGINE_NOT_FOUND]variantId:nope"


def test_a_token_may_do_no_more_than_its_person() -> None:
    make_user("viewer", "vera")

    with pytest.raises(CommandError, match="viewer at most"):
        abm("token", "create", "--user", "vera", "--name", "ci", "--role", "admin")
