"""What a person may ask of hosts."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.audit import columns, note
from accounts.models import User
from accounts.plain import is_name
from accounts.refused import Refused
from accounts.roles import require_role
from hosts.models import Host
from jobs.events import announce, hint
from jobs.services import ring_task

LOCAL_HOST_ID = "local"
DOCKER_HOST_ID = "docker:local"


def ensure_hosts() -> None:
    """The built-in hosts, at each start. DEFAULT_ENGINE_RUNNER=docker does without processes."""
    if settings.DEFAULT_ENGINE_RUNNER == "local":
        ensure_local_host()
    ensure_docker_host()
    if settings.DEFAULT_ENGINE_RUNNER == "local":
        return
    local = Host.objects.filter(host_id=LOCAL_HOST_ID)
    local.filter(engines=None).delete()
    for host in local.filter(is_enabled=True):
        set_host_enabled(host, is_enabled=False, user=None)


def ensure_local_host() -> Host:
    """The built-in host for engines as processes; made once, renamed by nobody.

    It is there because this runs on it; the first look, a moment later, reads its facts.
    """
    host, _ = Host.objects.get_or_create(
        host_id=LOCAL_HOST_ID,
        defaults={
            "state": Host.State.AVAILABLE,
            "is_available": True,
            "display_name": "This machine",
            "host_type": Host.Type.SUBPROCESS,
            "samples_path": str(settings.DATA_DIR / "samples"),
            "models_path": str(settings.DATA_DIR / "models"),
        },
    )
    return host


def ensure_docker_host() -> Host:
    """The built-in host for engines in this machine's Docker, whether or not there is one.

    What state Docker is in, and the way out, stands on its page; Skip switches it off.
    """
    host, _ = Host.objects.get_or_create(
        host_id=DOCKER_HOST_ID,
        defaults={
            "display_name": "Docker on this machine",
            "host_type": Host.Type.DOCKER_LOCAL,
            "samples_path": str(settings.DATA_DIR / "samples"),
            "models_path": str(settings.DATA_DIR / "models"),
        },
    )
    return host


@transaction.atomic
def rename_host(host: Host, *, name: str, user: User | None) -> Host:
    """Give a host another name. Raises Refused HOST_NAME_INVALID for an empty or long one."""
    require_role(user, User.Role.ADMIN)
    name = name.strip()
    if not is_name(name):
        raise Refused("HOST_NAME_INVALID", "A host's name has 1 to 100 characters.", status=400)
    before = columns(host, "display_name")
    note("host.rename", host, user=user, before=before, after={"display_name": name})
    host.display_name = name
    host.save(update_fields=["display_name", "updated_at"])
    announce("hosts", "host.changed", text=f"{host} was renamed", pk=host.pk)
    return host


@transaction.atomic
def set_host_enabled(host: Host, *, is_enabled: bool, user: User | None) -> Host:
    """Switch a host off (abm leaves it alone) or on again."""
    require_role(user, User.Role.ADMIN)
    note("host.switch_on" if is_enabled else "host.switch_off", host, user=user)
    host.is_enabled = is_enabled
    host.state = Host.State.STARTING if is_enabled else Host.State.DISABLED
    host.state_text = "" if is_enabled else "Switched off by an admin."
    host.advice = {}
    host.save(update_fields=["is_enabled", "state", "state_text", "advice", "updated_at"])
    words = "switched on" if is_enabled else "switched off"
    announce("hosts", "host.changed", text=f"{host} was {words}", pk=host.pk)
    return host


def set_host_paths(host: Host, *, samples: str, models: str, user: User | None) -> Host:
    """Where speaker samples and models lie on the host; empty keeps abm's own folders.

    Raises Refused PATH_INVALID.
    """
    require_role(user, User.Role.ADMIN)
    for path in (samples.strip(), models.strip()):
        _check_path(path)
    before = columns(host, "samples_path", "models_path")
    usual = settings.DATA_DIR if host.has_our_folders else None
    host.samples_path = samples.strip() or (str(usual / "samples") if usual else "")
    host.models_path = models.strip() or (str(usual / "models") if usual else "")
    host.save(update_fields=["samples_path", "models_path", "updated_at"])
    note("host.paths", host, user=user, before=before, after=columns(host, *before))
    announce("hosts", "host.changed", pk=host.pk)
    return host


def _check_path(path: str) -> None:
    """A folder of Linux, macOS or Windows, written whole; empty is none."""
    is_whole = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    has_tricks = not path.isprintable() or ".." in PureWindowsPath(path).parts
    if path and (not is_whole or has_tricks or len(path) > 500):
        raise Refused(
            "PATH_INVALID",
            f"“{path[:80]}” is no whole path. Write one like /srv/models or D:\\models; "
            "“..” must not be in it.",
            status=400,
        )


@transaction.atomic
def change_host(
    host: Host, *, name: str, samples: str, models: str, is_enabled: bool, user: User | None
) -> Host:
    """Save a host's settings; what did not change is left alone. Raises Refused."""
    require_role(user, User.Role.ADMIN)
    if name.strip() != host.display_name:
        rename_host(host, name=name, user=user)
    if (samples.strip(), models.strip()) != (host.samples_path, host.models_path):
        set_host_paths(host, samples=samples, models=models, user=user)
    if is_enabled != host.is_enabled:
        set_host_enabled(host, is_enabled=is_enabled, user=user)
    return host


def ask_probe(host: Host, *, user: User | None) -> None:
    """Have a worker look at the host now; the answer shows up on every open page.

    Raises Refused HOST_DISABLED.
    """
    require_role(user, User.Role.OPERATOR, host=host.pk)
    require_enabled(host)
    ring_task("hosts.probe", host.pk)


def require_enabled(host: Host) -> None:
    """Raises Refused HOST_DISABLED."""
    if not host.is_enabled:
        raise Refused("HOST_DISABLED", f"{host} is switched off. Switch it on in its settings.")


def ask_disk(host: Host) -> None:
    """Have a worker read what takes its disk, unless that is new or under way."""
    if not host.is_usable or host.is_disk_read or host.is_disk_being_read:
        return
    is_mine = Host.objects.filter(pk=host.pk, disk_asked_at=host.disk_asked_at)
    host.disk_asked_at = timezone.now()
    if is_mine.update(disk_asked_at=host.disk_asked_at):
        ring_task("engines.read_storage", host.pk)
        hint("hosts", "disk.changed", pk=host.pk)


def forget_disk(host: Host) -> None:
    """Something was installed or removed: what was read no longer holds, and is read again."""
    Host.objects.filter(pk=host.pk).update(disk_at=None, disk_asked_at=None)
    host.refresh_from_db(fields=["disk_at", "disk_asked_at"])
    ask_disk(host)
