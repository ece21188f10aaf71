"""Hosts and engines as YAML: written, compared, brought back, and no secret in it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from abm.fleet.export import fleet_now
from abm.fleet.shapes import FleetInvalid, read_fleet, written
from accounts.models import AuditEntry
from accounts.secrets import encrypted
from engines.models import Engine
from hosts.models import Host
from jobs.models import Job
from tests.engines.factories import make_engine, make_host, make_variant

pytestmark = pytest.mark.django_db
SECRETS = ("hf_very_secret", "plain_but_secret")


@pytest.fixture
def host() -> Host:
    return make_host(host_id="docker:local", host_type=Host.Type.DOCKER_LOCAL, display_name="Here")


@pytest.fixture
def engine(host: Host) -> Engine:
    """One with something in every setting that a file names."""
    variant = make_variant(name="speaker")
    return make_engine(
        host=host,
        name="speaker",
        display_name="Speaker",
        variant=variant,
        tag="latest",
        parameters={"speed": 1.5},
        environment={"CACHE": "on", "API_TOKEN": SECRETS[1]},
        secrets={"HF_TOKEN": encrypted(SECRETS[0])},
        idle_minutes=10,
        default_language="de",
        ports=[
            {
                "container_port": 7000,
                "host_port": 7100,
                "host_address": "127.0.0.1",
                "protocol": "tcp",
            }
        ],
        mounts=[{"source": "voices", "target": "/voices", "is_read_only": True}],
        limits={"cpus": 1.5, "memory_bytes": 4_000_000_000},
    )


def text_now() -> str:
    return written(fleet_now())


def changed(**engine: Any) -> str:
    """The file of now, with other words for the one engine."""
    values = yaml.safe_load(text_now())
    values["engines"][0].update(engine)
    return yaml.safe_dump(values)


def brought(text: str, tmp_path: Path, *words: str) -> str:
    """What `import` says of this file."""
    file, out = tmp_path / "fleet.yaml", io.StringIO()
    file.write_text(text)
    call_command("abm", "import", str(file), *words, stdout=out)
    return out.getvalue()


def test_what_was_written_down_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    assert brought(text_now(), tmp_path).strip() == "Nothing to change."
    assert text_now() == text_now()


def test_no_secret_is_written_down_and_each_is_named(engine: Engine) -> None:
    text = text_now()

    assert not [secret for secret in SECRETS if secret in text]
    assert "gAAAAA" not in text
    assert yaml.safe_load(text)["engines"][0]["secrets"] == ["API_TOKEN", "HF_TOKEN"]


WISHES: dict[str, Any] = {
    "keep_running": True,
    "default": True,
    "auto_updates": True,
    "idle_minutes": "default",
    "language": "en",
    "parameters": {"pitch": 70},
    "environment": {"CACHE": "off", "MORE": "1"},
    "container": {
        "ports": [],
        "mounts": [{"source": "other", "target": "/voices", "is_read_only": False}],
        "limits": {"cpus": 2.0},
    },
}


@pytest.mark.parametrize("name", WISHES)
def test_each_setting_is_shown_then_set_and_then_nothing_is_left(
    engine: Engine, tmp_path: Path, name: str
) -> None:
    text = changed(**{name: WISHES[name]})

    shown = brought(text, tmp_path, "--dry-run")
    assert shown.startswith(f"~ Speaker on Here: {name}: ")
    assert brought(text, tmp_path, "--dry-run") == shown
    assert "1 of 1 changes were made." in brought(text, tmp_path, "--yes")

    assert brought(text, tmp_path).strip() == "Nothing to change."
    assert yaml.safe_load(text_now())["engines"][0][name] == WISHES[name]


def test_a_new_environment_leaves_the_secrets(engine: Engine, tmp_path: Path) -> None:
    brought(changed(environment={}), tmp_path, "--yes")

    engine.refresh_from_db()
    assert engine.environment == {"API_TOKEN": SECRETS[1]}
    assert list(engine.secrets) == ["HF_TOKEN"]


def test_what_is_not_named_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    text = "abm: 1\nengines:\n- {host: 'docker:local', name: speaker, idle_minutes: 3}\n"

    assert "1 of 1" in brought(text, tmp_path, "--yes")

    engine.refresh_from_db()
    assert (engine.idle_minutes, engine.default_language) == (3, "de")


def test_a_host_is_renamed_and_moved_to_other_folders(host: Host, tmp_path: Path) -> None:
    values = yaml.safe_load(text_now())
    values["hosts"]["docker:local"].update(name="Box", samples="/srv/samples", enabled=False)
    text = yaml.safe_dump(values)

    assert "3 of 3" in brought(text, tmp_path, "--yes")

    host.refresh_from_db()
    assert (host.display_name, host.samples_path) == ("Box", "/srv/samples")
    assert not host.is_enabled
    assert brought(text, tmp_path).strip() == "Nothing to change."


def test_a_missing_engine_is_installed_once(host: Host, tmp_path: Path) -> None:
    make_variant(name="reader")
    host.host_type = Host.Type.SUBPROCESS
    host.save()
    text = "abm: 1\nengines:\n- {host: 'docker:local', name: reader, keep_running: true}\n"

    assert brought(text, tmp_path, "--dry-run").startswith("+ reader on Here: install reader")
    assert not Job.objects.exists()
    brought(text, tmp_path, "--yes")

    assert Job.objects.get().action == "install"
    assert "… reader on Here: an install is under way" in brought(text, tmp_path, "--yes")
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"host": "docker:gone"}, "there is no host docker:gone"),
        ({"name": "nobody"}, "the catalog has no nobody:latest in the source test source"),
        ({"tag": "2"}, "tag: latest -> '2': uninstall it first"),
        ({"secrets": ["HF_TOKEN", "OTHER_TOKEN"]}, "set OTHER_TOKEN on its page"),
    ],
)
def test_what_cannot_be_done_is_said(
    engine: Engine, tmp_path: Path, words: dict[str, Any], sentence: str
) -> None:
    said = brought(changed(**words), tmp_path, "--yes")

    assert said.startswith("! ")
    assert sentence in said
    assert "Nothing that abm can do by itself." in said


def test_a_remote_host_is_known_by_its_address(tmp_path: Path) -> None:
    remote = make_host(
        host_id="docker:1a2b3c4d",
        host_type=Host.Type.DOCKER_REMOTE,
        ssh_url="ssh://abm@box",
        display_name="Box",
    )
    text = text_now().replace("1a2b3c4d", "ffffffff")

    assert brought(text, tmp_path).strip() == "Nothing to change."
    remote.delete()
    said = brought(text, tmp_path)
    assert "! Box: this abm does not know this host. Add ssh://abm@box on the page Hosts" in said


def test_a_refused_change_is_told_and_the_others_are_made(engine: Engine, tmp_path: Path) -> None:
    text = changed(language="xx", idle_minutes=7)

    with pytest.raises(CommandError, match="does not know the language “xx”"):
        brought(text, tmp_path, "--yes")

    engine.refresh_from_db()
    assert engine.idle_minutes == 7


def test_a_mount_that_leads_out_of_the_allowed_folders_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    mounts = [{"source": "/etc", "target": "/voices", "is_read_only": False}]

    with pytest.raises(CommandError, match="/etc cannot be mounted"):
        brought(changed(container={"mounts": mounts}), tmp_path, "--yes")


def test_nobody_is_asked_where_nobody_is(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())

    with pytest.raises(CommandError, match="Add --yes"):
        brought(changed(idle_minutes=7), tmp_path)

    engine.refresh_from_db()
    assert engine.idle_minutes == 10


def test_the_audit_tells_that_it_came_from_the_command_line(engine: Engine, tmp_path: Path) -> None:
    brought(changed(idle_minutes=7), tmp_path, "--yes")

    assert AuditEntry.objects.get(verb="engine.idle").via == "command"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "It is empty"),
        ("abm: 2\n", "abm: Input should be 1"),
        ("abm: 1\nengine: []\n", "engine: Extra inputs"),
        ("abm: 1\nengines:\n- {name: x}\n", "engines.0.host: Field required"),
        ("abm: 1\nengines:\n- {host: a, name: x, keep_running: soon}\n", "keep_running"),
        ("a: &b 1\n", "anchor"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_words(text: str, sentence: str) -> None:
    with pytest.raises(FleetInvalid, match=sentence):
        read_fleet(text.encode())
