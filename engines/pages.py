"""What the engine's page needs for each of its tabs."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings

from accounts.models import ApiToken, User
from accounts.roles import has_role
from engines.container_settings import container_context
from engines.environment import environment_shown
from engines.functional import default_language
from engines.gpu_choice import gpu_context
from engines.image_checks import check_of
from engines.links.figures import stats_of
from engines.models import Engine
from engines.queries import recordings_of, trials_of
from engines.reach import speaks_contract
from engines.schema import languages_of, settings_of
from engines.shell import has_shell
from engines.use import snippets_of, start_call
from hosts.models import Host
from hosts.queries import operated_by
from jobs.models import Job

TABS = {
    "try": "Try it",
    "logs": "Logs",
    "settings": "Settings",
    "models": "Models",
    "stats": "Stats",
    "updates": "Updates",
    "jobs": "Jobs",
    "shell": "Shell",
    "use": "Use it",
    "details": "Details",
}


def tabs_of(engine: Engine, viewer: User) -> dict[str, str]:
    """The tabs that this engine has for this person."""
    offers_shell = has_shell(engine) and has_role(viewer, User.Role.ADMIN)
    hidden = {"" if offers_shell else "shell", "" if engine.image else "updates"}
    if not speaks_contract(engine):
        hidden.add("use")
    return {key: word for key, word in TABS.items() if key not in hidden}


def engine_context(engine: Engine, viewer: User, tab: str, *, base: str = "") -> dict[str, Any]:
    """The context of `engines/engine.html` with the tab `tab` open; `base` is abm's address."""
    kind = "logs" if tab == "logs" else ""
    return {
        "engine": engine,
        "viewer": viewer,
        "tab": tab,
        "tabs": tabs_of(engine, viewer),
        "socket_path": f"/ws/engines/{engine.pk}/{kind + '/' if kind else ''}?tab={tab}",
        **(_use(engine, viewer, base) if tab == "use" else _CONTEXTS[tab](engine, viewer)),
    }


def _try(engine: Engine, viewer: User) -> dict[str, Any]:
    return {
        "trials": trials_of(engine, viewer),
        "recordings": recordings_of(viewer) if engine.engine_type in ("stt", "audio") else [],
        "languages": languages_of(engine),
        "language": default_language(engine),
        "settings": settings_of(engine),
        "text_limit": (engine.definition.get("constraints") or {}).get("max_text_length"),
    }


def _settings(engine: Engine, viewer: User) -> dict[str, Any]:
    """Values of variables are secrets more often than not: only an admin sees them."""
    context: dict[str, Any] = {
        "settings": settings_of(engine),
        "languages": languages_of(engine),
        "idle_default": django_settings.ENGINE_IDLE_MINUTES,
    }
    if has_role(viewer, User.Role.ADMIN):
        context["environment"] = environment_shown(engine)
    context |= gpu_context(engine)
    if engine.host.is_docker:
        context |= container_context(engine)
    return context


def _models(engine: Engine, viewer: User) -> dict[str, Any]:
    return {"models": engine.engine_models.all()}


def _updates(engine: Engine, viewer: User) -> dict[str, Any]:
    changes = [Job.Action.INSTALL, Job.Action.UPDATE, Job.Action.ROLLBACK]
    jobs = Job.objects.filter(engine=engine, action__in=changes).select_related("user", "host")
    return {
        "check": check_of(engine),
        "check_hours": django_settings.UPDATE_CHECK_HOURS,
        "jobs": jobs[:20],
    }


def _jobs(engine: Engine, viewer: User) -> dict[str, Any]:
    return {"jobs": Job.objects.filter(engine=engine).select_related("user", "host")[:50]}


def _stats(engine: Engine, viewer: User) -> dict[str, Any]:
    return {"stats": stats_of(engine.pk)}


def _shell(engine: Engine, viewer: User) -> dict[str, Any]:
    return {"shell_path": f"/ws/engines/{engine.pk}/shell/"}


def _use(engine: Engine, viewer: User, base: str) -> dict[str, Any]:
    base = django_settings.PUBLIC_URL or base
    return {
        "use_url": f"{base.rstrip('/')}/api/",
        "use_tokens": ApiToken.objects.filter(user_id=viewer.pk).count(),
        "use_start": start_call(engine, base=base),
        "use_snippets": snippets_of(engine, base=base),
    }


def _nothing(engine: Engine, viewer: User) -> dict[str, Any]:
    return {}


def _details(engine: Engine, viewer: User) -> dict[str, Any]:
    """With the other hosts that its image could be copied to."""
    if not engine.host.is_docker:
        return {}
    others = Host.objects.filter(is_enabled=True, state__in=Host.USABLE).exclude(pk=engine.host_id)
    docker = others.exclude(host_type=Host.Type.SUBPROCESS)
    return {"copy_hosts": operated_by(viewer, docker)}


_CONTEXTS = {
    "try": _try,
    "logs": _nothing,
    "settings": _settings,
    "models": _models,
    "stats": _stats,
    "updates": _updates,
    "jobs": _jobs,
    "shell": _shell,
    "details": _details,
}
