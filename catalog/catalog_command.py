"""`manage.py abm catalog`: what could be installed, from a shell."""

from __future__ import annotations

from typing import Any

from accounts.refused import Refused
from catalog import services
from catalog.api import EntryShape, entry_details, entry_shape
from catalog.api_sources import source_shape
from catalog.models import CatalogSource, EngineType
from catalog.queries import CatalogFilter, entries_page, offered
from jobs.terminal import Terminal, job_verb, verb

ENTRY = {
    "name": "NAME",
    "engine_type": "TYPE",
    "display_name": "FOR PEOPLE",
    "version": "VERSION",
    "source": "SOURCE",
    "installed": "INSTALLED",
}
SOURCE = {
    "source_id": "ID",
    "name": "NAME",
    "kind": "KIND",
    "is_enabled": "ON",
    "synced_at": "SYNCED",
    "error": "ERROR",
}


def add_arguments(verbs: Any) -> None:
    """The verbs below `catalog`."""
    listed = verb(verbs, "list", "engines on offer")
    listed.add_argument("--type", choices=EngineType.values, default="")
    listed.add_argument("--text", default="", help="part of a name or a description")
    verb(verbs, "show", "one engine on offer").add_argument("name")
    verb(verbs, "sources", "where the catalog comes from")
    added = verb(verbs, "add", "one more catalog at an address")
    added.add_argument("name")
    added.add_argument("url", metavar="URL")
    added.add_argument(
        "--allow-private", action="store_true", help="it lies on loopback or a private network"
    )
    for name, words in {
        "enable": "switch a source on",
        "disable": "switch a source off; its engines are no longer offered",
        "remove": "forget a source; engines that were installed from it stay",
    }.items():
        verb(verbs, name, words).add_argument("source", type=int, metavar="ID")
    sync = job_verb(verbs, "sync", "fetch every online source, or one")
    sync.add_argument("source", nargs="?", type=int, metavar="ID")


def handle(options: dict[str, Any], terminal: Terminal) -> None:
    """Do what was asked. Raises Refused and CommandError."""
    VERBS[options["verb"]](options, terminal)


def _list(options: dict[str, Any], terminal: Terminal) -> None:
    shapes: list[EntryShape] = []
    wanted = CatalogFilter(text=options["text"][:100], type=options["type"])
    page = entries_page(wanted)
    shapes += map(entry_shape, page)
    while page.has_next():
        page = page.paginator.page(page.next_page_number())
        shapes += map(entry_shape, page)
    terminal.rows(shapes, ENTRY)


def _show(options: dict[str, Any], terminal: Terminal) -> None:
    entry = offered().filter(name=options["name"]).order_by("source_id").first()
    if entry is None:
        name = options["name"]
        raise Refused("ENTRY_NOT_FOUND", f"No catalog offers an engine {name}.", status=404)
    terminal.one(entry_details(entry.pk))


def _sources(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.rows(map(source_shape, CatalogSource.objects.all()), SOURCE)


def _sync(options: dict[str, Any], terminal: Terminal) -> None:
    if options["source"] is None:
        jobs = services.sync_all(user=None)
    else:
        jobs = [services.sync_source(_source(options), user=None)]
    for job in jobs:
        terminal.job(job)
    if not jobs:
        terminal.job(None, said="No online source is switched on.")


def _source(options: dict[str, Any]) -> CatalogSource:
    source = CatalogSource.objects.filter(pk=options["source"]).first()
    if source is None:
        raise Refused("SOURCE_NOT_FOUND", f"There is no source {options['source']}.")
    return source


def _add(options: dict[str, Any], terminal: Terminal) -> None:
    source = services.add_source(
        name=options["name"],
        url=options["url"],
        allows_private=options["allow_private"],
        user=None,
    )
    terminal.one(source_shape(source))


def _switch(options: dict[str, Any], terminal: Terminal) -> None:
    is_enabled = options["verb"] == "enable"
    source = services.change_source(_source(options), is_enabled=is_enabled, user=None)
    terminal.one(source_shape(source))


def _remove(options: dict[str, Any], terminal: Terminal) -> None:
    source = _source(options)
    services.remove_source(source, user=None)
    terminal.say(f"{source.name} was removed.")


VERBS = {
    "list": _list,
    "show": _show,
    "sources": _sources,
    "add": _add,
    "enable": _switch,
    "disable": _switch,
    "remove": _remove,
    "sync": _sync,
}
