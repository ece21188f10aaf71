"""`manage.py abm engines`: engines on hosts, from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from engines import enabling, services, uninstall, updates
from engines.api_more import LogsAnswer
from engines.api_naming import engine_of, require_docker_now, wanted_variant
from engines.api_shapes import details_of
from engines.models import Engine
from engines.queries import engines_shown
from engines.services import Wish
from engines.uninstall import Removal
from engines.work import log_tail
from hosts.runners.base import RunnerError
from jobs.terminal import Terminal, job_verb, verb

COLUMNS = {
    "variant_id": "ENGINE",
    "engine_type": "TYPE",
    "state": "STATE",
    "version": "VERSION",
    "is_default": "DEFAULT",
    "port": "PORT",
    "state_text": "WHY",
}
JOBS = {
    "stop": "stop an engine, or cancel its start",
    "restart": "stop and start an engine",
    "update": "pull the newest image and try it; go back if it does not pass",
    "rollback": "go back to the image before",
    "test": "have an engine say something and look at what comes",
    "models": "ask an engine for its models",
}


def add_arguments(verbs: Any) -> None:
    """The verbs below `engines`."""
    listed = verb(verbs, "list", "every engine")
    listed.add_argument("--host", default="", help="such as docker:local")
    _engine(verb(verbs, "show", "one engine"))
    for name, words in JOBS.items():
        _engine(job_verb(verbs, name, words))
    start = _engine(job_verb(verbs, "start", "start an engine"))
    start.add_argument("--model", default="", help="the one to load; its default if absent")
    load = _engine(job_verb(verbs, "load", "load another model"))
    load.add_argument("model")
    install = _engine(job_verb(verbs, "install", "install an engine of the catalog on a host"))
    install.add_argument("--tag", default="", help="of the image; the first that fits if absent")
    install.add_argument("--start", action="store_true", help="start it afterwards")
    install.add_argument("--consent", action="store_true", help="agree to its licence or warning")
    install.add_argument("--overrule", action="store_true", help="although it does not fit")
    remove = _engine(job_verb(verbs, "uninstall", "uninstall an engine; its models stay"))
    remove.add_argument("--keep-image", action="store_true")
    remove.add_argument("--keep-settings", action="store_true")
    log = _engine(verb(verbs, "log", "the end of what an engine wrote"))
    log.add_argument("--tail", type=int, default=100, metavar="LINES")
    _engine(verb(verbs, "default", "mean this engine where only its type is named"))
    _engine(verb(verbs, "enable", "switch an engine on"))
    _engine(verb(verbs, "disable", "switch an engine off; it is stopped"))
    keep = _engine(verb(verbs, "keep-running", "never stop it for being idle, or do"))
    keep.add_argument("keeps", choices=["on", "off"])


def _engine(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("engine", help="engine:host, such as xtts:docker:local")
    return parser


def handle(options: dict[str, Any], terminal: Terminal) -> None:
    """Do what was asked. Raises Refused and CommandError."""
    name = options["verb"]
    if name in VERBS:
        VERBS[name](options, terminal)
        return
    engine = engine_of(options["engine"])
    terminal.job(_ASKED[name](engine), said=f"{engine} is as it should be already.")


_ASKED: dict[str, Any] = {
    "stop": lambda engine: services.stop_engine(engine, user=None),
    "restart": lambda engine: services.restart_engine(engine, user=None),
    "update": lambda engine: updates.update_engine(engine, user=None, is_forced=True),
    "rollback": lambda engine: updates.roll_back_engine(engine, user=None),
    "test": lambda engine: services.test_engine(engine, user=None),
    "models": lambda engine: services.discover_models(engine, user=None),
}


def _list(options: dict[str, Any], terminal: Terminal) -> None:
    engines = engines_shown().prefetch_related("engine_models")
    if options["host"]:
        engines = engines.filter(host__host_id=options["host"])
    terminal.rows(map(details_of, engines), COLUMNS)


def _show(options: dict[str, Any], terminal: Terminal) -> None:
    terminal.one(details_of(engine_of(options["engine"])))


def _install(options: dict[str, Any], terminal: Terminal) -> None:
    variant, host = wanted_variant(options["engine"], options["tag"])
    there = Engine.objects.filter(host=host, name=variant.entry.name).first()
    if there is not None and there.is_installed:
        way = " `update` pulls it anew." if there.image else ""
        raise CommandError(f"{there} is installed on {host} already.{way}")
    require_docker_now(host)
    wish = Wish(starts=options["start"], overrules=options["overrule"], consents=options["consent"])
    terminal.job(services.install_engine(variant, host=host, user=None, wish=wish))


def _uninstall(options: dict[str, Any], terminal: Terminal) -> None:
    removal = Removal(keeps_image=options["keep_image"], keeps_settings=options["keep_settings"])
    engine = engine_of(options["engine"])
    terminal.job(uninstall.uninstall_engine(engine, user=None, removal=removal))


def _log(options: dict[str, Any], terminal: Terminal) -> None:
    engine = engine_of(options["engine"])
    try:
        lines = list(log_tail(engine, lines=max(1, options["tail"])))
    except RunnerError as error:
        raise CommandError(error.message) from error
    if terminal.is_json:
        terminal.one(LogsAnswer(variant_id=engine.address, lines=lines, count=len(lines)))
        return
    for line in lines:
        terminal.out.write(line)


def _start(options: dict[str, Any], terminal: Terminal) -> None:
    engine, model = engine_of(options["engine"]), options["model"]
    job = services.start_engine(engine, user=None, model=model)
    terminal.job(job, said=f"{engine} runs already.")


def _load(options: dict[str, Any], terminal: Terminal) -> None:
    engine = engine_of(options["engine"])
    terminal.job(services.load_model(engine, model=options["model"], user=None))


def _default(options: dict[str, Any], terminal: Terminal) -> None:
    services.set_default_engine(engine_of(options["engine"]), user=None)
    _show(options, terminal)


def _switch(options: dict[str, Any], terminal: Terminal) -> None:
    is_enabled = options["verb"] == "enable"
    enabling.set_engine_enabled(engine_of(options["engine"]), is_enabled=is_enabled, user=None)
    _show(options, terminal)


def _keep_running(options: dict[str, Any], terminal: Terminal) -> None:
    keeps = options["keeps"] == "on"
    services.set_keep_running(engine_of(options["engine"]), keeps=keeps, user=None)
    _show(options, terminal)


VERBS = {
    "list": _list,
    "show": _show,
    "install": _install,
    "uninstall": _uninstall,
    "log": _log,
    "start": _start,
    "load": _load,
    "default": _default,
    "enable": _switch,
    "disable": _switch,
    "keep-running": _keep_running,
}
