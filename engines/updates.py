"""What a person may ask about updates, and what abm does by itself about them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.refused import Refused
from accounts.roles import require_host, require_role
from engines import image_checks
from engines.idle import is_at_work
from engines.models import Engine
from engines.noting import note_engine
from engines.queries import newer_exists
from engines.services import TASK, registry_of, start_engine, stop_engine
from jobs.events import announce, hint
from jobs.models import Job
from jobs.services import ring_task, submit_job

log = logging.getLogger(__name__)

CHECK_TASK = "engines.check_updates"
MOST_AT_ONCE = 1_000
NAMES_TOLD = 3
NO_IMAGES = "No engine runs from an image of a registry, so there is nothing to ask about."


def check_now(engines: Iterable[Engine] | None, *, user: User | None) -> int:
    """Have the registries asked about these engines' images, or about all; how many images.

    A worker asks; an image that is being asked about just now is not asked twice.
    """
    require_role(user, User.Role.OPERATOR)
    engines = list(engines) if engines is not None else None
    for engine in engines or ():
        require_host(user, engine.host_id)
    wanted = image_checks.engines_by_image(engines)
    with transaction.atomic():
        claimed = image_checks.claim(wanted)
        if claimed:
            ring_task(CHECK_TASK, *claimed)
        for asked in wanted.values():
            for engine in asked:
                hint("engines", "engine.changed", pk=engine.pk)
    return len(wanted)


def check_updates(check_pks: Iterable[int]) -> None:
    """The worker's part: ask about claimed images, or by the clock about those that are due."""
    wanted = list(check_pks)
    if wanted:
        image_checks.ask(wanted, is_wanted_now=True)
    else:
        image_checks.ask(image_checks.claim_due())
    update_idle()


def engines_with_updates() -> QuerySet[Engine]:
    """Installed engines with something newer, and nothing under way yet."""
    at_work = Job.objects.filter(status__in=Job.OPEN, engine__isnull=False).values("engine_id")
    newer = Engine.objects.filter(newer_exists(), state__in=Engine.INSTALLED)
    return newer.exclude(pk__in=at_work).select_related("host")


def update_engine(engine: Engine, *, user: User | None, is_forced: bool = False) -> Job:
    """Pull the newest image, try it, and go back by itself if it does not pass.

    `is_forced` pulls also where nothing newer is known.
    Raises Refused NO_IMAGE, BUILT_HERE, UP_TO_DATE or HOST_NOT_READY.
    """
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    if not engine.is_installed or not engine.image or engine.attached_url:
        raise Refused("NO_IMAGE", f"{engine} runs from no image that could be updated.")
    if engine.is_built_here:
        raise Refused("BUILT_HERE", f"{engine} was built or loaded here. Build it again instead.")
    if not engine.update_digest and not is_forced:
        raise Refused("UP_TO_DATE", f"No newer image of {engine} is known. Check now, then update.")
    return _submit(engine, Job.Action.UPDATE, user)


def roll_back_engine(engine: Engine, *, user: User | None) -> Job:
    """Start the previous image again. Raises Refused NO_WAY_BACK or HOST_NOT_READY."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    if not engine.is_installed or not engine.previous_image_id:
        raise Refused("NO_WAY_BACK", f"{engine} has no previous image to go back to.")
    return _submit(engine, Job.Action.ROLLBACK, user)


def _submit(engine: Engine, action: Job.Action, user: User | None) -> Job:
    host = engine.host
    if not host.is_usable:
        why = host.state_text or host.get_state_display()
        raise Refused("HOST_NOT_READY", f"{host} cannot do this now: {why}")
    subject = f"{engine.display_name} on {host}"
    return submit_job(
        action=action,
        task=TASK,
        subject=subject,
        user=user,
        host=host,
        engine=engine,
        registry=registry_of(engine) if action == Job.Action.UPDATE else "",
    )


@transaction.atomic
def set_auto_updates(engine: Engine, *, is_on: bool, user: User | None) -> Engine:
    """Let abm take newer images by itself while nobody uses the engine, or leave it to people."""
    require_role(user, User.Role.OPERATOR, host=engine.host_id)
    Engine.objects.filter(pk=engine.pk).update(auto_updates=is_on)
    words = "is updated by itself" if is_on else "is no longer updated by itself"
    announce("engines", "engine.changed", text=f"{engine} {words}", pk=engine.pk)
    note_engine("auto_updates", engine, user=user, after={"is_on": is_on})
    engine.refresh_from_db()
    return engine


def update_idle() -> list[Job]:
    """Update the engines that may be updated by themselves and that nobody uses now."""
    now = timezone.now()
    wanted = engines_with_updates().filter(
        Q(busy_until=None) | Q(busy_until__lt=now), auto_updates=True
    )
    jobs = []
    for engine in wanted:
        if engine.is_running and is_at_work(engine):
            continue
        try:
            jobs.append(update_engine(engine, user=None))
        except Refused as refused:
            log.info("%s is not updated by itself: %s", engine, refused.message)
    return jobs


@dataclass(slots=True)
class Many:
    """What became of one wish for several engines."""

    verb: str
    done: list[Engine] = field(default_factory=list)
    refused: list[tuple[Engine, Refused]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """In words, with the reasons of those that were left out."""
        count = len(self.done)
        who = str(self.done[0]) if count == 1 else f"{count} engines"
        said = f"{who} {'is' if count == 1 else 'are'} being {PAST[self.verb]}." if count else ""
        reasons = [refused.message for _, refused in self.refused[:NAMES_TOLD]]
        more = len(self.refused) - len(reasons)
        rest = f"And {more} more were left out." if more > 0 else ""
        return " ".join(filter(None, [said, *reasons, rest])) or "Choose engines first."


def _start(engine: Engine, user: User | None) -> object:
    return start_engine(engine, user=user)


def _stop(engine: Engine, user: User | None) -> object:
    return stop_engine(engine, user=user)


def _update(engine: Engine, user: User | None) -> object:
    return update_engine(engine, user=user)


MANY: dict[str, Callable[[Engine, User | None], object]] = {
    "start": _start,
    "stop": _stop,
    "update": _update,
}
PAST = {"start": "started", "stop": "stopped", "update": "updated"}


def do_many(engines: Iterable[Engine], *, verb: str, user: User | None) -> Many:
    """Start, stop or update several engines; one that is refused does not hold up the others.

    Raises Refused VERB_UNKNOWN.
    """
    require_role(user, User.Role.OPERATOR)
    if verb not in MANY:
        raise Refused("VERB_UNKNOWN", "Several engines can be started, stopped or updated.")
    many = Many(verb)
    for engine in engines:
        try:
            if MANY[verb](engine, user) is not None:
                many.done.append(engine)
        except Refused as refused:
            many.refused.append((engine, refused))
    return many
