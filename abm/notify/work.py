"""The clock's part: notice troubles, send what is due, try again what was not taken."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from abm.notify.models import Delivery, NotifyTarget, Trouble, Watermark
from abm.notify.senders import NotSent, send
from abm.notify.troubles import look
from jobs.events import announce
from jobs.models import Event

log = logging.getLogger(__name__)

TOPIC = "notify"
S = Delivery.Status
BACK_OFF = tuple(timedelta(seconds=n) for n in (10, 60, 300, 1_800, 7_200))
"""After the first failure, the second, ...; after the last one a message is given up."""
SENDING_FOR = timedelta(minutes=5)
"""A sender that says nothing for so long has died."""
MOST_EVENTS = 5_000
MOST_AT_ONCE = 100
KEPT = timedelta(days=30)


def run() -> None:
    """Notice, then send. Called every few seconds, and once more when somebody presses Test."""
    if NotifyTarget.objects.exists():
        notice()
        send_due()


@transaction.atomic
def notice() -> None:
    """Think of the events since the last time; of two that do at once, one waits for the other."""
    mark, is_new = Watermark.objects.select_for_update().get_or_create(name="notify")
    newest = Event.objects.values_list("pk", flat=True).first() or 0
    if is_new:
        # The first look: what went wrong before there was anybody to tell is no news.
        mark.event_id = newest
    events = list(Event.objects.filter(pk__gt=mark.event_id).order_by("pk")[:MOST_EVENTS])
    look(events)
    reached = events[-1].pk if events else max(newest, 0)
    if is_new or reached != mark.event_id:
        Watermark.objects.update_or_create(name="notify", defaults={"event_id": reached})


def send_due() -> None:
    """Send what is due; several messages for one target go as one."""
    for target in NotifyTarget.objects.filter(pk__in=_due().values("target")):
        if claimed := _claim(target):
            _send(target, claimed)


def _due() -> QuerySet[Delivery]:
    """What waits for no longer, and what a sender that died had taken."""
    return Delivery.objects.filter(
        status__in=(S.WAITING, S.SENDING), due_at__lte=timezone.now(), target__is_enabled=True
    )


def _claim(target: NotifyTarget) -> list[Delivery]:
    """Those of this target that nobody else sends just now."""
    mine = []
    for row in _due().filter(target=target)[:MOST_AT_ONCE]:
        held = Delivery.objects.filter(pk=row.pk, status=row.status, due_at=row.due_at)
        if held.update(status=S.SENDING, due_at=timezone.now() + SENDING_FOR):
            mine.append(row)
    return mine


def _send(target: NotifyTarget, deliveries: list[Delivery]) -> None:
    now = timezone.now()
    rows = Delivery.objects.filter(pk__in=[one.pk for one in deliveries])
    try:
        send(target, deliveries)
    except NotSent as error:
        said = str(error)
        log.warning("%s did not get its message: %s", target, said)
        for one in deliveries:
            _put_off(one, said)
        NotifyTarget.objects.filter(pk=target.pk).update(error=said)
    else:
        rows.update(status=S.SENT, sent_at=now, error="")
        NotifyTarget.objects.filter(pk=target.pk).update(sent_at=now, error="")
    announce(TOPIC, "notify.changed", pk=target.pk)


def _put_off(delivery: Delivery, said: str) -> None:
    """Try again later, or give up."""
    attempts = delivery.attempts + 1
    values = {"attempts": attempts, "error": said}
    row = Delivery.objects.filter(pk=delivery.pk)
    if attempts > len(BACK_OFF):
        row.update(status=S.FAILED, **values)
        return
    row.update(status=S.WAITING, due_at=timezone.now() + BACK_OFF[attempts - 1], **values)


def prune() -> None:
    """Forget messages and troubles that are older than 30 days."""
    old = timezone.now() - KEPT
    Delivery.objects.filter(status__in=(S.SENT, S.FAILED), created_at__lt=old).delete()
    Trouble.objects.filter(Q(ended_at__lt=old) | Q(told_at__lt=old, seen_at__lt=old)).delete()
