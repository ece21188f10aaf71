"""A shell inside an engine's container, for admins, where the settings allow it."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_role
from engines.links import log_door
from engines.models import Engine
from engines.noting import note_engine
from engines.spec import spec_of
from hosts.runners.base import RunnerError
from hosts.runners.docker.runner import DockerRunner
from hosts.runners.docker.shell import ShellSession
from hosts.work import runner_of
from jobs.events import announce

MOST_COLUMNS, MOST_ROWS = 500, 200


def has_shell(engine: Engine) -> bool:
    """Whether a page should offer one."""
    return settings.ENGINE_SHELL and engine.host.is_docker


def open_shell(
    engine: Engine, *, user: User, cols: int, rows: int, wake: Callable[[], None]
) -> ShellSession:
    """Open a terminal; who did is told to everybody. Raises Refused."""
    require_role(user, User.Role.ADMIN)
    if not settings.ENGINE_SHELL:
        raise Refused("SHELL_OFF", "Shells are switched off; ENGINE_SHELL=true allows them.")
    if not has_shell(engine):
        raise Refused("SHELL_NONE", f"{engine} is no container, so it has no shell of its own.")
    if log_door.is_needed(engine):
        raise Refused(
            "SHELL_NONE",
            "abm's web process has no way to Docker, so it opens no shells. On the machine itself: "
            f"docker exec -it $(docker ps -q --filter label=abm.engine={engine.name}) sh",
        )
    with runner_of(engine.host) as runner:
        if not isinstance(runner, DockerRunner):
            raise Refused("SHELL_NONE", f"{engine.host} gives no shells.")
        try:
            session = runner.shell(
                spec_of(engine),
                cols=max(20, min(cols, MOST_COLUMNS)),
                rows=max(5, min(rows, MOST_ROWS)),
                wake=wake,
            )
        except RunnerError as error:
            raise Refused(error.code, error.message) from error
    announce("engines", "shell.opened", text=f"{user} opened a shell in {engine}", pk=engine.pk)
    note_engine("shell", engine, user=user)
    return session
