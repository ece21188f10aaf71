"""`manage.py abm hosts`: machines that run engines, from a shell."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from hosts import adding_command, remote, services
from hosts.api import found
from hosts.api_shapes import (
    HostShape,
    facts_shape,
    gpus_answer,
    host_shape,
    hosts_answer,
    tested_shape,
)
from hosts.queries import hosts_shown
from hosts.removal import delete_host
from hosts.work import probe_asked
from jobs.terminal import Terminal, verb

COLUMNS = {
    "host_id": "HOST",
    "display_name": "NAME",
    "state": "STATE",
    "engine_count": "ENGINES",
    "has_gpu": "GPU",
    "ssh_url": "ADDRESS",
    "state_text": "WHY",
}


def add_arguments(verbs: Any) -> None:
    """The verbs below `hosts`."""
    verb(verbs, "list", "every host")
    adding_command.add_arguments(verbs)
    for name, words in {
        "show": "one host",
        "facts": "what a host said of itself",
        "gpus": "a host's graphics cards",
        "test": "look at a host now",
        "enable": "switch a host on",
        "disable": "switch a host off; its engines are not touched",
    }.items():
        verb(verbs, name, words).add_argument("host", help="such as docker:local")
    rename = verb(verbs, "rename", "give a host another name")
    rename.add_argument("host")
    rename.add_argument("name")
    remove = verb(verbs, "remove", "take a host without engines off the list")
    remove.add_argument("host")
    remove.add_argument(
        "--forget", action="store_true", help="a remote one with its engines, which stay there"
    )


def handle(options: dict[str, Any], terminal: Terminal) -> None:
    """Do what was asked. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal)


def _shape(host_id: str) -> HostShape:
    return host_shape(found(host_id))


def _list(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.rows(hosts_answer(hosts_shown()).hosts, COLUMNS)


def _show(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.one(_shape(options["host"]))


def _facts(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.one(facts_shape(found(options["host"])))


def _gpus(options: dict[str, Any], terminal: Terminal) -> None:
    answer = gpus_answer(found(options["host"]))
    if answer.error and not terminal.is_json:
        raise CommandError(answer.error)
    names = {"uuid": "CARD", "name": "NAME", "memory_total": "BYTES", "memory_free": "FREE"}
    terminal.rows(answer.gpus, names)


def _test(options: dict[str, Any], terminal: Terminal) -> None:
    """Here and now: it needs no worker."""
    host = found(options["host"])
    services.require_enabled(host)
    probe_asked(host.pk)
    said = tested_shape(found(host.host_id))
    terminal.one(said)
    if not said.success and not terminal.is_json:
        raise CommandError(f"{host}: {said.error}")


def _switch(options: dict[str, Any], terminal: Terminal) -> None:
    is_enabled = options["verb"] == "enable"
    services.set_host_enabled(found(options["host"]), is_enabled=is_enabled, user=None)
    terminal.one(_shape(options["host"]))


def _rename(options: dict[str, Any], terminal: Terminal) -> None:
    services.rename_host(found(options["host"]), name=options["name"], user=None)
    terminal.one(_shape(options["host"]))


def _remove(options: dict[str, Any], terminal: Terminal) -> None:
    host = found(options["host"])
    if options["forget"]:
        remote.forget_host(host, user=None)
    else:
        delete_host(host, user=None)
    terminal.say(f"{host} was removed.")


VERBS = {
    "list": _list,
    "add": adding_command.add,
    "give-up": adding_command.give_up,
    "show": _show,
    "facts": _facts,
    "gpus": _gpus,
    "test": _test,
    "enable": _switch,
    "disable": _switch,
    "rename": _rename,
    "remove": _remove,
}
