"""What would have to change so that this abm is as a fleet's file says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from abm.fleet.export import host_wish, secret_names
from abm.fleet.settings import apply, differences
from abm.fleet.shapes import EngineWish, Fleet, HostWish
from catalog.models import Variant
from engines.models import Engine
from engines.services import Wish, install_engine
from hosts.models import Host
from hosts.services import rename_host, set_host_enabled, set_host_paths
from jobs.models import Job


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the difference; without `make` it is only told, and a person has to do it."""

    sign: str
    """`+` is installed, `~` is changed, `!` cannot be done from here, `…` is under way."""
    text: str
    make: Callable[[], object] | None = None

    def __str__(self) -> str:
        return f"{self.sign} {self.text}"


def plan(fleet: Fleet) -> list[Change]:
    """Every change, hosts before engines; empty where all is as it is wished."""
    changes: list[Change] = []
    found: dict[str, Host] = {}
    for key, wish in fleet.hosts.items():
        host = _host(key, wish)
        if host is None:
            changes.append(_unknown(key, wish))
            continue
        found[key] = host
        changes += _host_changes(host, wish)
    for engine in fleet.engines:
        host = found.get(engine.host) or Host.objects.filter(host_id=engine.host).first()
        if host is None:
            changes.append(Change("!", f"{engine.name}: there is no host {engine.host}."))
            continue
        changes += _engine_changes(engine, host)
    return changes


def _host(key: str, wish: HostWish) -> Host | None:
    host = Host.objects.filter(host_id=key).first()
    if host is None and wish.address:
        host = Host.objects.filter(ssh_url=wish.address).first()
    return host


def _unknown(key: str, wish: HostWish) -> Change:
    if wish.address:
        way = f"Add {wish.address} on the page Hosts: a key has to be put on it by hand."
    else:
        way = "It is part of another machine's abm."
    return Change("!", f"{wish.name or key}: this abm does not know this host. {way}")


def _host_changes(host: Host, wish: HostWish) -> Iterator[Change]:
    now = host_wish(host)
    if wish.name not in (None, now.name):
        make = partial(rename_host, host, name=wish.name or "", user=None)
        yield Change("~", _line(str(host), "name", now.name, wish.name), make)
    samples = now.samples if wish.samples is None else wish.samples
    models = now.models if wish.models is None else wish.models
    if (samples, models) != (now.samples, now.models):
        make_paths = partial(
            set_host_paths, host, samples=samples or "", models=models or "", user=None
        )
        before, after = [now.samples, now.models], [samples, models]
        yield Change("~", _line(str(host), "samples, models", before, after), make_paths)
    if wish.enabled not in (None, now.enabled):
        make_on = partial(set_host_enabled, host, is_enabled=bool(wish.enabled), user=None)
        yield Change("~", _line(str(host), "enabled", now.enabled, wish.enabled), make_on)
    if wish.address not in (None, now.address):
        line = _line(str(host), "address", now.address, wish.address)
        yield Change("!", f"{line}: change it on the host's page, where it is tested.")


def _engine_changes(wish: EngineWish, host: Host) -> Iterator[Change]:
    engine = Engine.objects.filter(host=host, name=wish.name).select_related("host").first()
    if engine is None or not engine.is_installed:
        yield _install(wish, host, engine)
        return
    name = f"{engine} on {host}"
    if wish.tag and wish.tag != engine.tag:
        yield Change("!", f"{_line(name, 'tag', engine.tag, wish.tag)}: uninstall it first.")
    for found in differences(engine, wish):
        line = _line(name, found.name, found.now, found.wished)
        yield Change("~", line, partial(apply, engine, wish, found.name))
    missing = sorted(set(wish.secrets or []) - set(secret_names(engine)))
    if missing:
        yield Change("!", f"{name}: set {', '.join(missing)} on its page; secrets are in no file.")


def _install(wish: EngineWish, host: Host, engine: Engine | None) -> Change:
    name = f"{wish.name} on {host}"
    if engine is not None and engine.jobs.filter(status__in=Job.OPEN).exists():
        return Change("…", f"{name}: an install is under way. Its settings follow when it is done.")
    variants = Variant.objects.filter(entry__name=wish.name, is_withdrawn=False)
    variants = variants.filter(entry__is_withdrawn=False, entry__source__is_enabled=True)
    if wish.source:
        variants = variants.filter(entry__source__name=wish.source)
    if wish.tag:
        variants = variants.filter(tag=wish.tag)
    variant = variants.select_related("entry__source").order_by("position", "pk").first()
    if variant is None:
        where = f" in the source {wish.source}" if wish.source else ""
        tag = f":{wish.tag}" if wish.tag else ""
        return Change("!", f"{name}: the catalog has no {wish.name}{tag}{where}.")
    choice = Wish(platform=wish.platform)
    make = partial(install_engine, variant, host=host, user=None, wish=choice)
    return Change("+", f"{name}: install {variant}", make)


def _line(name: str, setting: str, now: Any, wished: Any) -> str:
    return f"{name}: {setting}: {_written(now)} -> {_written(wished)}"


def _written(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return str(text).removesuffix("...\n").strip()
